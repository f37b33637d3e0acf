//! The command line.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Parser, Subcommand};
use kamap::{Builder, Filter, Kinds, Losses, Process, Tracker};
use kamap_bpf::ProgramType;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use regex::Regex;

use crate::map::MapArgs;

/// The exit code where something was lost, and that was not to be.
const LOST: u8 = 3;

/// Show the live processes of this machine, exactly, from inside the kernel
#[derive(Debug, Parser)]
#[command(
    name = "kamap",
    version,
    args_conflicts_with_subcommands = true,
    max_term_width = 90,
    long_about = "\
Show the live processes of this machine, exactly, from inside the kernel.

BPF programs on fork, exec and exit keep a table of all processes in a kernel map; kamap \
prints it again and again until Ctrl-C. Without options it shows the processes whose program was \
executed since kamap started: a PID appears when it execs and disappears when its last thread has \
gone. What such a process forks runs the same program, and is shown too. A slow or stopped kamap misses nothing, since the table is kept without it.",
    after_help = "Needs root, or CAP_BPF and CAP_PERFMON; Linux 5.15 or newer with BTF. \
See --help for more.",
    after_long_help = "\
Columns:
  PID, PPID  process, and its parent
  USER       effective user
  AGE        time since the process started
  EXECS      how often it exec'd while kamap watched
  COMM       name that the kernel has for it
  COMMAND    arguments, quoted where a shell needs that; `…` where they were truncated; \
[in brackets] threads of the kernel; (in parentheses) the executable of a process without arguments

Below the table:
  live       processes in the table, and of how many the program was executed since kamap started
  seen       forks, execs and exits since then
  lost       what kamap could not record, by cause; while it is 0, the table is exact
  args cut   of how many rows above the arguments were truncated, if of any

On a terminal the table is redrawn in place, and rows that do not fit are counted. Elsewhere \
one table follows the other. Control characters in names and arguments are shown escaped. \
Where the locale (LC_ALL, LC_CTYPE or LANG) has no UTF-8, so is all that is not ASCII.

JSON:
  One object per line, a last one after Ctrl-C:
  {\"v\":1,\"type\":\"table\",\"time\":…,\"processes\":[…],\"losses\":{…},\"seen\":{…}}
  Times are RFC 3339 with nanoseconds, as the kernel took them.

Needs:
  Root, or CAP_BPF and CAP_PERFMON, in the initial PID namespace. Linux 5.15 or newer with BTF \
(CONFIG_DEBUG_INFO_BTF).

Exit status:
  0  fine, also after Ctrl-C, SIGTERM, or when nobody reads the output any more
  1  failure; one line on standard error says what is wrong and what to do. Of `kamap verify` \
also: the table was not exact
  2  wrong usage
  3  with --strict: something was lost
  `kamap run` exits as its command does; where that is 0, with 3 as the others do.

Examples:
  kamap                             what starts from now on
  kamap --all --once                every live process, once
  kamap --user www-data --interval 200ms
  kamap --all --once --json | jq '.processes[] | select(.execs > 1)'
  kamap events --failed             each process that fails
  kamap run -- make -j2             what a build executes, and how long each takes
  kamap verify --interval 1s        compare with the kernel's list, each second"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) live: Args,
}

/// What to do other than to show the table.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Events(EventsArgs),
    Run(RunArgs),
    Verify(VerifyArgs),
    Map(MapArgs),
    Probe(ProbeArgs),
}

/// Show what of BPF this kernel offers, and whether and why not kamap itself can run
///
/// Tries each type of program and map, and for each program type the helpers that it may call. What
/// is tried is gone at once. To know what is absent takes CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN;
/// without them it says what is unknown.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
JSON:
  One object per line: {\"v\":1,\"type\":\"kamap\"|\"program_type\"|\"map_type\",\"name\":…,\
\"offered\":true|false|null,…}, with a `reason` where it is unknown or kamap does not run, and the \
`helpers` of a program type.")]
pub(crate) struct ProbeArgs {
    /// Print JSON, one object per line
    #[arg(long)]
    pub(crate) json: bool,

