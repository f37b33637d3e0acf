//! The command line.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Parser, Subcommand};
use kamap::{Builder, Origin, Process, Tracker};
use regex::Regex;

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
prints it again and again until Ctrl-C. Without options it shows the processes that exec'd \
since kamap started: a PID appears when it execs and disappears when its last thread has \
gone. A slow or stopped kamap misses nothing, since the table is kept without it.",
    after_help = "Needs root, or CAP_BPF and CAP_PERFMON; Linux 5.15 or newer with BTF. \
See --help for more.",
    after_long_help = "\
Columns:
  PID, PPID  process, and parent when the process last forked or exec'd
  USER       effective user at that time
  AGE        time since the process started
  EXECS      how often it exec'd while kamap watched
  COMM       name that the kernel has for it
  COMMAND    arguments; [in brackets] threads of the kernel; `…` where something was cut

Below the table:
  live       processes in the table, and how many of them exec'd since kamap started
  seen       forks, execs and exits since then
  lost       what kamap could not record, by cause; while it is 0, the table is exact

On a terminal the table is redrawn in place, and rows that do not fit are counted. Elsewhere \
one table follows the other. Control characters in names and arguments are shown escaped.

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

Examples:
  kamap                             what starts from now on
  kamap --all --once                every live process, once
  kamap --user www-data --interval 200ms
  kamap --all --once --json | jq '.processes[] | select(.execs > 1)'
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
    Verify(VerifyArgs),
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
}

/// The options of the table.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Show every live process, not only those that exec'd since the start
    ///
    /// Adds the processes that were alive before, those that have forked but not exec'd, and
    /// the threads of the kernel.
    #[arg(short, long)]
    pub(crate) all: bool,

    /// Print one table, then exit (same as --count 1)
    #[arg(long, conflicts_with = "count")]
    once: bool,

    /// Print N tables, then exit
    #[arg(short = 'n', long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    count: Option<u64>,

    /// Time between two tables, such as 200ms, 2s or 1m
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub(crate) interval: Duration,

    /// Show only processes of these users (names or numbers, separated by commas)
    #[arg(short, long, value_name = "USER", value_delimiter = ',', value_parser = user)]
    user: Vec<u32>,

    /// Show only processes whose COMM matches this regular expression
    #[arg(short, long, value_name = "REGEX")]
    comm: Option<Regex>,

    /// Show only these processes (separated by commas)
    #[arg(short, long, value_name = "PID", value_delimiter = ',')]
    pid: Vec<u32>,

    /// Show only children of these processes (separated by commas)
    #[arg(short = 'P', long, value_name = "PID", value_delimiter = ',')]
    ppid: Vec<u32>,
}

impl Args {
    /// How many tables to print, if not until Ctrl-C.
    pub(crate) fn tables(&self) -> Option<u64> {
        if self.once { Some(1) } else { self.count }
    }

    /// Whether `process` is to be shown.
    pub(crate) fn shows(&self, process: &Process) -> bool {
        let any = |wanted: &[u32], value| wanted.is_empty() || wanted.contains(&value);
        (self.all || process.origin == Origin::Exec)
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
/// With --interval the same table is compared again and again, until Ctrl-C or --count.
///
/// The exit status is 1 if anything was found, in any of the comparisons, and 0 if all was exact.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Compare again after this time, such as 200ms, 2s or 1m
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

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|err| err.to_string())?;
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
    fn intervals_have_a_unit_and_are_not_too_short() {
        assert_eq!(interval("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(interval("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(interval("0s").is_err());
        assert!(interval("999us").is_err());
        assert!(interval("5").is_err());
        assert_eq!(interval("24h"), Ok(Duration::from_secs(86_400)));
        assert!(interval("500000000000y").is_err());
    }
}
