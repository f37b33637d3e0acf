//! The arguments of `kamap verify`.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;

use crate::args::{self, Common};

/// Compare the table with the kernel's own list of processes
///
/// Starts as `kamap` does and compares: live processes without a row are missing, rows without a live
/// process are stale, rows that missed an exec are mismatched. A process that starts, execs or ends
/// during the comparison is not a difference: what seems to differ is rechecked before it is shown.
///
/// With --interval the same table is compared again and again: --count times, or until Ctrl-C, after
/// which it is compared a last time.
///
/// The exit status is 1 if any of the comparisons found a difference, and 0 if all were exact. With
/// --strict it is 3 if all were exact but something was lost.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Compare again after this time, such as 200ms, 1m or 2 (seconds)
    #[arg(short, long, value_name = "TIME", value_parser = args::interval)]
    interval: Option<Duration>,

    /// Compare N times, then exit
    #[arg(short = 'n', long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    count: Option<u64>,
}

impl Args {
    /// How often to compare; `None` until Ctrl-C.
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
