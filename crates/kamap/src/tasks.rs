//! The kernel's own list of processes.

use std::io::{self, Read};

use libbpf_rs::{Iter, Link};

use crate::skel::take;
use crate::skel::types::{kamap_facts, kamap_life, kamap_task};
use crate::{Error, Result};

/// A process of the list.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) facts: kamap_facts,
    pub(crate) life: kamap_life,
    pub(crate) exe: Vec<u8>,
}

/// Lists the processes, each time it is run.
#[derive(Debug)]
pub(crate) struct Tasks(Link);

impl Tasks {
    /// `iterator` is the program `tasks`.
    pub(crate) fn new(iterator: Link) -> Self {
        Self(iterator)
    }

    pub(crate) fn list(&self) -> Result<Vec<Task>> {
        let printed = run(&self.0)?;
        let mut rest = &printed[..];
        let mut tasks = Vec::new();
        while let Some((task, text)) = take::<kamap_task>(rest) {
            let (exe, others) = text.split_at(text.len().min(task.facts.exe_len.into()));
            tasks.push(Task {
                facts: task.facts,
                life: task.life,
                exe: exe.to_vec(),
            });
            rest = others;
        }
        Ok(tasks)
    }
}

/// Runs an iterator to its end; returns what it prints.
pub(crate) fn run(iterator: &Link) -> Result<Vec<u8>> {
    let failed = |source| Error::System {
        action: "read the kernel's task list",
        source,
    };
    let mut iter = Iter::new(iterator).map_err(|err| failed(io::Error::other(err)))?;
    let mut printed = Vec::new();
    loop {
        match iter.read_to_end(&mut printed) {
            Ok(_) => return Ok(printed),
            // After a million tasks in a row the kernel wants to be asked again.
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
            Err(err) => return Err(failed(err)),
        }
    }
}
