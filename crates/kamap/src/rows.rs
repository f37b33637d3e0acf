//! The rows of the table, wherever they are read.

use crate::iterator::BpfIterator;
use crate::maps::{Hash, Map};
use crate::skel::take;
use crate::skel::types::kamap_process;
use crate::{Process, Result};

/// Where the rows are.
#[derive(Debug)]
pub(crate) enum Rows {
    /// The map, which can be written as well.
    Map(Map<Hash<u32, kamap_process>>),
    /// An iterator prints them; so many there can be.
    Printed(BpfIterator, u32),
}

impl Rows {
    /// All of them that could be read whole.
    pub(crate) fn read(&self) -> Result<Vec<Process>> {
        let mut processes = Vec::new();
        match self {
            Self::Map(map) => {
                for entry in map.iter() {
                    processes.extend(Process::from_row(&entry?.1));
                }
            }
            Self::Printed(iterator, _) => {
                let printed = iterator.run()?;
                let mut rest = &printed[..];
                while let Some((row, others)) = take::<kamap_process>(rest) {
                    processes.extend(Process::from_row(&row));
                    rest = others;
                }
            }
        }
        Ok(processes)
    }

    pub(crate) fn get(&self, pid: u32) -> Result<Option<Process>> {
        match self {
            Self::Map(map) => Ok(map.get(&pid)?.and_then(|row| Process::from_row(&row))),
            Self::Printed(..) => Ok(self.read()?.into_iter().find(|process| process.pid == pid)),
        }
    }

    pub(crate) fn max_entries(&self) -> u32 {
        match self {
            Self::Map(map) => map.max_entries(),
            Self::Printed(_, max_entries) => *max_entries,
        }
    }
}
