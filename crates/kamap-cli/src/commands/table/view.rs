//! What a table shows.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use kamap::{Clock, Losses, Process, Reader, Seen, Snapshot};
use kamap_history::Gap;

use super::rows::Kin;

/// What is shown at one time.
#[derive(Debug)]
pub(crate) struct View {
    /// When the table was read: since boot.
    pub(super) time: Duration,
    pub(super) clock: Clock,
    pub(super) boot_id: String,
    /// The processes to show, the oldest first.
    pub(super) processes: Vec<Process>,
    /// Those to show that have ended and are not reaped.
    pub(super) unreaped: Vec<Process>,
    /// Who descends from whom, of all processes in the table.
    pub(super) kin: Kin,
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
    /// Of a moment in the past.
    pub(super) past: Option<Past>,
}

/// What there is to say of a table of the past.
#[derive(Debug)]
pub(super) struct Past {
    /// When it was.
    pub(super) time: SystemTime,
    /// What keeps it from being exact, if anything does.
    pub(super) gap: Option<Gap>,
}

impl View {
    /// Reads the table, and keeps the processes that are to be shown.
    pub(crate) fn read(reader: &Reader, shows: impl Fn(&Process) -> bool) -> kamap::Result<Self> {
        let snapshot = reader.table().snapshot()?;
        let (losses, seen) = (reader.losses()?, reader.seen()?);
        let boot_id = Clock::boot_id()?;
        let clock = reader.clock();
        Ok(Self::new(snapshot, clock, boot_id, losses, seen, shows))
    }

    /// A table of any moment of this boot or another one. What was lost and seen is that up to this
    /// moment.
    pub(crate) fn new(
        snapshot: Snapshot,
        clock: Clock,
        boot_id: String,
        losses: Losses,
        seen: Seen,
        shows: impl Fn(&Process) -> bool,
    ) -> Self {
        let live = snapshot.len();
        let executed = snapshot.iter().filter(|process| process.program_seen);
        let executed = executed.count();
        let kin = Kin::of(&snapshot.processes);
        let time = snapshot.time;
        let (mut processes, mut unreaped) = (snapshot.processes, snapshot.unreaped);
        for shown in [&mut processes, &mut unreaped] {
            shown.retain(&shows);
            shown.sort_by_key(|process| (process.start_time, process.pid));
        }
        Self {
            time,
            clock,
            boot_id,
            processes,
            unreaped,
            kin,
            live,
            executed,
            losses,
            seen,
            attached: None,
            next_seq: None,
            if_empty: None,
            past: None,
        }
    }

    /// What to say where there are no rows.
    pub(super) fn note(&self) -> Option<&'static str> {
        self.if_empty.filter(|_| self.processes.is_empty())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// A table of these processes, of which some are shown, 1,000 seconds after boot.
    pub(in super::super) fn view(
        processes: Vec<Process>,
        shows: impl Fn(&Process) -> bool,
    ) -> View {
        let snapshot = Snapshot::new(Duration::from_secs(1000), processes);
        let clock = Clock::booted_at(UNIX_EPOCH);
        let (losses, seen) = (Losses::default(), Seen::default());
        View::new(snapshot, clock, "boot".to_owned(), losses, seen, shows)
    }
}
