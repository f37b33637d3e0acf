//! The table of processes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::counts::Counts;
use crate::maps::{self, Hash, Map};
use crate::seed::Seed;
use crate::skel::types::kamap_process;
use crate::tasks::{Task, Tasks};
use crate::{Clock, Process, Result};

/// Kernel memory for each entry: key, row, and what the kernel adds (its `struct
/// htab_elem` before them and the bucket).
pub(crate) const BYTES_PER_ENTRY: u64 = size_of::<kamap_process>() as u64 + 8 + 48 + 16;

/// The live processes of the machine, read from the kernel's table.
#[derive(Debug)]
pub struct Table {
    rows: Map<Hash<u32, kamap_process>>,
    tasks: Tasks,
    seed: Seed,
    counts: Arc<Counts>,
    /// How many writes to the table had come to nothing before `seed` last ran.
    refused_before: AtomicU64,
}

impl Table {
    pub(crate) fn new(
        rows: Map<Hash<u32, kamap_process>>,
        tasks: Tasks,
        seed: Seed,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            rows,
            tasks,
            seed,
            counts,
            refused_before: AtomicU64::new(0),
        }
    }

    /// All processes, by PID.
    ///
    /// A process that lives throughout the call is in it exactly once. Of those
    /// that start or end meanwhile, each may be in it or not. What can change while a process
    /// lives (user, name, parent, cgroup, the path of the executable) is as of this call.
    ///
    /// Processes that the table lacks because something was lost ([`Losses`](crate::Losses)) are
    /// added first, as far as there is room by now.
    ///
    /// # Errors
    ///
    /// [`Error::Map`](crate::Error::Map) or [`Error::System`](crate::Error::System), where the kernel
    /// fails to tell.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.refill()?;
        let time = Clock::since_boot();
        let mut processes = self.rows()?;
        let tasks = self.tasks()?;
        let tasks: HashMap<u32, &Task> = tasks.iter().map(|task| (task.facts.pid, task)).collect();
        let mut current = Vec::with_capacity(processes.len());
        for process in processes.drain(..) {
            let task = tasks.get(&process.pid).copied();
            current.extend(self.as_of(process, task)?);
        }
        current.sort_unstable_by_key(|process| (process.pid, process.start_time));
        Ok(Snapshot {
            time,
            processes: current,
        })
    }

    /// One process as of this call, `None` if there is none of that PID.
    ///
    /// # Errors
    ///
    /// As of [`snapshot`](Self::snapshot).
    pub fn get(&self, pid: u32) -> Result<Option<Process>> {
        self.refill()?;
        let Some(process) = self.row(pid)? else {
            return Ok(None);
        };
        let tasks = self.tasks()?;
        self.as_of(process, tasks.iter().find(|task| task.facts.pid == pid))
    }

    /// The process that a row shows, as the kernel lists it now; `None` if it has ended.
    fn as_of(&self, process: Process, task: Option<&Task>) -> Result<Option<Process>> {
        let is_it =
            |task: &&Task| process.is(task.facts.pid, Duration::from_nanos(task.facts.start_time));
        match task.filter(is_it) {
            Some(task) if task.facts.exec_id == process.exec_id => {
                Ok(Some(process.refreshed(task)))
            }
            // It has exec'd, or ended, since the row was read; or the list does not show it.
            task => Ok(match self.row(process.pid)? {
                Some(row) if row.start_time != process.start_time => None,
                Some(row) if row.exec_id != process.exec_id => Some(row),
                Some(row) => Some(match task {
                    Some(task) => row.refreshed(task),
                    None => row,
                }),
                None => None,
            }),
        }
    }

    /// The most processes that the table can hold.
    pub fn max_entries(&self) -> u32 {
        self.rows.max_entries()
    }

    /// The kernel's own list.
    pub(crate) fn tasks(&self) -> Result<Vec<Task>> {
        self.tasks.list()
    }

    /// All rows as they are in the table.
    pub(crate) fn rows(&self) -> Result<Vec<Process>> {
        let mut processes = Vec::new();
        for entry in self.rows.iter() {
            processes.extend(Process::from_row(&entry?.1));
        }
        Ok(processes)
    }

    /// A row as it is in the table.
    fn row(&self, pid: u32) -> Result<Option<Process>> {
        // The kernel copies a single row without a lock, so it may be replaced
        // meanwhile: a reading counts when the next one is the same.
        let read =
            || -> Result<_> { Ok(self.rows.get(&pid)?.and_then(|row| Process::from_row(&row))) };
        let mut process = read()?;
        loop {
            let again = read()?;
            if again == process {
                return Ok(process);
            }
            process = again;
        }
    }

    /// Adds the live processes that the table lacks.
    pub(crate) fn seed(&self) -> Result<()> {
        let tasks = self.tasks()?;
        let rows = self.rows.keys().collect::<maps::Result<HashSet<u32>>>()?;
        let room = (self.max_entries() as usize).saturating_sub(rows.len());
        let lacking = tasks.iter().filter(|task| !rows.contains(&task.facts.pid));
        self.seed.run(lacking.take(room))
    }

    /// The same where some can be lacking because something was lost; returns whether it had to look.
    pub(crate) fn refill(&self) -> Result<bool> {
        let refused = self.counts.refused()?;
        // What is refused during the run counts towards the next one.
        if self.refused_before.swap(refused, Ordering::Relaxed) == refused {
            return Ok(false);
        }
        self.seed()?;
        Ok(true)
    }
}

/// The table as it was read at one time.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When reading began: since boot, suspend included.
    pub time: Duration,
    /// The processes, by PID.
    pub processes: Vec<Process>,
}

impl IntoIterator for Snapshot {
    type Item = Process;
    type IntoIter = std::vec::IntoIter<Process>;

    fn into_iter(self) -> Self::IntoIter {
        self.processes.into_iter()
    }
}
