//! Comparing the table with the kernel's own list of processes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use crate::Clock;
use crate::Process;
use crate::process::until_nul;
use crate::skel::types::{kamap_flag, kamap_life};
use crate::tasks::Task;

/// What a comparison of the table with the kernel's own list of processes found,
/// see [`Reader::verify`](crate::Reader::verify).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// When it began: since boot, suspend included.
    pub time: Duration,
    /// How many live processes were compared.
    pub checked: usize,
    /// Live processes that have no row.
    pub missing: Vec<Suspect>,
    /// Rows whose process is gone.
    pub stale: Vec<Suspect>,
    /// Rows that are not as the kernel has the process.
    pub mismatched: Vec<Mismatch>,
}

impl Verification {
    /// Whether the table was exact.
    pub fn is_exact(&self) -> bool {
        self.missing.is_empty() && self.stale.is_empty() && self.mismatched.is_empty()
    }
}

/// A process that is only in one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Suspect {
    /// Process ID.
    pub pid: u32,
    /// When it started: since boot, suspend included.
    pub start_time: Duration,
    comm: Vec<u8>,
}

impl Suspect {
    /// A process with this name. [`Reader::verify`](crate::Reader::verify) never needs this, see
    /// [`Process::new`].
    pub fn new(pid: u32, start_time: Duration, comm: impl AsRef<[u8]>) -> Self {
        Self {
            pid,
            start_time,
            comm: comm.as_ref().to_vec(),
        }
    }

    /// Its name, with bytes that are no UTF-8 replaced. It may hold control
    /// characters: escape it before it goes to a terminal.
    pub fn comm(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.comm)
    }

    /// The same, byte for byte.
    pub fn comm_bytes(&self) -> &[u8] {
        &self.comm
    }
}

/// A process whose row is not as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// Which process.
    pub process: Suspect,
    /// What differs.
    pub fields: Vec<Field>,
}

impl Mismatch {
    /// These fields of this process differ, see [`Suspect::new`].
    pub fn new(process: Suspect, fields: Vec<Field>) -> Self {
        Self { process, fields }
    }
}

/// What differs between a row and the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// `exec_id`, the kernel's count of the execs of a process and of those that it
    /// was forked from: a row with a lower one has missed execs. Or
    /// `kernel_thread`, 1 for a thread of the kernel.
    pub name: &'static str,
    /// In the row.
    pub table: u64,
    /// In the kernel.
    pub kernel: u64,
}

impl Field {
    /// A field with these values, see [`Suspect::new`].
    pub fn new(name: &'static str, table: u64, kernel: u64) -> Self {
        Self {
            name,
            table,
            kernel,
        }
    }
}

/// What of a row can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    pid: u32,
    start_time: u64,
    exec_id: u64,
    kernel_thread: bool,
    comm: Vec<u8>,
}

/// A difference, as one look shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Difference {
    Missing(Suspect),
    Stale(Suspect),
    Mismatched(Mismatch),
}

/// The table, then the kernel's list, then the table again.
///
/// So that nothing that happens meanwhile is taken for a difference: a process
/// that the list shows alive must be in the second reading, one that it does not
/// show must be missing in one of the two, and a row that is the same in both
/// must be as the list shows it.
pub(crate) struct Look {
    before: HashMap<u32, Row>,
    tasks: HashMap<u32, Task>,
    after: HashMap<u32, Row>,
}

impl Look {
    pub(crate) fn new(before: Vec<Process>, tasks: Vec<Task>, after: Vec<Process>) -> Self {
        let rows = |processes: Vec<Process>| {
            let rows = processes.into_iter().map(|process| {
                let row = Row {
                    pid: process.pid,
                    start_time: process.start_time.as_nanos() as u64,
                    exec_id: process.exec_id,
                    kernel_thread: process.kernel_thread,
                    comm: process.comm,
                };
                (process.pid, row)
            });
            rows.collect()
        };
        Self {
            before: rows(before),
            tasks: tasks
                .into_iter()
                .map(|task| (task.facts.pid, task))
                .collect(),
            after: rows(after),
        }
    }

    fn alive(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().filter(|task| task.is_alive())
    }

    fn differences(&self) -> Vec<Difference> {
        let mut differences = Vec::new();
        for task in self.alive() {
            let row = self.after.get(&task.facts.pid);
            match row.filter(|row| row.start_time == task.facts.start_time) {
                None => differences.push(Difference::Missing(Suspect {
                    pid: task.facts.pid,
                    start_time: Duration::from_nanos(task.facts.start_time),
                    comm: until_nul(&task.facts.comm).collect(),
                })),
                Some(row)
                    if self.before.get(&task.facts.pid) == Some(row)
                        && task.life == kamap_life::KAMAP_LIFE_ALIVE =>
                {
                    let fields = fields(row, task);
                    if !fields.is_empty() {
                        differences.push(Difference::Mismatched(Mismatch {
                            process: row.suspect(),
                            fields,
                        }));
                    }
                }
                Some(_) => {}
            }
        }
        for row in self.before.values() {
            let still = self.after.get(&row.pid);
            let task = self.tasks.get(&row.pid);
            if still.is_some_and(|still| still.start_time == row.start_time)
                && task.is_none_or(|task| {
                    task.facts.start_time != row.start_time
                        || task.life == kamap_life::KAMAP_LIFE_DEAD
                })
            {
                differences.push(Difference::Stale(row.suspect()));
            }
        }
        differences
    }
}

impl Row {
    fn suspect(&self) -> Suspect {
        Suspect {
            pid: self.pid,
            start_time: Duration::from_nanos(self.start_time),
            comm: self.comm.clone(),
        }
    }
}

fn fields(row: &Row, task: &Task) -> Vec<Field> {
    [
        ("exec_id", row.exec_id, task.facts.exec_id),
        (
            "kernel_thread",
            row.kernel_thread.into(),
            u64::from(task.facts.flags.0 & kamap_flag::KAMAP_KTHREAD.0 != 0),
        ),
    ]
    .into_iter()
    .filter(|(_, table, kernel)| table != kernel)
    .map(|(name, table, kernel)| Field {
        name,
        table,
        kernel,
    })
    .collect()
}

/// Compares what `look` returns, and looks again after each of `waits` as long as
/// there are differences. What all looks show is a difference.
pub(crate) fn verify<E>(
    mut look: impl FnMut() -> Result<Look, E>,
    waits: &[Duration],
) -> Result<Verification, E> {
    let mut found = Verification {
        time: Clock::since_boot(),
        ..Verification::default()
    };
    let first = look()?;
    found.checked = first.alive().count();
    let mut differences = first.differences();
    for wait in waits {
        if differences.is_empty() {
            break;
        }
        std::thread::sleep(*wait);
        let again = look()?.differences();
        differences.retain(|difference| again.contains(difference));
    }
    for difference in differences {
        match difference {
            Difference::Missing(suspect) => found.missing.push(suspect),
            Difference::Stale(suspect) => found.stale.push(suspect),
            Difference::Mismatched(mismatch) => found.mismatched.push(mismatch),
        }
    }
    found.missing.sort_by_key(|suspect| suspect.pid);
    found.stale.sort_by_key(|suspect| suspect.pid);
    found
        .mismatched
        .sort_by_key(|mismatch| mismatch.process.pid);
    Ok(found)
}
