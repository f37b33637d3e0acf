//! The groups of an interval, as text and as JSON.

use std::time::Duration;

use kamap::json::rfc3339;
use kamap::{Clock, Losses, Seen};
use kamap_history::{GroupBy, Key};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::args::SortBy;
use super::groups::{Groups, Sums, Who};
use crate::render::{
    Cells, Style, VERSION, counted, duration, group_heading, group_member, group_name, group_text,
    number_lines,
};

/// What there is to show of an interval.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) by: GroupBy,
    /// Since boot.
    pub(super) since: Duration,
    pub(super) until: Duration,
    pub(super) clock: Clock,
    pub(super) groups: Groups,
    /// What was lost and seen since the start.
    pub(super) losses: Losses,
    pub(super) seen: Seen,
}

impl Table {
    pub(super) fn interval(&self) -> Duration {
        self.until.saturating_sub(self.since)
    }

    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.interval().as_secs_f64().max(1e-9)
    }

    /// The heading and a line for each group.
    pub(super) fn lines(&self, cells: &Cells, sort: SortBy) -> Vec<String> {
        let rate = |count| format!("{:.1}", self.per_second(count));
        let headings = [
            "START/S",
            "END/S",
            "FAILED",
            "CPU",
            "MEAN",
            "LONGEST",
            group_heading(self.by),
        ];
        let row = |(who, sums): (&Who, &Sums)| {
            let of_ended = |time| match sums.ended {
                0 => String::new(),
                _ => duration(time),
            };
            [
                rate(sums.started),
                rate(sums.ended),
                sums.failed.to_string(),
                of_ended(sums.cpu_time),
                of_ended(sums.mean().unwrap_or_default()),
                of_ended(sums.longest),
                match who {
                    Who::Key(key) => group_text(cells, self.by, key),
                    Who::Others => "(others)".to_owned(),
                },
            ]
        };
        number_lines(headings, self.groups.sorted(sort).into_iter().map(row))
    }

    /// What is below the groups.
    pub(super) fn footer(&self) -> String {
        let sums = self.groups.total();
        format!(
            "{}: {} started, {} ended, {} failed  {}",
            duration(self.interval()),
            sums.started,
            sums.ended,
            sums.failed,
            counted(&self.seen, &self.losses, 0)
        )
    }

    /// It stands out once something was lost.
    pub(super) fn footer_style(&self) -> Style {
        match self.losses.total() {
            0 => Style::Plain,
            _ => Style::Lost,
        }
    }

    /// What is printed with `--json`.
    pub(super) fn json(&self, sort: SortBy) -> impl Serialize {
        let group = |(who, sums): (&Who, &Sums)| {
            let (name, value) = match who {
                Who::Key(key) => group_member(self.by, key),
                Who::Others => group_member(self.by, &Key::Unknown),
            };
            let mut group = Map::new();
            group.insert(name.to_owned(), value);
            if let Who::Others = who {
                group.insert("others".to_owned(), true.into());
            }
            let numbers = [
                ("started", json!(sums.started)),
                ("count", json!(sums.ended)),
                ("per_second", json!(self.per_second(sums.ended))),
                ("failed", json!(sums.failed)),
                ("cpu_ns", json!(sums.cpu_time.as_nanos() as u64)),
                ("duration_ns", json!(sums.duration.as_nanos() as u64)),
                ("longest_ns", json!(sums.longest.as_nanos() as u64)),
            ];
            group.extend(numbers.map(|(name, value)| (name.to_owned(), value)));
            Value::Object(group)
        };
        let time = |since_boot| rfc3339(self.clock.system_time(since_boot));
        let groups = self.groups.sorted(sort).into_iter().map(group);
        json!({
            "v": VERSION,
            "type": "top",
            "since": time(self.since),
            "time": time(self.until),
            "by": group_name(self.by),
            "groups": groups.collect::<Vec<_>>(),
            "losses": self.losses,
            "seen": self.seen,
        })
    }
}
