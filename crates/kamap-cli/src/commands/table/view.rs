//! What a table shows.

use std::path::PathBuf;
use std::time::Duration;

use kamap::{Clock, Losses, Process, Reader, Seen};

/// What is shown at one time.
#[derive(Debug)]
pub(crate) struct View {
    /// When the table was read: since boot.
    pub(super) time: Duration,
    pub(super) clock: Clock,
    pub(super) boot_id: String,
    /// The processes to show, the oldest first.
    pub(super) processes: Vec<Process>,
    /// How many processes are in the table.
    pub(super) live: usize,
    /// How many of them run a program that was executed since the start.
    pub(super) executed: usize,
    pub(crate) losses: Losses,
    pub(super) seen: Seen,
    /// Where somebody has attached what is read, if somebody has.
    pub(crate) attached: Option<PathBuf>,
    /// The first event that may not be in the table yet, if events follow it.
    pub(crate) next_seq: Option<u64>,
    /// What to tell people about a table without rows.
    pub(crate) if_empty: Option<&'static str>,
}

impl View {
    /// Reads the table, and keeps the processes that are to be shown.
    pub(crate) fn read(reader: &Reader, shows: impl Fn(&Process) -> bool) -> kamap::Result<Self> {
        let snapshot = reader.table().snapshot()?;
        let live = snapshot.len();
        let executed = snapshot.iter().filter(|process| process.program_seen);
        let executed = executed.count();
        let time = snapshot.time;
        let mut processes = snapshot.processes;
        processes.retain(shows);
        processes.sort_by_key(|process| (process.start_time, process.pid));
        Ok(Self {
            time,
            clock: reader.clock(),
            boot_id: Clock::boot_id()?,
            processes,
            live,
            executed,
            losses: reader.losses()?,
            seen: reader.seen()?,
            attached: None,
            next_seq: None,
            if_empty: None,
        })
    }

    /// What to say where there are no rows.
    pub(super) fn note(&self) -> Option<&'static str> {
        self.if_empty.filter(|_| self.processes.is_empty())
    }
}
