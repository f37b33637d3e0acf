//! Tables, events and what sums them up as JSON, the same that `kamap --json` prints.
//!
//! The contract is `docs/json.md` in the repository: what is in it keeps its name and meaning within
//! [`VERSION`]. Each value here is one line, for any serializer of `serde` that writes JSON:
//!
//! ```
//! use std::time::{Duration, UNIX_EPOCH};
//! use kamap::{Clock, Event, EventKind, Process, json};
//!
//! // Those of a tracker are `tracker.clock()` and `Clock::boot_id()?`.
//! let lines = json::Lines::new(Clock::booted_at(UNIX_EPOCH), "the boot's ID");
//! let process = Process::new(7, Duration::from_secs(1)).with_comm("make");
//! let fork = Event::new(0, Duration::from_secs(1), process, EventKind::Fork);
//! let line = serde_json::to_string(&lines.event(&fork))?;
//! assert!(line.starts_with(r#"{"v":1,"type":"fork","seq":0,"time":"1970-01-01T00:00:01.0"#));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod fields;
mod lines;
mod text;
mod time;

pub use lines::{
    EventLine, GapLine, LifeLine, Lines, LostLine, ProcessLine, ReplacedLine, RunLine, StreamLine,
    SummaryLine, TableLine, VERSION, VerifyLine,
};
pub use time::rfc3339;

#[cfg(test)]
mod tests;
