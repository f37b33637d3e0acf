//! From what the library says to what is shown. Nothing here asks the kernel,
//! but for [`View::read`].

mod charset;
mod duration;
mod escape;
mod event;
mod fields;
mod json;
mod plain;
mod quote;
mod run;
mod screen;
mod text;
mod trace;
mod verification;

use std::io;
use std::time::{Duration, SystemTime};

use kamap::{Clock, Losses, Process, Seen, Tracker};

pub(crate) use escape::escape;
pub(crate) use event::{Lines, TableLosses};
pub(crate) use json::{Json, VERSION};
pub(crate) use plain::Plain;
pub(crate) use run::Summary;
pub(crate) use screen::Screen;
pub(crate) use verification::Checked;

/// What is shown at one time.
#[derive(Debug)]
pub(crate) struct View {
    /// When the table was read: since boot.
    time: Duration,
    clock: Clock,
    boot_id: String,
    /// The processes to show, the oldest first.
    processes: Vec<Process>,
    /// All processes in the table.
    live: usize,
    /// Those whose program was executed since the start.
    captured: usize,
    pub(crate) losses: Losses,
    seen: Seen,
    /// The first event that may not be in the table yet, if events follow it.
    pub(crate) next_seq: Option<u64>,
    /// What to say of a table without rows to people.
    pub(crate) if_empty: Option<&'static str>,
}

impl View {
    /// Reads the table, keeping the processes that are to be shown.
    pub(crate) fn read(tracker: &Tracker, shows: impl Fn(&Process) -> bool) -> kamap::Result<Self> {
        let snapshot = tracker.table().snapshot()?;
        let mut processes = snapshot.processes;
        let live = processes.len();
        let program_seen = |process: &&Process| process.program_seen;
        let captured = processes.iter().filter(program_seen).count();
        processes.retain(shows);
        processes.sort_by_key(|process| (process.start_time, process.pid));
        Ok(Self {
            time: snapshot.time,
            clock: tracker.clock(),
            boot_id: Clock::boot_id()?,
            processes,
            live,
            captured,
            losses: tracker.losses()?,
            seen: tracker.seen()?,
            next_seq: None,
            if_empty: None,
        })
    }

    /// What to say where there are no rows.
    fn note(&self) -> Option<&'static str> {
        self.if_empty.filter(|_| self.processes.is_empty())
    }

    fn age(&self, process: &Process) -> Duration {
        self.time.saturating_sub(process.start_time)
    }

    fn system_time(&self, since_boot: Duration) -> SystemTime {
        self.clock.system_time(since_boot)
    }
}

/// Columns and rows of the terminal.
pub(crate) fn terminal_size() -> io::Result<(u16, u16)> {
    Ok(match crossterm::terminal::size()? {
        // What a terminal says that does not know.
        (0, _) | (_, 0) => (80, 24),
        size => size,
    })
}

/// Where tables go.
pub(crate) trait Output {
    /// Shows the next table.
    fn table(&mut self, view: &View) -> io::Result<()>;

    /// Shows the same table again, where the screen has changed.
    fn redraw(&mut self, _view: &View) -> io::Result<()> {
        Ok(())
    }

    /// Leaves the screen to others until the next call.
    fn suspend(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Nothing follows the last table, `view`.
    fn end(&mut self, _view: &View) -> io::Result<()> {
        Ok(())
    }

    /// Nothing follows, since a signal came: shows what there is now.
    fn summary(&mut self, view: &View) -> io::Result<()>;
}
