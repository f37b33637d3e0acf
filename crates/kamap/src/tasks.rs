//! The kernel's own list of processes.

use crate::Result;
use crate::iterator::BpfIterator;
use crate::skel::take;
use crate::skel::types::{kamap_facts, kamap_life, kamap_task};

/// A process of the list.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) facts: kamap_facts,
    pub(crate) life: kamap_life,
    /// Its PID in its own PID namespace, and the inode number of that.
    pub(crate) own_pid: Option<(u32, u32)>,
    pub(crate) exe: Vec<u8>,
}

impl Task {
    /// Whether it runs, or could.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(
            self.life,
            kamap_life::KAMAP_LIFE_ALIVE | kamap_life::KAMAP_LIFE_EXECING
        )
    }
}

/// Lists the processes, each time it is run.
#[derive(Debug)]
pub(crate) struct Tasks(BpfIterator);

impl Tasks {
    /// `iterator` is the program `tasks`.
    pub(crate) fn new(iterator: BpfIterator) -> Self {
        Self(iterator)
    }

    pub(crate) fn list(&self) -> Result<Vec<Task>> {
        let printed = self.0.run()?;
        let mut rest = &printed[..];
        let mut tasks = Vec::new();
        while let Some((task, text)) = take::<kamap_task>(rest) {
            let (exe, others) = text.split_at(text.len().min(task.facts.exe_len.into()));
            tasks.push(Task {
                facts: task.facts,
                life: task.life,
                own_pid: (task.vpid != 0).then_some((task.vpid, task.pid_ns)),
                exe: exe.to_vec(),
            });
            rest = others;
        }
        Ok(tasks)
    }
}
