//! The arguments of `kamap verify`.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;

use crate::args::{self, Common};

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
