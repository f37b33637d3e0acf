//! The arguments of `kamap events`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use kamap::{Builder, Filter};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use regex::Regex;

use crate::args::{ColorArgs, Common, PlaceArgs, Source, StreamArgs, duration, user};

/// Print events in the kernel's order: each exec and each exit, or the kinds of --kind
///
/// Each event is one line. The line of an exit sums up the process. Events that were dropped because
/// the output was too slow are reported where they are missing; the table does not depend on them.
/// Processes that did not fit into the table are reported too, because they have no exit event. On a
/// terminal lines are truncated to its width.
///
/// An event is printed if all options that select events match. All but --comm,
/// --unit and --container are applied in the kernel, where an event that does not match costs nothing.
///
/// After Ctrl-C or SIGTERM kamap prints what happened until then, and a summary. A second one, at least
/// a second later, ends kamap at once.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Columns:
  TIME      local time of the event
  EVENT     fork, exec, failed (a failed exec) or exit
  PID, PPID, USER
            values at the time of the event, also for an exit
  DURATION  exit events: time since the process started
  STATUS    exit events: exit code, or the signal that killed the process, with `+core` if it dumped \
core. Failed execs: the error
  ANCESTORS with --ancestors: the farthest first
  COMMAND   arguments, quoted where a shell needs it. Fork events: the name. Failed execs: the file \
and the arguments after the first

JSON:
  One object per line: \
{\"v\":1,\"type\":\"fork\"|\"exec\"|\"exec_failed\"|\"exit\",\"seq\":…,\"time\":…,\"pid\":…,…}, \
{\"v\":1,\"type\":\"lost\",\"cause\":\"ring_full\"|\"table_full\"|\"missed_runs\",\"count\":…} where something was \
lost, {\"v\":1,\"type\":\"replaced\",\"seq\":…,…} where what was attached was replaced, and last {\"v\":1,\"type\":\"summary\",…}. `seq` grows by one with each event; with --comm, \
--unit or --container numbers are missing. docs/json.md describes all fields.

Examples:
  kamap events --failed                   what fails
  kamap events --min-duration 1s          what takes long
  kamap events --kind fork,exec,exit --json
  kamap events --snapshot --kind fork,exec,exit --json
                                          all that is needed to keep a copy of the table")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,

    #[command(flatten)]
    stream: StreamArgs,

    /// Print only exits with a status other than 0, and failed execs if --kind has them
    #[arg(short, long)]
    failed: bool,

    /// Print only exits of processes that lived at least this long, such as 10ms or 1 (second)
    #[arg(short = 'd', long, value_name = "TIME", value_parser = duration)]
    min_duration: Option<Duration>,

    /// Print only events of these users (names or numbers, separated by commas; at most 16, as in
    /// each of these lists)
    #[arg(short, long, value_name = "USER", value_delimiter = ',', value_parser = user)]
    user: Vec<u32>,

    /// Print only events of these processes (separated by commas)
    #[arg(short, long, value_name = "PID", value_delimiter = ',')]
    pid: Vec<u32>,

    /// Print only events of children of these processes (separated by commas)
    #[arg(short = 'P', long, value_name = "PID", value_delimiter = ',')]
    ppid: Vec<u32>,

    /// Print only events of processes in these cgroups of the v2 hierarchy, or below them (separated by
    /// commas)
    ///
    /// Each is a path as in /proc/PID/cgroup (`/system.slice/nginx.service`), a folder
    /// (`/sys/fs/cgroup/system.slice`), or an ID. What counts is the cgroup of the process at the time
    /// of the event. At most 32 levels below the root are compared.
    #[arg(long, value_name = "CGROUP", value_delimiter = ',', value_parser = cgroup)]
    cgroup: Vec<u64>,

    /// Print only events of processes whose COMM matches this regular expression
    #[arg(short, long, value_name = "REGEX")]
    pub(crate) comm: Option<Regex>,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    #[command(flatten)]
    pub(crate) color: ColorArgs,

    /// Print N events, then exit
    #[arg(short = 'n', long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub(crate) count: Option<u64>,

    /// Print the table of all live processes first, and the number of the event that follows it
    ///
    /// The events from that number on, applied to the table, give the table of any later moment. The
    /// table may already contain what some of them did: a fork or an exec sets a row, an exit removes
    /// it.
    #[arg(long)]
    pub(crate) snapshot: bool,

    /// Take the events that are attached over from the process that reads them
    #[arg(long)]
    pub(crate) steal: bool,

    /// Print the N nearest ancestors with each event: the parent, its parent and so on (at most 32)
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=32))]
    pub(crate) ancestors: u32,
}

impl Args {
    /// What to read: what is attached, if it has these events, or a tracker of its own.
    pub(crate) fn source(&self) -> anyhow::Result<Source> {
        let common = &self.common;
        Source::open_events(
            &common.dir,
            common.is_own(),
            &self.filter(),
            self.ancestors,
            || self.tracker(),
        )
    }

    /// Which events to print.
    pub(crate) fn filter(&self) -> Filter {
        let mut filter = Filter::new(self.stream.kinds());
        if self.failed {
            filter = filter.failed();
        }
        if let Some(duration) = self.min_duration {
            filter = filter.min_duration(duration);
        }
        filter = self
            .user
            .iter()
            .fold(filter, |filter, uid| filter.uid(*uid));
        filter = self.pid.iter().fold(filter, |filter, pid| filter.pid(*pid));
        filter = self
            .ppid
            .iter()
            .fold(filter, |filter, pid| filter.ppid(*pid));
        self.cgroup
            .iter()
            .fold(filter, |filter, id| filter.cgroup_id(*id))
    }

    /// Sets up a tracker with these options.
    fn tracker(&self) -> Builder {
        let builder = self.common.tracker().events(self.filter());
        self.stream.apply(builder).ancestors(self.ancestors)
    }
}

/// The ID of a cgroup: the inode number of its folder.
fn cgroup(text: &str) -> Result<u64, String> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    if let Some(id) = cgroup_folder(Path::new(text)) {
        return Ok(id);
    }
    // As in /proc/PID/cgroup: from the root of the hierarchy.
    if let Some(path) = text.strip_prefix('/')
        && let Some(root) = cgroup_root()
        && let Some(id) = cgroup_folder(&root.join(path))
    {
        return Ok(id);
    }
    match fs::metadata(text) {
        Ok(_) => Err("not a folder of the cgroup v2 hierarchy".to_owned()),
        Err(err) => Err(format!("no such cgroup: {err}")),
    }
}

/// The ID of the cgroup of this folder, if it is one.
fn cgroup_folder(path: &Path) -> Option<u64> {
    let folder = fs::metadata(path).ok()?;
    let file_system = statfs(path).ok()?;
    (file_system.filesystem_type() == CGROUP2_SUPER_MAGIC && folder.is_dir()).then(|| folder.ino())
}

/// Where the cgroup v2 hierarchy is mounted, also beside those of v1.
fn cgroup_root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut mounts = mounts.lines().map(|line| line.split(' '));
    mounts.find_map(|mut fields| {
        let path = fields.nth(1)?;
        (fields.next()? == "cgroup2").then(|| path.into())
    })
}
