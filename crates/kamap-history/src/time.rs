//! Times as SQLite has them: nanoseconds.

use std::time::Duration;

pub(crate) fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

pub(crate) fn from_nanos(time: i64) -> Duration {
    Duration::from_nanos(time.max(0).cast_unsigned())
}