    /// Probe the helpers of these program types only, such as kprobe (separated by commas)
    #[arg(short, long, value_name = "TYPE", value_delimiter = ',', value_parser = program_type)]
    pub(crate) program: Vec<ProgramType>,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Print JSON, one object per line
    #[arg(long)]
    pub(crate) json: bool,

    /// Most processes that the table in the kernel can hold
    ///
    /// By default as many as there can be PIDs (/proc/sys/kernel/pid_max), at most 16384. Takes
    /// about 840 bytes of kernel memory each. Processes that find no room are counted as lost.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_entries: Option<u32>,

    /// Exit with 3 if anything was lost
    #[arg(long)]
    pub(crate) strict: bool,

    /// On failure, print the whole log of libbpf and of the kernel's verifier
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

impl Common {
    /// Sets up the tracker as asked for.
    pub(crate) fn tracker(&self) -> Builder {
        let builder = Tracker::builder();
        match self.max_entries {
            Some(max_entries) => builder.max_entries(max_entries),
            None => builder,
        }
    }

    /// The exit code of a command that has done what it was to do, with these losses.
    pub(crate) fn exit_code(&self, losses: &Losses) -> ExitCode {
        match self.strict && losses.total() > 0 {
            true => ExitCode::from(LOST),
            false => ExitCode::SUCCESS,
        }
    }
}

/// The options of the table.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Show every live process, not only those whose program was executed since the start
    ///
    /// Adds the processes that were alive before, those that these have forked and that have not
    /// exec'd, and the threads of the kernel.
    #[arg(short, long)]
    pub(crate) all: bool,

    /// Print one table, then exit (same as --count 1)
    #[arg(long, conflicts_with = "count")]
    once: bool,

    /// Print N tables, then exit
    #[arg(short = 'n', long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    count: Option<u64>,

    /// Time between two tables, such as 200ms, 1m or 2 (seconds)
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub(crate) interval: Duration,

    /// Show only processes of these users (names or numbers, separated by commas)
    #[arg(short, long, value_name = "USER", value_delimiter = ',', value_parser = user)]
    user: Vec<u32>,

    /// Show only processes whose COMM matches this regular expression
    #[arg(short, long, value_name = "REGEX")]
    comm: Option<Regex>,

    /// Show only these processes (separated by commas)
    ///
    /// Shows them whenever they were started. It is an error if one of them does not exist when kamap
    /// starts.
    #[arg(short, long, value_name = "PID", value_delimiter = ',')]
    pub(crate) pid: Vec<u32>,

    /// Show only children of these processes (separated by commas)
    #[arg(short = 'P', long, value_name = "PID", value_delimiter = ',')]
    ppid: Vec<u32>,
}

impl Args {
    /// How many tables to print, if not until Ctrl-C.
    pub(crate) fn tables(&self) -> Option<u64> {
        if self.once { Some(1) } else { self.count }
    }

    /// What to say of a table that is empty, unless all processes were asked for.
    pub(crate) fn if_empty(&self) -> Option<&'static str> {
        let filters = !self.user.is_empty()
            || !self.pid.is_empty()
            || !self.ppid.is_empty()
            || self.comm.is_some();
        match (self.tables() == Some(1), filters) {
            _ if self.all => None,
            (false, false) => {
                Some("(processes appear here when they exec; --all shows the others as well)")
            }
            (false, true) => Some(
                "(processes that your options select appear here when they exec; --all shows \
                 the others that they select as well)",
            ),
            (true, false) => {
                Some("(no process has exec'd since kamap started; --all shows the others)")
            }
            (true, true) => Some(
                "(no process that your options select has exec'd since kamap started; --all \
                 shows the others that they select)",
            ),
        }
    }

    /// Whether `process` is to be shown.
    pub(crate) fn shows(&self, process: &Process) -> bool {
        let any = |wanted: &[u32], value| wanted.is_empty() || wanted.contains(&value);
        (self.all || process.program_seen || self.pid.contains(&process.pid))
            && any(&self.user, process.uid)
            && any(&self.pid, process.pid)
            && any(&self.ppid, process.ppid)
            && self
                .comm
                .as_ref()
                .is_none_or(|comm| comm.is_match(&process.comm()))
    }
}

