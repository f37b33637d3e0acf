//! Times as RFC 3339.

use std::time::SystemTime;

use jiff::Timestamp;

/// A time as all lines have it: RFC 3339 in UTC, with all nine digits of the nanoseconds, so that times
/// sort as text.
pub fn rfc3339(time: SystemTime) -> String {
    match Timestamp::try_from(time) {
        Ok(time) => format!("{time:.9}"),
        // After the year 9999: the clock is set wrong.
        Err(_) => format!("{:.9}", Timestamp::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn times_have_nine_digits() {
        let time = UNIX_EPOCH + Duration::new(1_600_000_000, 5_000_000);
        assert_eq!(rfc3339(time), "2020-09-13T12:26:40.005000000Z");
        assert!(rfc3339(UNIX_EPOCH + Duration::from_secs(1 << 50)).starts_with("9999"));
    }
}
