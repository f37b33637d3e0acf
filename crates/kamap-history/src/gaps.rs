//! When not all was recorded.

use std::time::{Duration, SystemTime};

use crate::{History, Result};

/// A time in which not all was recorded: nobody did, or something was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// Until when all was recorded. `None` if nothing was before.
    pub since: Option<SystemTime>,
    /// From when on all was recorded again. `None` if nothing was after it.
    pub until: Option<SystemTime>,
    /// What was lost; nothing if nobody recorded.
    pub lost: Vec<LostCount>,
}

/// How much was lost for one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostCount {
    /// The cause, as `docs/json.md` names it.
    pub cause: String,
    /// How many events or, of `table_full`, processes.
    pub count: u64,
}

impl History {
    /// All gaps, the first one first, with that before the first record and that after the last one.
    ///
    /// # Errors
    ///
    /// Where files cannot be read.
    pub fn gaps(&self) -> Result<Vec<Gap>> {
        let mut gaps = Vec::new();
        let mut open = Gap {
            since: None,
            until: None,
            lost: Vec::new(),
        };
        let mut last: Option<(&str, i64)> = None;
        for file in &self.files {
            for span in &file.spans {
                let goes_on = last
                    .is_some_and(|(boot_id, until)| boot_id == file.boot_id && span.since <= until);
                if goes_on {
                    open.lost.clear();
                } else {
                    open.until = Some(file.system_time(span.since));
                    let from = match last {
                        Some((boot_id, until)) if boot_id == file.boot_id => until,
                        _ => i64::MIN,
                    };
                    add(&mut open, file.losses(from, span.since)?);
                    gaps.push(open.clone());
                }
                open = Gap {
                    since: Some(file.system_time(span.until)),
                    until: None,
                    lost: Vec::new(),
                };
                last = Some((&file.boot_id, span.until));
            }
            let from = last.map_or(i64::MIN, |(_, until)| until);
            add(&mut open, file.losses(from, i64::MAX)?);
        }
        gaps.push(open);
        Ok(gaps)
    }

    /// For how much of the time after `since` and up to `until` all was recorded.
    ///
    /// # Errors
    ///
    /// Where files cannot be read.
    pub fn recorded(&self, since: SystemTime, until: SystemTime) -> Result<Duration> {
        let between =
            |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default();
        let gaps = self.gaps()?.into_iter().map(|gap| {
            let from = gap.since.map_or(since, |from| from.max(since));
            let to = gap.until.map_or(until, |to| to.min(until));
            between(from, to)
        });
        Ok(between(since, until).saturating_sub(gaps.sum()))
    }

    /// The gap in which `time` is, if it is in one.
    pub(crate) fn gap_at(&self, time: SystemTime) -> Result<Option<Gap>> {
        let mut gaps = self.gaps()?.into_iter();
        Ok(gaps.find(|gap| {
            gap.since.is_none_or(|since| since < time) && gap.until.is_none_or(|until| time < until)
        }))
    }
}

fn add(gap: &mut Gap, losses: Vec<(String, u64)>) {
    for (cause, count) in losses {
        match gap.lost.iter_mut().find(|lost| lost.cause == cause) {
            Some(known) => known.count += count,
            None => gap.lost.push(LostCount { cause, count }),
        }
    }
}