/// Compare the table with the kernel's own list of processes
///
/// Starts as `kamap` does and compares: live processes without a row are missing, rows without a
/// process are stale, rows that have missed an exec are mismatched. A process that starts, execs or
/// ends meanwhile is no difference; what seems to differ is looked at again before it is shown.
///
/// With --interval the same table is compared again and again, until Ctrl-C, upon which it is compared
/// a last time, or --count.
///
/// The exit status is 1 if anything was found, in any of the comparisons, and 0 if all was exact (with
/// --strict 3, if something was lost all the same).
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Compare again after this time, such as 200ms, 1m or 2 (seconds)
    #[arg(short, long, value_name = "TIME", value_parser = interval)]
    interval: Option<Duration>,

    /// Compare N times, then exit
    #[arg(short = 'n', long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    count: Option<u64>,
}

impl VerifyArgs {
    /// How often to compare, if not until Ctrl-C.
    pub(crate) fn times(&self) -> Option<u64> {
        self.count.or(match self.interval {
            Some(_) => None,
            None => Some(1),
        })
    }

    /// Time between two comparisons.
    pub(crate) fn interval(&self) -> Duration {
        self.interval.unwrap_or(Duration::from_secs(1))
    }
}

/// Print what happens, in the kernel's order: each exec and each exit, or what --kind asks for
///
/// One line for each event: an exit with the whole life of the process. What found no room in the
/// ring, because the output was too slow, is told at its place; the table does not depend on it. So are
/// processes that found no room in the table, as no end is told of them. On a terminal lines are cut to
/// its width.
///
/// The options that choose events add up. All but --comm are applied in the kernel, where an event
/// that is not wanted costs nothing.
///
/// Ctrl-C or SIGTERM: prints what has happened until then, and a summary. A second one, after a second
/// or more, ends it at once.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Columns:
  TIME      when it happened, by the clock on the wall
  EVENT     fork, exec, failed (an exec that did) or exit
  PID, PPID, USER
            as they are when it happens, of an exit too
  DURATION  of an exit: since the process started
  STATUS    of an exit: exit code, or the signal that killed it, with `+core` if it dumped core; of \
an exec that failed: why
  ANCESTORS with --ancestors: the farthest first
  COMMAND   arguments, quoted where a shell needs that; of a fork the name; of an exec that failed the file and the arguments after \
the first

JSON:
  One object per line: \
{\"v\":1,\"type\":\"fork\"|\"exec\"|\"exec_failed\"|\"exit\",\"seq\":…,\"time\":…,\"pid\":…,…}, \
{\"v\":1,\"type\":\"lost\",\"cause\":\"ring_full\"|\"table_full\"|\"missed_runs\",\"count\":…} where something was \
lost, and last {\"v\":1,\"type\":\"summary\",…}. `seq` grows by one with each event; --comm leaves out \
numbers. docs/json.md has all fields.

Examples:
  kamap events --failed                   what fails
  kamap events --min-duration 1s          what takes long
  kamap events --kind fork,exec,exit --json
  kamap events --snapshot --kind fork,exec,exit --json
                                          all that is needed to keep a table elsewhere")]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) common: Common,

    #[command(flatten)]
    stream: StreamArgs,

    /// Print only exits with another status than 0, and execs that failed if --kind has them
    #[arg(short, long)]
    failed: bool,

    /// Print only exits of processes that lived at least this long, such as 10ms or 1 (second)
    #[arg(short = 'd', long, value_name = "TIME", value_parser = duration)]
    min_duration: Option<Duration>,

    /// Print only events of these users (names or numbers, separated by commas; 16 at most, as of
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
    /// (`/sys/fs/cgroup/system.slice`), or an ID. Where a process is when the event happens counts. At
    /// most 32 levels below the root are compared.
    #[arg(long, value_name = "CGROUP", value_delimiter = ',', value_parser = cgroup)]
    cgroup: Vec<u64>,

    /// Print only events of processes whose COMM matches this regular expression
    #[arg(short, long, value_name = "REGEX")]
    pub(crate) comm: Option<Regex>,

    /// Print N events, then exit
    #[arg(short = 'n', long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub(crate) count: Option<u64>,

    /// Print the table of all live processes first, and which event comes after it
    ///
    /// The events from that number on, applied to the table, give the table of any later moment. What
    /// one of them did may be in the table already: a fork or an exec sets a row, an exit removes it.
    #[arg(long)]
    pub(crate) snapshot: bool,

    /// Print with each event the N nearest of its parent, the parent's parent and so on (32 at most)
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=32))]
    pub(crate) ancestors: u32,
}

