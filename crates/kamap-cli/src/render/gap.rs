//! A time in which not all was recorded.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kamap::json::GapLine;
use kamap_history::Gap;

/// The gap as JSON.
pub(crate) fn gap_line(gap: &Gap) -> GapLine<'_> {
    let lost = gap.lost.iter().map(|lost| (&*lost.cause, lost.count));
    GapLine::new(gap.since, gap.until, lost)
}

/// What was lost, and when.
pub(crate) fn gap_text(gap: &Gap) -> String {
    let lost: Vec<_> = gap
        .lost
        .iter()
        .map(|lost| format!("{} {}", lost.count, lost.cause))
        .collect();
    let what = match lost.is_empty() {
        true => "nothing was recorded".to_owned(),
        false => format!("lost {}", lost.join(", ")),
    };
    let since = gap
        .since
        .map(|time| format!(" after {}", date_and_time(time)));
    let until = match gap.until {
        Some(time) => format!(", exact again at {}", date_and_time(time)),
        None => String::new(),
    };
    what + &since.unwrap_or_default() + &until
}

/// Local date and time.
pub(crate) fn date_and_time(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::MAX);
    let time = time.to_zoned(TimeZone::system());
    time.strftime("%F %T%.3f").to_string()
}
