//! What a tracker is to record, and how.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::limits::{CAPACITY, LONGEST_ARGS, MAX_ARGS, RING_SIZE};
use crate::maps::page_size;
use crate::programs::Programs;
use crate::{Error, Filter, Result};

/// The options of a tracker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) max_entries: Option<u32>,
    pub(crate) events: Filter,
    pub(crate) max_args: Option<u32>,
    pub(crate) ring_size: Option<u32>,
    pub(crate) ancestors: u32,
    /// How others are to read it, if they are.
    pub(crate) shared: Option<Shared>,
    /// The thread whose next child is followed.
    pub(crate) follow_child_of: u32,
}

/// What is to be pinned for others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    /// One more than that of the tracker whose maps it takes over.
    pub(crate) generation: u32,
    /// The maps that it takes over: names of pins and file descriptors.
    pub(crate) maps: Vec<(&'static str, Arc<OwnedFd>)>,
    /// The programs that it replaces.
    pub(crate) replaced: Option<Arc<Programs>>,
}

impl Options {
    pub(crate) fn checked_max_entries(&self) -> Result<u32> {
        match self.max_entries {
            Some(max_entries) => Ok(max_entries),
            None => default_max_entries(),
        }
    }

    pub(crate) fn checked_max_args(&self) -> u32 {
        self.max_args.unwrap_or(MAX_ARGS).min(LONGEST_ARGS)
    }

    pub(crate) fn checked_ring_size(&self) -> Result<u32> {
        let bytes = self.ring_size.unwrap_or(RING_SIZE);
        let least = page_size() as u32;
        if bytes.is_power_of_two() && bytes >= least {
            Ok(bytes)
        } else {
            Err(Error::RingSize { bytes, least })
        }
    }
}

/// As many entries as there can be PIDs, within reason.
fn default_max_entries() -> Result<u32> {
    let action = "read /proc/sys/kernel/pid_max";
    let text = std::fs::read_to_string("/proc/sys/kernel/pid_max")
        .map_err(|source| Error::System { action, source })?;
    let pid_max = text.trim().parse::<u32>().map_err(|err| Error::System {
        action,
        source: io::Error::new(io::ErrorKind::InvalidData, err),
    })?;
    Ok(pid_max.min(CAPACITY))
}