/// What the commands that print events have in common.
#[derive(Debug, clap::Args)]
pub(crate) struct StreamArgs {
    /// Which events to print (separated by commas)
    ///
    /// `exec_failed` sees each system call of the machine return, which slows all of them down a
    /// little. Before Linux 5.17 it keeps at most 256 arguments. An exec that fails past the point of no
    /// return has its file and arguments since Linux 6.10.
    #[arg(
        short,
        long,
        value_name = "KIND",
        value_delimiter = ',',
        default_value = "exec,exit"
    )]
    kind: Vec<Kind>,

    /// Most bytes of arguments in an event; longer ones are cut and counted
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(..=131_072))]
    max_args: u32,

    /// Bytes of the ring in which events wait to be printed: a power of two
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20, value_parser = ring_size)]
    ring_size: u32,
}

impl StreamArgs {
    /// The kinds of events to print.
    pub(crate) fn kinds(&self) -> Kinds {
        let kinds = self.kind.iter().map(|kind| match kind {
            Kind::Fork => Kinds::FORK,
            Kind::Exec => Kinds::EXEC,
            Kind::ExecFailed => Kinds::EXEC_FAILED,
            Kind::Exit => Kinds::EXIT,
        });
        kinds.fold(Kinds::default(), |all, kind| all | kind)
    }

    fn apply(&self, builder: Builder) -> Builder {
        builder.max_args(self.max_args).ring_size(self.ring_size)
    }
}

/// Run a command and show all that it starts, and all that these start
///
/// Prints the events of exactly these processes, on standard error or to --output, then all of them as
/// a tree: how long each took, how it ended, how often it exec'd, and how many processes descend from
/// it; then the slowest and those that failed.
///
/// Ends as the command does, with its exit status, or 128 and the number of the signal that killed it;
/// 127 if there is no such command, 126 if it cannot be run. Only where that is 0, it is 1 if the report
/// could not be written, or if kamap failed while it followed the command: then the report says that it
/// is incomplete. Processes that it leaves behind are shown as
/// still running. Ctrl-C is for the command to obey; SIGTERM and SIGHUP are handed on to it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Columns of the tree:
  PID, DURATION, STATUS
            as in `kamap events`; `running` where the process has not ended, `unknown` and \
no duration where it has and its end was lost
  CPU       time that all of its threads ran, without its children's
  EXECS     how often it exec'd
  DESC      how many processes descend from it
  COMMAND   arguments of its last exec; a child that did not exec has its parent's

JSON:
  --json needs --output, since the command prints on standard error as well. The lines of \
`kamap events --json` (`seq` counts forks, execs and exits, also those that --kind leaves out), then for each process {\"v\":1,\"type\":\"process\",\"depth\":…,…}, in the order of the tree, \
and last {\"v\":1,\"type\":\"run\",…}. docs/json.md has all fields.

Examples:
  kamap run -- make -j2
  kamap run --quiet -o processes.txt -- ./configure
  kamap run --json -o events.json -- make
  kamap run -q --trace build.json -- make   a timeline for https://ui.perfetto.dev or chrome://tracing")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) common: Common,

    #[command(flatten)]
    pub(crate) stream: StreamArgs,

    /// Print no events, only what follows the end
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Print to this file, not on standard error; `-` is standard output. As of --trace, what it holds is
    /// replaced once there is something to write
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Write a timeline of the processes to this file, in the trace event format of Chrome and Perfetto;
    /// `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    /// The command, and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    pub(crate) command: Vec<OsString>,
}

