//! Which events to record.

use std::time::Duration;

use crate::skel::types::kamap_filter;
use crate::{Error, Event, EventKind, Kinds, Result};

/// Which events to tell of. The kernel applies it: what does not pass costs no room
/// in the ring.
///
/// ```
/// use std::time::Duration;
/// use kamap::{Filter, Kinds};
///
/// // Programs of www-data that ran for a second or more, or failed.
/// let slow = Filter::new(Kinds::EXIT).uid(33).min_duration(Duration::from_secs(1));
/// let failed = Filter::new(Kinds::EXIT).uid(33).failed();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub(crate) kinds: Kinds,
    min_duration: Option<Duration>,
    failed: bool,
    /// Only processes that are followed, see `Builder::follow`.
    pub(crate) followed: bool,
    cgroup_ids: Vec<u64>,
    uids: Vec<u32>,
    pids: Vec<u32>,
    ppids: Vec<u32>,
}

impl Filter {
    /// All events of these kinds.
    pub fn new(kinds: Kinds) -> Self {
        Self {
            kinds,
            ..Self::default()
        }
    }

    /// Only ends of processes that lived at least this long; no other events.
    #[must_use]
    pub fn min_duration(mut self, duration: Duration) -> Self {
        self.min_duration = Some(duration);
        self
    }

    /// Only ends with another status than success, and execs that have failed.
    #[must_use]
    pub fn failed(mut self) -> Self {
        self.failed = true;
        self
    }

    /// Only processes of this effective user, or of others added in the same way (16
    /// at most, as in each of these lists).
    #[must_use]
    pub fn uid(mut self, uid: u32) -> Self {
        self.uids.push(uid);
        self
    }

    /// Only this process, or others added in the same way.
    #[must_use]
    pub fn pid(mut self, pid: u32) -> Self {
        self.pids.push(pid);
        self
    }

    /// Only children of this process, or of others added in the same way.
    #[must_use]
    pub fn ppid(mut self, ppid: u32) -> Self {
        self.ppids.push(ppid);
        self
    }

    /// Only processes in the cgroup with this ID
    /// ([`Process::cgroup_id`](crate::Process::cgroup_id)) or, at most 32 levels below the root, in one
    /// below it; or in others added in the same way. Where a process is when it happens counts.
    #[must_use]
    pub fn cgroup_id(mut self, cgroup_id: u64) -> Self {
        self.cgroup_ids.push(cgroup_id);
        self
    }

    /// The kinds that can pass.
    pub(crate) fn wanted(&self) -> Kinds {
        let possible = if self.min_duration.is_some() {
            Kinds::EXIT
        } else if self.failed {
            Kinds::EXIT | Kinds::EXEC_FAILED
        } else {
            Kinds::ALL
        };
        Kinds(self.kinds.0 & possible.0)
    }

    /// Whether an event passes, as the kernel decides it; for a stream that other filters have made. Not
    /// which cgroups are below another is known here: those of the filter themselves pass.
    pub fn passes(&self, event: &Event) -> bool {
        fn listed<T: PartialEq>(list: &[T], value: &T) -> bool {
            list.is_empty() || list.contains(value)
        }
        let process = &event.process;
        let ended_well = match &event.kind {
            EventKind::Exit(exit) => {
                let lived = event.time.saturating_sub(process.start_time);
                if self.min_duration.is_some_and(|least| lived < least) {
                    return false;
                }
                exit.status == 0
            }
            _ => false,
        };
        self.wanted().contains(event.kind.into())
            && !(self.failed && ended_well)
            && listed(&self.uids, &process.uid)
            && listed(&self.pids, &process.pid)
            && listed(&self.ppids, &process.ppid)
            && listed(&self.cgroup_ids, &process.cgroup_id)
    }

    /// The kinds of events that can pass.
    pub fn kinds(&self) -> Kinds {
        self.wanted()
    }

    /// Whether it tells apart cgroups.
    pub fn has_cgroups(&self) -> bool {
        !self.cgroup_ids.is_empty()
    }

    /// As the programs take it.
    pub(crate) fn encode(&self) -> Result<kamap_filter> {
        let min_duration = self.min_duration.unwrap_or_default().as_nanos();
        let mut filter = kamap_filter {
            min_duration: u64::try_from(min_duration).unwrap_or(u64::MAX),
            failed: self.failed.into(),
            followed: self.followed.into(),
            ..kamap_filter::default()
        };
        filter.cgroup_ids_len = fill(&mut filter.cgroup_ids, &self.cgroup_ids)?;
        filter.uids_len = fill(&mut filter.uids, &self.uids)?;
        filter.pids_len = fill(&mut filter.pids, &self.pids)?;
        filter.ppids_len = fill(&mut filter.ppids, &self.ppids)?;
        Ok(filter)
    }
}

impl From<Kinds> for Filter {
    fn from(kinds: Kinds) -> Self {
        Self::new(kinds)
    }
}

/// Puts `values` into `list`; returns how many there are.
fn fill<T: Copy>(list: &mut [T], values: &[T]) -> Result<u32> {
    let most = list.len();
    match list.get_mut(..values.len()) {
        Some(list) => list.copy_from_slice(values),
        None => return Err(Error::FilterTooLong { most }),
    }
    Ok(values.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Exit, Process};

    /// `ci/count` counts the instructions.
    #[inline(never)]
    fn counted_filter(filter: &Filter, events: &[Event]) -> usize {
        events.iter().filter(|event| filter.passes(event)).count()
    }

    #[test]
    fn of_a_thousand_ends_those_pass_that_the_filter_wants() {
        let count = if cfg!(miri) { 10 } else { 1000 };
        let events: Vec<_> = (0..count)
            .map(|number| {
                let mut process = Process::new(number, Duration::ZERO);
                (process.uid, process.ppid) = (1000 + number % 2, 1);
                // The numbers are of successes and of failures in pairs.
                let exit = EventKind::Exit(Exit::new((number as i32 / 2 % 2) << 8));
                let time = Duration::from_millis(number.into());
                Event::new(number.into(), time, process, exit)
            })
            .collect();
        let all = Filter::new(Kinds::ALL);
        assert_eq!(counted_filter(&all, &events), events.len());
        let some = all.uid(999).uid(1000).ppid(1).failed();
        let wanted = events.iter().filter(|event| event.seq % 4 == 2).count();
        assert_eq!(counted_filter(&some, &events), wanted);
        let some = some.min_duration(Duration::from_millis(u64::from(count) / 2));
        assert!(counted_filter(&some, &events) <= wanted.div_ceil(2));
    }
}
