//! Reading what the programs record, whoever has attached them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::counts::Counts;
use crate::sources::Sources;
use crate::tasks::Tasks;
use crate::verify::{Look, Verification, verify};
use crate::{Cgroups, Clock, Losses, Result, Seen, Table};

/// How long to wait before looking again at what seems to differ. What the kernel
/// does while it holds on to a task is over long before the last.
const WAITS: [Duration; 3] = [
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(100),
];

/// Reads the table and the counters of a tracker. It can be shared by threads.
#[derive(Debug)]
pub struct Reader {
    table: Table,
    counts: Arc<Counts>,
    cgroups: Arc<Cgroups>,
    clock: Mutex<Clock>,
}

impl Reader {
    pub(crate) fn new(sources: Sources) -> Self {
        let counts = Arc::new(sources.counts);
        let cgroups = Arc::new(Cgroups::new());
        let tasks = Tasks::new(sources.tasks);
        Self {
            table: Table::new(
                sources.rows,
                tasks,
                sources.seed,
                Arc::clone(&counts),
                Arc::clone(&cgroups),
                sources.place,
            ),
            counts,
            cgroups,
            clock: Mutex::new(Clock::measure()),
        }
    }

    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// The cgroups of the processes that were read. Ask it for others.
    pub fn cgroups(&self) -> &Arc<Cgroups> {
        &self.cgroups
    }

    /// The live processes.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The number that the next event will have.
    ///
    /// A table that is read after this holds what all events before it did; apply
    /// those from it on, and you have the table of any later moment. What one of them
    /// did can be in the table already: a fork or an exec sets the row of its process,
    /// an exit removes it.
    ///
    /// # Errors
    ///
    /// [`Error::Map`](crate::Error::Map), where the kernel does not tell.
    pub fn next_seq(&self) -> Result<u64> {
        self.counts.next_seq()
    }

    /// Converts times since boot to the time of day, as the clock is set now. It is the same each time,
    /// unless the clock has been stepped meanwhile.
    pub fn clock(&self) -> Clock {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        *clock = clock.now();
        *clock
    }

    /// Adds the live processes that the table lacks because something was lost
    /// ([`losses`](Self::losses)), as far as there is room by now. Does nothing
    /// where nothing can be lacking; returns whether it had to look.
    ///
    /// Reading the table does the same ([`Table::snapshot`]). Who reads events alone calls it now and
    /// then, so that the ends of such processes are told.
    ///
    /// They get rows like those that were alive before the tracker
    /// ([`Origin::Seed`](crate::Origin::Seed)).
    ///
    /// # Errors
    ///
    /// [`Error::Map`](crate::Error::Map) or [`Error::System`](crate::Error::System), where the kernel does not tell.
    pub fn refill(&self) -> Result<bool> {
        self.table.refill()
    }

    /// Compares the table with the kernel's own list of processes, looking again
    /// before anything is reported, so that a process that starts, execs or ends
    /// meanwhile is no difference.
    ///
    /// Compared are PID and start time, the number of execs (by the kernel's own
    /// count), and whether it is a thread of the kernel. All else can change while a
    /// process lives, and is read from the same list ([`Table::snapshot`]).
    ///
    /// # Errors
    ///
    /// [`Error::Map`](crate::Error::Map) or [`Error::System`](crate::Error::System), where the kernel does not tell.
    pub fn verify(&self) -> Result<Verification> {
        self.table.check_place()?;
        let look = || -> Result<Look> {
            let before = self.table.rows()?;
            let tasks = self.table.tasks()?;
            let after = self.table.rows()?;
            Ok(Look::new(before, tasks, after))
        };
        verify(look, &WAITS)
    }

    /// What could not be recorded since the start.
    ///
    /// # Errors
    ///
    /// [`Error::Map`](crate::Error::Map) or [`Error::System`](crate::Error::System), where the kernel does not tell.
    pub fn losses(&self) -> Result<Losses> {
        self.counts.losses()
    }

    /// What was seen since the start.
    ///
    /// # Errors
    ///
    /// [`Error::Map`](crate::Error::Map), where the kernel does not tell.
    pub fn seen(&self) -> Result<Seen> {
        self.counts.seen()
    }
}

#[cfg(test)]
mod tests {
    use super::Reader;
    use crate::{Events, Follow, Pinned, Tracker};

    #[test]
    fn threads_can_share_them() {
        fn shared<T: Send + Sync>() {}
        shared::<Reader>();
        shared::<Tracker>();
        shared::<Events>();
        shared::<Follow>();
        shared::<Pinned>();
    }
}
