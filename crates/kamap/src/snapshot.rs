//! The table as it was read at one time.

use std::slice;
use std::time::Duration;
use std::vec;

use crate::Process;

/// The table as it was read at one time, see [`Table::snapshot`](crate::Table::snapshot).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// When reading began: since boot, suspend included.
    pub time: Duration,
    /// The processes, sorted by PID: [`get`](Self::get) relies on it.
    pub processes: Vec<Process>,
    /// Processes that have ended, and whose parents have not waited for them: zombies, which only have a
    /// PID, a name, a parent, a user and a cgroup. They are not in the table any more, nor in
    /// [`processes`](Self::processes). Sorted by PID.
    pub unreaped: Vec<Process>,
}

impl Snapshot {
    /// These processes, in any order, as they were at `time` since boot.
    ///
    /// [`Table::snapshot`](crate::Table::snapshot) makes those of a tracker. This one lets code that
    /// uses snapshots be tested:
    ///
    /// ```
    /// use std::time::Duration;
    /// use kamap::{Process, Snapshot};
    ///
    /// let start = Duration::from_secs(1);
    /// let table = Snapshot::new(start, vec![Process::new(7, start), Process::new(1, start)]);
    /// assert_eq!(table.get(7).map(|process| process.start_time), Some(start));
    /// let pids: Vec<_> = table.iter().map(|process| process.pid).collect();
    /// assert_eq!(pids, [1, 7]);
    /// ```
    pub fn new(time: Duration, mut processes: Vec<Process>) -> Self {
        processes.sort_unstable_by_key(|process| (process.pid, process.start_time));
        Self {
            time,
            processes,
            unreaped: Vec::new(),
        }
    }

    /// The process with this PID.
    pub fn get(&self, pid: u32) -> Option<&Process> {
        let at = self
            .processes
            .binary_search_by_key(&pid, |process| process.pid);
        at.ok().map(|at| &self.processes[at])
    }

    /// The processes, by PID.
    pub fn iter(&self) -> slice::Iter<'_, Process> {
        self.processes.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.processes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }
}

impl IntoIterator for Snapshot {
    type Item = Process;
    type IntoIter = vec::IntoIter<Process>;

    fn into_iter(self) -> Self::IntoIter {
        self.processes.into_iter()
    }
}

impl<'a> IntoIterator for &'a Snapshot {
    type Item = &'a Process;
    type IntoIter = slice::Iter<'a, Process>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_found_by_pid() {
        let process = |pid| Process::new(pid, Duration::from_secs(pid.into()));
        let table = Snapshot::new(Duration::ZERO, [9, 2, 5].map(process).into());
        let found = |pid| table.get(pid).map(|process| process.start_time.as_secs());
        assert_eq!([2, 5, 9].map(found), [Some(2), Some(5), Some(9)]);
        assert_eq!([0, 3, 10].map(found), [None; 3]);
        let pids: Vec<_> = (&table).into_iter().map(|process| process.pid).collect();
        assert_eq!(pids, [2, 5, 9]);
        assert!(table.into_iter().map(|process| process.pid).eq([2, 5, 9]));
    }
}
