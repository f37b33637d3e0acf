//! What is attached to the kernel, and where it writes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::counts::Counts;
use crate::iterator::BpfIterator;
use crate::maps::{Array, Hash, Map, RingBuf};
use crate::programs::Programs;
use crate::rows::Rows;
use crate::seed::Seed;
use crate::skel::types::{bss, kamap_counters, kamap_description, kamap_given_args, kamap_process};
use crate::sources::Sources;
use crate::{Error, Result};

/// The links, programs, iterators and maps of a tracker, as long as this lives.
#[derive(Debug)]
pub(crate) struct Attached {
    /// What keeps the programs attached.
    pub(crate) links: Vec<Link>,
    /// The programs on the tracepoints.
    pub(crate) programs: Vec<OwnedFd>,
    pub(crate) seed: OwnedFd,
    pub(crate) tasks: OwnedFd,
    pub(crate) rows: Map<Hash<u32, kamap_process>>,
    pub(crate) given_args: Map<Hash<u32, kamap_given_args>>,
    pub(crate) counters: Map<Array<kamap_counters>>,
    pub(crate) globals: Map<Array<bss>>,
    /// The ring of events, if there are any.
    pub(crate) ring: Option<OwnedFd>,
    /// What only those need who attach nothing themselves, if it is to be pinned.
    pub(crate) shared: Option<Shared>,
}

/// The link of a program, and the name of that.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) program: &'static str,
    pub(crate) fd: OwnedFd,
}

/// Maps and links of iterators for whoever reads pins.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) description: Map<Array<kamap_description>>,
    pub(crate) reader: OwnedFd,
    pub(crate) table: OwnedFd,
    pub(crate) rows: OwnedFd,
    pub(crate) status: OwnedFd,
    /// Where failed execs are recorded.
    pub(crate) failed_execs: Option<OwnedFd>,
    /// What puts a mark into the ring, if there is one.
    pub(crate) mark: Option<OwnedFd>,
}

impl Attached {
    /// What a reader of it needs.
    pub(crate) fn sources(&self) -> Result<Sources> {
        let seed = BpfIterator::Link(duplicate(self.seed.as_fd())?);
        Ok(Sources {
            rows: Rows::Map(self.rows.try_clone()?),
            tasks: BpfIterator::Link(duplicate(self.tasks.as_fd())?),
            seed: Some(Seed::new(seed, self.given_args.try_clone()?)),
            counts: Counts::Maps {
                programs: Programs::own(
                    self.programs
                        .iter()
                        .map(|program| duplicate(program.as_fd()))
                        .collect::<Result<_>>()?,
                ),
                counters: self.counters.try_clone()?,
                globals: self.globals.try_clone()?,
            },
            place: None,
        })
    }

    /// What is pinned, by name, if it is to be shared.
    pub(crate) fn pins(&self) -> Vec<(&'static str, BorrowedFd<'_>)> {
        let Some(shared) = &self.shared else {
            return Vec::new();
        };
        let mut pins = vec![
            ("processes", self.rows.as_fd()),
            ("given_args", self.given_args.as_fd()),
            ("counters", self.counters.as_fd()),
            ("globals", self.globals.as_fd()),
            ("description", shared.description.as_fd()),
            ("reader", shared.reader.as_fd()),
            ("seed", self.seed.as_fd()),
            ("tasks", self.tasks.as_fd()),
            ("rows", shared.rows.as_fd()),
            ("table", shared.table.as_fd()),
            ("status", shared.status.as_fd()),
        ];
        pins.extend(
            shared
                .failed_execs
                .iter()
                .map(|map| ("failed_execs", map.as_fd())),
        );
        pins.extend(shared.mark.iter().map(|mark| ("mark", mark.as_fd())));
        pins.extend(self.ring.iter().map(|ring| ("events", ring.as_fd())));
        pins.extend(
            self.links
                .iter()
                .map(|link| (link.program, link.fd.as_fd())),
        );
        pins
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
