//! Times as people write them.

use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::{Timestamp, Zoned};

use super::duration;

/// What `text` means at this moment, see [`moment_at`].
pub(crate) fn moment(text: &str) -> Result<SystemTime, String> {
    moment_at(text, Zoned::now()).map(|time| time.timestamp().into())
}

/// A time of day (`03:12`, the last one), a date, a date and a time, a day and a time
/// (`yesterday 14:00`), a span before now (`-2h`), or RFC 3339.
fn moment_at(text: &str, now: Zoned) -> Result<Zoned, String> {
    let wrong =
        || "is no time, such as 03:12, 'yesterday 14:00', -2h or 2026-11-27T03:12:00Z".to_owned();
    let text = text.trim();
    if let Some(span) = text.strip_prefix('-') {
        let span = duration(span.trim()).map_err(|_| wrong())?;
        return now.checked_sub(span).map_err(|err| err.to_string());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.to_zoned(now.time_zone().clone()));
    }
    if let Ok(time) = text.parse::<DateTime>() {
        return time
            .to_zoned(now.time_zone().clone())
            .map_err(|err| err.to_string());
    }
    if let Ok(time) = text.parse::<jiff::civil::Time>() {
        let today = now
            .with()
            .time(time)
            .build()
            .map_err(|err| err.to_string())?;
        // Nobody asks for what has not happened.
        return match today > now {
            true => today.yesterday().map_err(|err| err.to_string()),
            false => Ok(today),
        };
    }
    if text.is_empty() {
        return Err(wrong());
    }
    let parsed = parse_datetime::parse_datetime_at_date(now, text).map_err(|_| wrong())?;
    parsed.into_zoned().ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn times_are_as_people_write_them() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let now = date(2026, 11, 27)
            .at(9, 30, 0, 0)
            .to_zoned(zone)
            .expect("it exists");
        let time = |text| moment_at(text, now.clone()).map(|time| time.datetime().to_string());
        for (text, expected) in [
            ("03:12", "2026-11-27T03:12:00"),
            ("03:12:30.5", "2026-11-27T03:12:30.5"),
            ("09:30", "2026-11-27T09:30:00"),
            ("23:50", "2026-11-26T23:50:00"),
            ("-2h", "2026-11-27T07:30:00"),
            ("-90", "2026-11-27T09:28:30"),
            ("- 1h 30m", "2026-11-27T08:00:00"),
            ("now", "2026-11-27T09:30:00"),
            ("yesterday 14:00", "2026-11-26T14:00:00"),
            ("yesterday", "2026-11-26T09:30:00"),
            ("2 hours ago", "2026-11-27T07:30:00"),
            ("2026-11-20", "2026-11-20T00:00:00"),
            ("2026-11-20 03:12", "2026-11-20T03:12:00"),
            ("2026-11-20T03:12:00Z", "2026-11-20T05:12:00"),
            ("2026-11-20T03:12:00.25+01:00", "2026-11-20T04:12:00.25"),
        ] {
            assert_eq!(time(text), Ok(expected.to_owned()), "{text}");
        }
        for wrong in ["", "noon o'clock", "25:00", "-", "-2 parsecs", "2026-13-01"] {
            assert!(time(wrong).is_err(), "{wrong}: {:?}", time(wrong));
        }
    }
}
