//! The table of processes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::counts::Counts;
use crate::maps;
use crate::place::Place;
use crate::rows::Rows;
use crate::seed::Seed;
use crate::skel::types::kamap_life;
use crate::tasks::{Task, Tasks};
use crate::{Cgroups, Clock, Process, Result, Snapshot};

/// The live processes of the machine, read from the kernel's table.
#[derive(Debug)]
pub struct Table {
    rows: Rows,
    tasks: Tasks,
    /// Only who may write the table can add to it.
    seed: Option<Seed>,
    counts: Arc<Counts>,
    cgroups: Arc<Cgroups>,
    /// How many writes to the table had come to nothing before `seed` last ran.
    refused_before: AtomicU64,
    /// Where somebody has pinned it, if it is not one's own.
    place: Option<Place>,
}

impl Table {
    pub(crate) fn new(
        rows: Rows,
        tasks: Tasks,
        seed: Option<Seed>,
        counts: Arc<Counts>,
        cgroups: Arc<Cgroups>,
        place: Option<Place>,
    ) -> Self {
        Self {
            rows,
            tasks,
            seed,
            counts,
            cgroups,
            refused_before: AtomicU64::new(0),
            place,
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
            current.extend(self.placed(self.as_of(process, task)?));
        }
        let mut snapshot = Snapshot::new(time, current);
        let is_unreaped = |task: &&&Task| {
            task.life == kamap_life::KAMAP_LIFE_DEAD && snapshot.get(task.facts.pid).is_none()
        };
        let unreaped = tasks.values().filter(is_unreaped);
        let unreaped = unreaped.map(|task| Process::decode(&task.facts, &task.exe));
        let mut unreaped: Vec<_> = unreaped
            .filter_map(|process| self.placed(Some(process)))
            .collect();
        unreaped.sort_unstable_by_key(|process| process.pid);
        snapshot.unreaped = unreaped;
        Ok(snapshot)
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
        let task = tasks.iter().find(|task| task.facts.pid == pid);
        Ok(self.placed(self.as_of(process, task)?))
    }

    /// Finds its cgroup.
    fn placed(&self, process: Option<Process>) -> Option<Process> {
        let mut process = process?;
        process.cgroup = self.cgroups.get(process.cgroup_id);
        Some(process)
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

    /// Finds the cgroups of all processes, so that they are known when the processes have ended.
    pub(crate) fn find_cgroups(&self) -> Result<()> {
        for task in self.tasks()? {
            self.cgroups.get(task.facts.cgroup_id);
        }
        Ok(())
    }

    /// Fails where it is no longer filled.
    pub(crate) fn check_place(&self) -> Result<()> {
        self.place.as_ref().map_or(Ok(()), Place::check)
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
        self.rows.read()
    }

    /// A row as it is in the table.
    fn row(&self, pid: u32) -> Result<Option<Process>> {
        // The kernel copies a single row without a lock, so it may be replaced
        // meanwhile: a reading counts when the next one is the same.
        let mut process = self.rows.get(pid)?;
        loop {
            let again = self.rows.get(pid)?;
            if again == process {
                return Ok(process);
            }
            process = again;
        }
    }

    /// Adds the live processes that the table lacks.
    pub(crate) fn seed(&self) -> Result<()> {
        let (Some(seed), Rows::Map(map)) = (&self.seed, &self.rows) else {
            return Ok(());
        };
        let tasks = self.tasks()?;
        let rows = map.keys().collect::<maps::Result<HashSet<u32>>>()?;
        let room = (self.max_entries() as usize).saturating_sub(rows.len());
        let lacking = tasks.iter().filter(|task| !rows.contains(&task.facts.pid));
        seed.run(lacking.take(room))
    }

    /// The same where some can be lacking because something was lost; returns whether it had to look.
    pub(crate) fn refill(&self) -> Result<bool> {
        self.check_place()?;
        if self.seed.is_none() {
            return Ok(false);
        }
        let refused = self.counts.refused()?;
        // What is refused during the run counts towards the next one.
        if self.refused_before.swap(refused, Ordering::Relaxed) == refused {
            return Ok(false);
        }
        self.seed()?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;
    use crate::iterator::BpfIterator;
    use crate::skel::bytes;
    use crate::skel::types::{
        kamap_facts, kamap_flag, kamap_life, kamap_origin, kamap_process, kamap_task,
    };

    const EXE: &[u8] = b"/usr/lib/gcc/x86_64-linux-gnu/12/cc1";
    const ARGS: &[u8] = b"cc1\0-O2\0-Wall\0main.c\0-o\0main.s\0";

    fn facts(pid: u32) -> kamap_facts {
        kamap_facts {
            start_time: 1_000_000_000 + u64::from(pid),
            pid,
            ppid: 1,
            execs: 1,
            exec_id: 1,
            flags: kamap_flag::KAMAP_PROGRAM_SEEN,
            args_len: ARGS.len() as u32,
            args_kept: ARGS.len() as u32,
            origin: kamap_origin::KAMAP_ORIGIN_EXEC,
            exe_len: EXE.len() as u16,
            ..kamap_facts::default()
        }
    }

    fn row(pid: u32) -> kamap_process {
        let mut row = kamap_process {
            facts: facts(pid),
            ..kamap_process::default()
        };
        for (to, from) in row.text.iter_mut().zip([EXE, ARGS].concat()) {
            *to = from.cast_signed();
        }
        row
    }

    fn task(pid: u32) -> Vec<u8> {
        let task = kamap_task {
            facts: kamap_facts {
                uid: 1000,
                ..facts(pid)
            },
            life: kamap_life::KAMAP_LIFE_ALIVE,
            reserved: 0,
            ..kamap_task::default()
        };
        [bytes(&task), EXE].concat()
    }

    /// A file in the place of an iterator's: whoever may not use BPF reads the table from such.
    fn printed(bytes: &[u8]) -> (File, BpfIterator) {
        let file = memfd_create("printed", MFdFlags::MFD_CLOEXEC);
        let mut file = File::from(file.expect("it can be made"));
        file.write_all(bytes).expect("it can be written");
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        (file, BpfIterator::Pin(path.into()))
    }

    /// `ci/count` counts the instructions.
    #[inline(never)]
    fn counted_snapshot(table: &Table) -> Snapshot {
        table.snapshot().expect("it can be read")
    }

    #[test]
    #[cfg_attr(miri, ignore = "opens a file through /proc")]
    fn a_thousand_rows_make_a_snapshot_with_what_is_so_now() {
        // The kernel lists neither rows nor tasks in the order of the table.
        let pids = || (1..=1000).map(|number| number * 7 % 1009);
        let rows: Vec<_> = pids().map(row).collect();
        let rows: Vec<_> = rows.iter().map(bytes).collect();
        let (_rows, rows) = printed(&rows.concat());
        let (_tasks, tasks) = printed(&pids().map(task).collect::<Vec<_>>().concat());
        let (_status, status) = printed(b"");
        let counts = Arc::new(Counts::Printed(status));
        let table = Table::new(
            Rows::Printed(rows, 1000),
            Tasks::new(tasks),
            None,
            counts,
            Arc::default(),
            None,
        );
        // Finding the cgroup takes what the machine's mounts take, once.
        table.get(1).expect("it can be read");

        let snapshot = counted_snapshot(&table);
        assert_eq!(snapshot.len(), 1000);
        assert!(snapshot.processes.is_sorted_by_key(|process| process.pid));
        for process in &snapshot {
            assert_eq!(process.uid, 1000, "as the list of tasks has it");
            assert_eq!(process.args().count(), 6);
        }
    }
}
