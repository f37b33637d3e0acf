//! What a tree of processes comes to at one time.

use std::cmp::Reverse;
use std::time::Duration;

use crate::{Life, ProcessTree, Snapshot};

/// What a tree of processes comes to at one time: what still runs, how long each process took, which
/// were the slowest.
///
/// A process without an exit event either runs, or its exit was lost: only the table tells which.
#[derive(Clone, Copy, Debug)]
pub struct TreeSummary<'a> {
    tree: &'a ProcessTree,
    now: Duration,
    table: Option<&'a Snapshot>,
}

impl<'a> TreeSummary<'a> {
    /// Sums up `tree` at `now`, since boot.
    ///
    /// `table` is read after the last event of the tree
    /// ([`Table::snapshot`](crate::Table::snapshot)). Without it, it is not known which processes still
    /// run.
    pub fn new(tree: &'a ProcessTree, now: Duration, table: Option<&'a Snapshot>) -> Self {
        Self { tree, now, table }
    }

    /// The tree.
    pub fn tree(&self) -> &'a ProcessTree {
        self.tree
    }

    /// When this is, since boot.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Whether a process of the tree still runs; `None` where it has no exit event and the table is not
    /// known.
    pub fn is_running(&self, life: &Life) -> Option<bool> {
        if life.end.is_some() {
            return Some(false);
        }
        let process = &life.process;
        let row = self.table?.get(process.pid);
        Some(row.is_some_and(|row| row.start_time == process.start_time))
    }

    /// How many processes still run; `None` where that is not known of all.
    pub fn running(&self) -> Option<usize> {
        let lives = self.tree.processes().iter();
        lives
            .map(|life| self.is_running(life).map(usize::from))
            .sum()
    }

    /// How long a process has lived; `None` where its exit event was lost.
    pub fn duration(&self, life: &Life) -> Option<Duration> {
        let until_now = || self.now.saturating_sub(life.process.start_time);
        let lives = || self.is_running(life)?.then(until_now);
        life.duration().or_else(lives)
    }

    /// How long the first process, which is the command that was followed, has lived. If its exit event
    /// was lost: until now.
    pub fn duration_of_command(&self) -> Duration {
        let until_now = |life: &Life| self.now.saturating_sub(life.process.start_time);
        let command = self.tree.processes().first();
        command.map_or(Duration::ZERO, |life| {
            life.duration().unwrap_or_else(|| until_now(life))
        })
    }

    /// The processes without children whose duration is known, the longest first. A process with
    /// children mostly waits for them.
    pub fn slowest(&self) -> Vec<&'a Life> {
        let tree = self.tree.branches();
        let leaves = tree.iter().filter(|branch| branch.descendants == 0);
        let mut slowest: Vec<_> = leaves
            .filter_map(|branch| Some((self.duration(branch.life)?, branch.life)))
            .collect();
        slowest.sort_by_key(|(duration, _)| Reverse(*duration));
        slowest.into_iter().map(|(_, life)| life).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, EventKind, Exit, Process};

    const SECOND: Duration = Duration::from_secs(1);

    fn process(pid: u32, ppid: u32) -> Process {
        let mut process = Process::new(pid, SECOND * pid);
        (process.ppid, process.parent_start_time) = (ppid, Some(SECOND * ppid));
        process
    }

    /// 1 started 2 and 3, and 3 started 4. 2 exited with 1 after three seconds; 3, 4 and 1 did not.
    fn tree() -> ProcessTree {
        let mut tree = ProcessTree::default();
        for (pid, ppid, seconds, kind) in [
            (1, 0, 1, EventKind::Fork),
            (2, 1, 2, EventKind::Fork),
            (3, 1, 3, EventKind::Fork),
            (4, 3, 4, EventKind::Fork),
            (2, 1, 5, EventKind::Exit(Exit::new(1 << 8))),
        ] {
            let event = Event::new(0, SECOND * seconds, process(pid, ppid), kind);
            tree.add(&event).expect("it contradicts nothing");
        }
        tree
    }

    #[test]
    fn a_process_without_an_exit_event_runs_if_the_table_has_it() {
        let tree = tree();
        // The PID of 3 is used again: its exit was lost.
        let mut other = process(3, 1);
        other.start_time = SECOND * 9;
        let table = Snapshot::new(SECOND * 10, vec![process(1, 0), other, process(4, 3)]);
        let summary = TreeSummary::new(&tree, SECOND * 10, Some(&table));
        let running: Vec<_> = tree
            .processes()
            .iter()
            .map(|life| summary.is_running(life))
            .collect();
        assert_eq!(running, [Some(true), Some(false), Some(false), Some(true)]);
        assert_eq!(summary.running(), Some(2));
        let durations: Vec<_> = tree
            .processes()
            .iter()
            .map(|life| summary.duration(life))
            .collect();
        assert_eq!(
            durations,
            [Some(SECOND * 9), Some(SECOND * 3), None, Some(SECOND * 6)]
        );
        assert_eq!(summary.duration_of_command(), SECOND * 9);
        let slowest: Vec<_> = summary
            .slowest()
            .iter()
            .map(|life| life.process.pid)
            .collect();
        assert_eq!(slowest, [4, 2]);
        let failed: Vec<_> = tree.failed().map(|life| life.process.pid).collect();
        assert_eq!(failed, [2]);
    }

    #[test]
    fn without_the_table_only_those_that_ended_are_known() {
        let tree = tree();
        let summary = TreeSummary::new(&tree, SECOND * 10, None);
        let running: Vec<_> = tree
            .processes()
            .iter()
            .map(|life| summary.is_running(life))
            .collect();
        assert_eq!(running, [None, Some(false), None, None]);
        assert_eq!(summary.running(), None);
        let slowest: Vec<_> = summary
            .slowest()
            .iter()
            .map(|life| life.process.pid)
            .collect();
        assert_eq!(slowest, [2]);
        assert_eq!(summary.duration_of_command(), SECOND * 9, "until now");
    }
}
