//! The arguments of `kamap top`.

use std::time::Duration;

use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use kamap::{Builder, Kinds, Tracker};
use kamap_history::GroupBy;

use crate::args::{ColorArgs, group_by, interval, ring_size};

/// What processes can be grouped by: all that is known of them while they run.
const GROUPINGS: [GroupBy; 4] = [
    GroupBy::Command,
    GroupBy::Parent,
    GroupBy::User,
    GroupBy::Unit,
];

/// Show who starts processes, how often, how long these live, and how many fail
///
/// Counts every process of the machine, also those that live for less than a millisecond and that no table
/// can show, and sums them up for each command, parent, user or unit. Each table is of what happened since the
/// one before.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Columns:
  START/S   how many processes started, per second
  END/S     how many ended, per second
  FAILED    how many of these ended with a status other than 0
  CPU       the CPU time of these: of each its whole life
  MEAN, LONGEST
            how long these lived
  COMMAND, PARENT, USER, UNIT
            what they have in common: their name, the name of the process that started them, their user or their \
systemd unit, as of their ends (of those that run, as of now). `(unknown)` where kamap cannot know, such as who \
started a process that was alive before kamap; `(none)` for processes outside of all units

Keys:
  q ends, s sorts by the next column, arrows and PgUp scroll, ? help.

JSON:
  One object for each table: {\"v\":1,\"type\":\"top\",\"since\":…,\"time\":…,\"by\":…,\"groups\":[…],\
\"losses\":{…},\"seen\":{…}}. docs/json.md describes all fields.

Examples:
  kamap top                         live, by command
  kamap top --by parent             who starts them
  kamap top --once --interval 1m    what runs in a minute
  kamap top --by unit --json | jq -c '.groups[0]'")]
pub(crate) struct Args {
    /// What the lines are for
    #[arg(long, value_name = "WHAT", default_value = "command", value_parser = group_by(GROUPINGS))]
    pub(crate) by: GroupBy,

    /// Time between two tables, such as 10s, 1m or 2 (seconds)
    #[arg(short, long, value_name = "TIME", default_value = "3s", value_parser = interval)]
    pub(crate) interval: Duration,

    /// Print one table, of the first interval, then exit (same as --count 1)
    #[arg(long, conflicts_with = "count")]
    once: bool,

    /// Print N tables, then exit
    #[arg(short = 'n', long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    count: Option<u64>,

    /// Which lines come first: those with the most of this
    #[arg(long, value_name = "COLUMN", default_value = "started")]
    pub(crate) sort: SortBy,

    #[command(flatten)]
    pub(crate) color: ColorArgs,

    /// Print JSON, one object per line
    #[arg(long)]
    pub(crate) json: bool,

    /// How many processes the table in the kernel can hold
    ///
    /// By default as many as there can be PIDs (/proc/sys/kernel/pid_max), but no more than 16384. Processes
    /// that do not fit are counted as lost.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_entries: Option<u32>,

    /// Size in bytes of the ring in which events wait to be counted: a power of two [default: 4194304]
    #[arg(long, value_name = "BYTES", value_parser = ring_size)]
    ring_size: Option<u32>,

    /// Exit with 3 if anything was lost
    #[arg(long)]
    pub(crate) strict: bool,

    /// On failure, print the whole log of libbpf and of the kernel's verifier
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// A number of a group, in the order of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SortBy {
    Started,
    Ended,
    Failed,
    Cpu,
    Mean,
    Longest,
}

impl SortBy {
    /// As it is called on the command line.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Args {
    /// How many tables to print; `None` until Ctrl-C.
    pub(crate) fn tables(&self) -> Option<u64> {
        if self.once { Some(1) } else { self.count }
    }

    /// A tracker that reports all that is counted.
    pub(crate) fn tracker(&self) -> Builder {
        let mut builder = Tracker::builder()
            .events(Kinds::FORK | Kinds::EXIT)
            .max_args(0);
        if self.by == GroupBy::Parent {
            builder = builder.ancestors(1);
        }
        if let Some(max_entries) = self.max_entries {
            builder = builder.max_entries(max_entries);
        }
        match self.ring_size {
            Some(bytes) => builder.ring_size(bytes),
            None => builder,
        }
    }
}
