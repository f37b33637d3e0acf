//! The arguments of `kamap history`.

use std::time::{Duration, SystemTime};

use glob::Pattern;
use kamap_history::{End, GroupBy, Life};
use regex::Regex;

use crate::args::{PlaceArgs, StoreArgs, duration, group_by, moment, user};

/// What lives can be grouped by.
const GROUPINGS: [GroupBy; 5] = [
    GroupBy::Command,
    GroupBy::Parent,
    GroupBy::User,
    GroupBy::Unit,
    GroupBy::Exit,
];

/// Show what ran: each recorded life of a process, and how it ended
///
/// Shows the lives that began or ended in a stretch of time, in the order in which they ended; those that still
/// ran at its end come last. `kamap --at TIME` shows all that ran at one moment. Needs a history, which `kamap
/// record` writes, but neither root nor BPF.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Times:
  03:12, 03:12:30   the last time that it was that time of day
  2026-11-27, '2026-11-27 03:12', 'yesterday 14:00', 2026-11-27T03:12:00Z
  -2h, '-1h 30m'    before now

Columns:
  ENDED     local time of the exit; `running` if it had not ended
  PID, PPID, USER
            values at the exit
  DURATION  time since the process started
  CPU       CPU time of its threads
  STATUS    exit code, or the signal that killed it; `unknown` if its exit was lost
  COMMAND   arguments, quoted where a shell needs it

JSON:
  One object per line: {\"v\":1,\"type\":\"life\",\"time\":…,\"boot_id\":…,…}, and \
{\"v\":1,\"type\":\"gap\",…} for a time in which not all was recorded. docs/json.md describes all fields.

Examples:
  kamap history --since 03:00 --until 03:15
  kamap history --since -1h --failed
  kamap history --since yesterday --summary --by command
  kamap history --follow --user www-data")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// Show what ran since then [default: an hour ago]
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    pub(crate) since: Option<SystemTime>,

    /// Show what ran until then [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    pub(crate) until: Option<SystemTime>,

    /// Show only processes that ended with a status other than 0
    #[arg(short, long)]
    failed: bool,

    /// Show only processes that lived at least this long, such as 10ms or 1 (second)
    #[arg(short = 'd', long, value_name = "TIME", value_parser = duration)]
    min_duration: Option<Duration>,

    /// Show only processes of these users (names or numbers, separated by commas)
    #[arg(short, long, value_name = "USER", value_delimiter = ',', value_parser = user)]
    user: Vec<u32>,

    /// Show only these processes (separated by commas)
    #[arg(short, long, value_name = "PID", value_delimiter = ',')]
    pid: Vec<u32>,

    /// Show only children of these processes (separated by commas)
    #[arg(short = 'P', long, value_name = "PID", value_delimiter = ',')]
    ppid: Vec<u32>,

    /// Show only processes in these cgroups of the v2 hierarchy, or below them (separated by commas)
    ///
    /// Each is a path as in /proc/PID/cgroup (`/system.slice/nginx.service`). `*`, `?` and `[…]` match as in
    /// a shell.
    #[arg(long, value_name = "CGROUP", value_delimiter = ',')]
    cgroup: Vec<Pattern>,

    /// Show only processes whose COMM matches this regular expression
    #[arg(short, long, value_name = "REGEX")]
    comm: Option<Regex>,

    #[command(flatten)]
    place: PlaceArgs,

    /// Show the lives as a tree: each below the one that started it
    #[arg(long, conflicts_with_all = ["summary", "follow"])]
    pub(crate) tree: bool,

    /// Show what comes, until Ctrl-C
    #[arg(long, conflicts_with = "until")]
    pub(crate) follow: bool,

    /// Show how many there were, how many failed, and what they used
    #[arg(long, conflicts_with = "follow")]
    pub(crate) summary: bool,

    /// What the lines of --summary are for
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "command",
        requires = "summary",
        value_parser = group_by(GROUPINGS)
    )]
    pub(crate) by: GroupBy,

    /// Print JSON, one object per line
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    /// Whether there are options that select lives.
    pub(crate) fn selects(&self) -> bool {
        self.failed
            || self.min_duration.is_some()
            || !self.user.is_empty()
            || !self.pid.is_empty()
            || !self.ppid.is_empty()
            || !self.cgroup.is_empty()
            || self.comm.is_some()
            || !self.place.is_empty()
    }

    /// Whether the options select this life.
    pub(crate) fn shows(&self, life: &Life) -> bool {
        let process = &life.process;
        let any = |wanted: &[u32], value| wanted.is_empty() || wanted.contains(&value);
        let has_failed = || matches!(&life.end, End::Exit(_, exit) if !exit.success());
        let is_long = |least: Duration| match life.end.time() {
            Some(end) => end.saturating_sub(process.start_time) >= least,
            None => true,
        };
        (!self.failed || has_failed())
            && self.min_duration.is_none_or(is_long)
            && any(&self.user, process.uid)
            && any(&self.pid, process.pid)
            && any(&self.ppid, process.ppid)
            && (self.cgroup.is_empty() || self.is_in_cgroup(life))
            && self
                .comm
                .as_ref()
                .is_none_or(|comm| comm.is_match(&process.comm()))
            && self.place.chooses(process)
    }

    /// Whether it ran in one of the cgroups, or below one.
    fn is_in_cgroup(&self, life: &Life) -> bool {
        let Some(cgroup) = life.process.cgroup() else {
            return false;
        };
        let mut above = cgroup.path().ancestors();
        above.any(|path| self.cgroup.iter().any(|wanted| wanted.matches_path(path)))
    }
}
