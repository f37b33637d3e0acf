//! A tracker of one's own.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use crate::attached::Attached;
use crate::options::Options;
use crate::{Description, Events, Pinned, Reader, Result, pin};

/// The running programs and what they write. Whatever a [`Reader`] reads can be read here.
///
/// Dropping it detaches the programs and frees the maps; so does the end of the
/// process, however it ends.
#[derive(Debug)]
pub struct Tracker {
    attached: Attached,
    reader: Reader,
    events: Option<Events>,
}

impl Tracker {
    /// What is attached as `options` say, with all processes that are alive.
    pub(crate) fn new(attached: Attached, options: &Options) -> Result<Self> {
        let reader = Reader::new(attached.sources()?);
        let events = match attached.ring()? {
            Some(ring) if attached.shared.is_none() => Some(Events::new(
                ring,
                attached.globals.try_clone()?,
                &reader,
                options.ancestors,
                options.checked_max_args(),
                options.events.wanted(),
            )?),
            _ => None,
        };
        reader.table().seed()?;
        if let Some(shared) = &attached.shared {
            let description = Description::encode(options, reader.table().max_entries())?;
            shared.description.set(0, &description)?;
        }
        Ok(Self {
            attached,
            reader,
            events,
        })
    }

    /// Pins what is attached, see [`Builder::attach`](crate::Builder::attach).
    pub(crate) fn pin(
        &self,
        dir: &Path,
        group: Option<u32>,
        replace: bool,
        lock: &File,
    ) -> Result<Pinned> {
        pin::pin(&self.attached, dir, group, replace, lock)
    }

    /// The reader of the stream of events, once: `None` after that, and if
    /// [`Builder::events`](crate::Builder::events) asked for none.
    ///
    /// The stream begins when the programs are attached. What nobody reads waits in
    /// the ring as long as there is room; the table does not depend on it.
    pub fn take_events(&mut self) -> Option<Events> {
        self.events.take()
    }

    /// Detaches the programs: from now on nothing is recorded, and nothing removed. What
    /// waits in the ring of events can still be read ([`Events::drain`]).
    pub fn detach(&mut self) {
        self.attached.links.clear();
    }
}

impl Deref for Tracker {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}
