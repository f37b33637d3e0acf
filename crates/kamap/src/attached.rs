//! What is attached to the kernel, and where it writes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::iterator::BpfIterator;
use crate::maps::{Array, Hash, Map, PerCpuArray, RingBuf};
use crate::reader::Sources;
use crate::skel::types::{bss, kamap_counters, kamap_given_args, kamap_process};
use crate::{Error, Result};

/// The links, programs, iterators and maps of a tracker, as long as this lives.
#[derive(Debug)]
pub(crate) struct Attached {
    /// What keeps the programs attached.
    pub(crate) links: Vec<OwnedFd>,
    /// The programs on the tracepoints.
    pub(crate) programs: Vec<OwnedFd>,
    pub(crate) seed: OwnedFd,
    pub(crate) tasks: OwnedFd,
    pub(crate) rows: Map<Hash<u32, kamap_process>>,
    pub(crate) given_args: Map<Hash<u32, kamap_given_args>>,
    pub(crate) counters: Map<PerCpuArray<kamap_counters>>,
    pub(crate) globals: Map<Array<bss>>,
    /// The ring of events, if there are any.
    pub(crate) ring: Option<OwnedFd>,
}

impl Attached {
    /// What a reader of it needs.
    pub(crate) fn sources(&self) -> Result<Sources> {
        Ok(Sources {
            rows: self.rows.try_clone()?,
            given_args: self.given_args.try_clone()?,
            counters: self.counters.try_clone()?,
            globals: self.globals.try_clone()?,
            seed: BpfIterator::new(duplicate(self.seed.as_fd())?),
            tasks: BpfIterator::new(duplicate(self.tasks.as_fd())?),
            programs: self
                .programs
                .iter()
                .map(|program| duplicate(program.as_fd()))
                .collect::<Result<_>>()?,
        })
    }

    /// The reader of its ring, if it has one.
    pub(crate) fn ring(&self) -> Result<Option<RingBuf<[u8]>>> {
        let Some(ring) = &self.ring else {
            return Ok(None);
        };
        Ok(Some(RingBuf::from_fd(duplicate(ring.as_fd())?)?))
    }
}

pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    fd.try_clone_to_owned().map_err(|source| Error::System {
        action: "duplicate a file descriptor",
        source,
    })
}
