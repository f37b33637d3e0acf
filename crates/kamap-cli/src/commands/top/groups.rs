//! Counts the processes that started or ended in an interval, in groups that have something in common.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use kamap::{Event, EventKind, Exit, Process, Snapshot};
use kamap_history::{GroupBy, Key};

use super::args::SortBy;

/// How many groups an interval can have. Without a limit, somebody who gives each process another name could use
/// up the memory.
const MOST: usize = 10_000;

/// The totals of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) started: u64,
    pub(super) ended: u64,
    /// How many of these ended with a status other than 0.
    pub(super) failed: u64,
    pub(super) cpu_time: Duration,
    /// The sum of how long those that ended lived.
    pub(super) duration: Duration,
    pub(super) longest: Duration,
}

impl Sums {
    fn add_end(&mut self, lived: Duration, exit: &Exit) {
        self.ended += 1;
        self.failed += u64::from(exit.status != 0);
        self.cpu_time += exit.cpu_time;
        self.duration += lived;
        self.longest = self.longest.max(lived);
    }

    /// How long those that ended have lived, on average.
    pub(super) fn mean(&self) -> Option<Duration> {
        let ended = u32::try_from(self.ended).ok()?;
        self.duration.checked_div(ended)
    }

    fn number(&self, by: SortBy) -> u128 {
        match by {
            SortBy::Started => self.started.into(),
            SortBy::Ended => self.ended.into(),
            SortBy::Failed => self.failed.into(),
            SortBy::Cpu => self.cpu_time.as_nanos(),
            SortBy::Mean => self.mean().unwrap_or_default().as_nanos(),
            SortBy::Longest => self.longest.as_nanos(),
        }
    }
}

/// What the processes of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Who {
    Key(Key),
    /// Those that came after the last group that there was room for.
    Others,
}

/// Groups of an interval.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups(HashMap<Who, Sums>);

impl Groups {
    fn of(&mut self, key: Key) -> &mut Sums {
        let mut who = Who::Key(key);
        if self.0.len() >= MOST && !self.0.contains_key(&who) {
            who = Who::Others;
        }
        self.0.entry(who).or_default()
    }

    /// All of them together.
    pub(super) fn total(&self) -> Sums {
        let mut total = Sums::default();
        for sums in self.0.values() {
            total.started += sums.started;
            total.ended += sums.ended;
            total.failed += sums.failed;
            total.cpu_time += sums.cpu_time;
            total.duration += sums.duration;
            total.longest = total.longest.max(sums.longest);
        }
        total
    }

    /// All of them, those with the most of `by` first.
    pub(super) fn sorted(&self, by: SortBy) -> Vec<(&Who, &Sums)> {
        let mut groups: Vec<_> = self.0.iter().collect();
        groups.sort_by_key(|&(who, sums)| {
            (Reverse((sums.number(by), sums.started, sums.ended)), who)
        });
        groups
    }
}

/// Counts the processes that start and end.
#[derive(Debug)]
pub(super) struct Counter {
    by: GroupBy,
    groups: Groups,
    /// Those that have started since kamap has and have not ended, by PID.
    alive: HashMap<u32, Alive>,
}

#[derive(Debug)]
struct Alive {
    start_time: Duration,
    /// The name of the process that has started it, where that is asked for.
    starter: Option<Key>,
    /// Whether an earlier interval has counted its start.
    is_counted: bool,
}

impl Counter {
    pub(super) fn new(by: GroupBy) -> Self {
        Self {
            by,
            groups: Groups::default(),
            alive: HashMap::new(),
        }
    }

    pub(super) fn by(&self) -> GroupBy {
        self.by
    }

    pub(super) fn add(&mut self, event: &Event) {
        let process = &event.process;
        match event.kind {
            EventKind::Fork => {
                let alive = Alive {
                    start_time: process.start_time,
                    starter: (self.by == GroupBy::Parent).then(|| parent(event)),
                    is_counted: false,
                };
                self.alive.insert(process.pid, alive);
            }
            EventKind::Exit(exit) => {
                let is_it = |alive: &Alive| alive.start_time == process.start_time;
                let alive = match self.alive.get(&process.pid).is_some_and(is_it) {
                    true => self.alive.remove(&process.pid),
                    false => None,
                };
                let is_new = alive.as_ref().is_some_and(|alive| !alive.is_counted);
                let key = match (self.by, alive) {
                    (GroupBy::Parent, alive) => alive
                        .and_then(|alive| alive.starter)
                        .unwrap_or(Key::Unknown),
                    (by, _) => key(by, process),
                };
                let sums = self.groups.of(key);
                sums.started += u64::from(is_new);
                sums.add_end(event.time.saturating_sub(process.start_time), &exit);
            }
            _ => {}
        }
    }

    /// Whether [`end_interval`](Self::end_interval) needs a table.
    pub(super) fn wants_table(&self) -> bool {
        self.by != GroupBy::Parent && self.alive.values().any(|alive| !alive.is_counted)
    }

    /// The groups since the last call. `table` says what those are called now that have started and run.
    pub(super) fn end_interval(&mut self, table: Option<&Snapshot>) -> Groups {
        for (&pid, alive) in &mut self.alive {
            if alive.is_counted {
                continue;
            }
            let key = match &alive.starter {
                Some(starter) => starter.clone(),
                None => {
                    let process = table.and_then(|table| table.get(pid));
                    match process.filter(|process| process.start_time == alive.start_time) {
                        Some(process) => key(self.by, process),
                        // It has ended, or is about to: its exit says more.
                        None => continue,
                    }
                }
            };
            alive.is_counted = true;
            self.groups.of(key).started += 1;
        }
        std::mem::take(&mut self.groups)
    }
}

/// The name of the process that started it.
fn parent(event: &Event) -> Key {
    match event.ancestors.first() {
        Some(parent) => Key::Name(parent.comm_bytes().to_vec()),
        None => Key::None,
    }
}

fn key(by: GroupBy, process: &Process) -> Key {
    match by {
        GroupBy::User => Key::Number(process.uid.into()),
        GroupBy::Unit => match process.cgroup() {
            Some(cgroup) => match cgroup.user_unit().or(cgroup.unit()) {
                Some(unit) => Key::Name(unit.into()),
                None => Key::None,
            },
            None => Key::Unknown,
        },
        _ => Key::Name(process.comm_bytes().to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_beyond_the_limit_are_counted_as_one() {
        let mut counter = Counter::new(GroupBy::Command);
        let many = MOST + 50;
        for (pid, seq) in (1..).zip(0..many as u64) {
            let process = Process::new(pid, Duration::ZERO).with_comm(format!("name-{pid}"));
            let exit = EventKind::Exit(Exit::new(0));
            counter.add(&Event::new(seq, Duration::from_secs(1), process, exit));
        }
        let groups = counter.end_interval(None);
        let found = groups.sorted(SortBy::Ended);
        assert_eq!(found.len(), MOST + 1);
        let (who, sums) = found[0];
        assert_eq!((who, sums.ended), (&Who::Others, 50));
        assert_eq!(groups.total().ended, many as u64);
    }
}
