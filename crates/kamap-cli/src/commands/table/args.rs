//! The arguments of `kamap` without a command.

use std::time::{Duration, SystemTime};

use clap::builder::RangedU64ValueParser;
use kamap::Process;
use regex::Regex;

use super::look::LookArgs;
use crate::args::{Common, PlaceArgs, interval, moment, user};

/// The options of the table.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Show every live process, not only those that exec'd since the start and those that they forked
    ///
    /// Adds the processes that were alive before, those that they forked and that have not exec'd, and
    /// kernel threads. As text also those that have ended and that their parents have not waited for
    /// (`<defunct>`).
    #[arg(short, long)]
    pub(crate) all: bool,

    /// Print one table, then exit (same as --count 1)
    #[arg(long, conflicts_with = "count")]
    once: bool,

    /// Print N tables, then exit
    #[arg(short = 'n', long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    count: Option<u64>,

    /// Print the table as it was at this time, such as 03:12:30 or 'yesterday 14:00', from a history
    ///
    /// `kamap record` writes it; --dir names its folder [default: /var/lib/kamap]. Needs neither root nor BPF.
    /// `kamap history --help` shows how times can be written.
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true, conflicts_with_all = ["count", "own", "max_entries"])]
    pub(crate) at: Option<SystemTime>,

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
    /// Also those that were started before kamap. It is an error if one of them does not exist when
    /// kamap starts.
    #[arg(short, long, value_name = "PID", value_delimiter = ',')]
    pub(crate) pid: Vec<u32>,

    /// Show only children of these processes (separated by commas)
    #[arg(short = 'P', long, value_name = "PID", value_delimiter = ',')]
    ppid: Vec<u32>,

    #[command(flatten)]
    place: PlaceArgs,

    #[command(flatten)]
    pub(super) look: LookArgs,
}

impl Args {
    /// How many tables to print; `None` until Ctrl-C.
    pub(crate) fn tables(&self) -> Option<u64> {
        if self.once { Some(1) } else { self.count }
    }

    /// What to say about an empty table, unless all processes were asked for.
    pub(crate) fn if_empty(&self) -> Option<&'static str> {
        let filters = !self.user.is_empty()
            || !self.pid.is_empty()
            || !self.ppid.is_empty()
            || self.comm.is_some()
            || !self.place.is_empty();
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

    /// Whether the options select `process`, with those that have not exec'd if `all`.
    pub(crate) fn shows(&self, process: &Process, all: bool) -> bool {
        let any = |wanted: &[u32], value| wanted.is_empty() || wanted.contains(&value);
        (all || process.program_seen || self.pid.contains(&process.pid))
            && any(&self.user, process.uid)
            && any(&self.pid, process.pid)
            && any(&self.ppid, process.ppid)
            && self.place.chooses(process)
            && self
                .comm
                .as_ref()
                .is_none_or(|comm| comm.is_match(&process.comm()))
    }
}