impl RunArgs {
    /// Sets up the tracker as asked for: the lives have to be known anyway.
    pub(crate) fn tracker(&self) -> Builder {
        let kinds = self.stream.kinds() | Kinds::LIFE;
        self.stream.apply(self.common.tracker().events(kinds))
    }
}

/// A kind of event.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    Fork,
    Exec,
    #[value(name = "exec_failed")]
    ExecFailed,
    Exit,
}

impl EventsArgs {
    /// Sets up the tracker as asked for.
    pub(crate) fn tracker(&self) -> Builder {
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
        filter = self
            .cgroup
            .iter()
            .fold(filter, |filter, id| filter.cgroup_id(*id));
        let builder = self.common.tracker().events(filter);
        self.stream.apply(builder).ancestors(self.ancestors)
    }
}

fn program_type(text: &str) -> Result<ProgramType, String> {
    ProgramType::from_name(text).ok_or_else(|| {
        let names: Vec<_> = ProgramType::all().filter_map(ProgramType::name).collect();
        format!("there is {}", names.join(", "))
    })
}

fn ring_size(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(bytes) if bytes.is_power_of_two() && bytes >= 4096 => Ok(bytes),
        _ => Err("must be a power of two, 4096 to 2147483648".to_owned()),
    }
}

/// A cgroup's ID is the inode number of its folder.
fn cgroup(text: &str) -> Result<u64, String> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    if let Some(id) = cgroup_folder(Path::new(text)) {
        return Ok(id);
    }
    // As /proc/PID/cgroup has it: seen from the root of the hierarchy.
    if let Some(path) = text.strip_prefix('/')
        && let Some(root) = cgroup_root()
        && let Some(id) = cgroup_folder(&root.join(path))
    {
        return Ok(id);
    }
    match fs::metadata(text) {
        Ok(_) => Err("it is no folder of the cgroup v2 hierarchy".to_owned()),
        Err(err) => Err(format!("no such cgroup: {err}")),
    }
}

/// The ID of the cgroup of this folder, if it is one.
fn cgroup_folder(path: &Path) -> Option<u64> {
    let folder = fs::metadata(path).ok()?;
    let file_system = statfs(path).ok()?;
    (file_system.filesystem_type() == CGROUP2_SUPER_MAGIC && folder.is_dir()).then(|| folder.ino())
}

/// Where the cgroup v2 hierarchy is mounted: also beside those of v1.
fn cgroup_root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut mounts = mounts.lines().map(|line| line.split(' '));
    mounts.find_map(|mut fields| {
        let path = fields.nth(1)?;
        (fields.next()? == "cgroup2").then(|| path.into())
    })
}

/// A number without a unit is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let is_number = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let unit = if is_number { "s" } else { "" };
    humantime::parse_duration(&format!("{text}{unit}")).map_err(|err| err.to_string())
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_millis(1) || interval > Duration::from_secs(86_400) {
        return Err("must be 1ms to 1day".to_owned());
    }
    Ok(interval)
}

fn user(text: &str) -> Result<u32, String> {
    match (text.parse(), uzers::get_user_by_name(text)) {
        (_, Some(user)) => Ok(user.uid()),
        (Ok(uid), None) => Ok(uid),
        (Err(_), None) => Err("there is no user of this name".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn users_are_names_or_numbers() {
        assert_eq!(user("root"), Ok(0));
        assert_eq!(user("4711"), Ok(4711));
        assert!(user("no such user").is_err());
    }

    #[test]
    fn a_duration_without_a_unit_is_seconds() {
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("1m 30s"), duration("90"));
        for wrong in [
            "",
            ".",
            "1.2.3",
            "-1",
            "5 6",
            "1m 30",
            "99999999999999999999",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn intervals_are_neither_too_short_nor_too_long() {
        assert_eq!(interval("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(interval("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(interval("0s").is_err());
        assert!(interval("999us").is_err());
        assert_eq!(interval("5"), Ok(Duration::from_secs(5)));
        assert!(interval("0.0001").is_err());
        assert!(interval("86401").is_err());
        assert_eq!(interval("24h"), Ok(Duration::from_secs(86_400)));
        assert!(interval("500000000000y").is_err());
    }
}
