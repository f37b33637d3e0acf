//! What could not be recorded, and what was seen.

/// What kamap knows that it could not record, by cause.
///
/// While `table_full` and `missed_runs` are 0, the table is exact; while [`total`](Self::total)
/// is, the stream of events is complete too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Losses {
    /// Processes that found no room in the table when they started or, alive
    /// before the tracker, when they were to be added. One that execs once
    /// there is room is in the table again. As long as it has no row, no event tells of
    /// its end.
    /// Cure: [`Builder::max_entries`](crate::Builder::max_entries).
    pub table_full: u64,
    /// PID of the first process counted by `table_full`.
    pub first_refused_pid: Option<u32>,
    /// Events that found no room in the ring, because their reader was too slow. The
    /// table is not concerned.
    /// Cure: [`Builder::ring_size`](crate::Builder::ring_size).
    pub ring_full: u64,
    /// Runs of a program that the kernel skipped, or in which it skipped the
    /// write to the table, to avoid recursion. The kernel is known to do so
    /// when a program is hit while it runs on the same CPU.
    pub missed_runs: u64,
    /// Times that arguments were longer than what a row holds, or could not be
    /// read. The row itself is exact; see [`Process::args_cut`](crate::Process::args_cut).
    pub args_cut: u64,
    /// Events of an exec, or of one that failed, whose arguments were longer than
    /// [`Builder::max_args`](crate::Builder::max_args), or could not be read; and those of an
    /// exit, with the arguments that its row has, whose exec the stream has not told.
    pub event_args_cut: u64,
}

impl Losses {
    /// Number of things lost; what was recorded but shortened is not among them.
    pub fn total(&self) -> u64 {
        self.table_full + self.ring_full + self.missed_runs
    }

    /// The same without what was lost `before`.
    ///
    /// ```
    /// use kamap::Losses;
    ///
    /// let mut before = Losses::default();
    /// before.ring_full = 3;
    /// let mut now = before;
    /// (now.ring_full, now.table_full, now.first_refused_pid) = (5, 1, Some(7));
    /// let since = now.without(&before);
    /// assert_eq!((since.ring_full, since.table_full), (2, 1));
    /// assert_eq!(since.first_refused_pid, Some(7));
    /// assert_eq!(now.without(&now), Losses::default());
    /// ```
    #[must_use]
    pub fn without(&self, before: &Self) -> Self {
        // Of the first one, only that is known which was first of all.
        let first = self.first_refused_pid.filter(|_| before.table_full == 0);
        Self {
            table_full: self.table_full.saturating_sub(before.table_full),
            first_refused_pid: first,
            ring_full: self.ring_full.saturating_sub(before.ring_full),
            missed_runs: self.missed_runs.saturating_sub(before.missed_runs),
            args_cut: self.args_cut.saturating_sub(before.args_cut),
            event_args_cut: self.event_args_cut.saturating_sub(before.event_args_cut),
        }
    }

    /// What was lost since `before`, by cause: nothing for a cause that has not grown.
    ///
    /// ```
    /// use kamap::{Cause, Losses};
    ///
    /// let before = Losses::default();
    /// let mut now = before;
    /// now.table_full = 3;
    /// let lost: Vec<_> = now.since(&before).map(|lost| (lost.cause, lost.count)).collect();
    /// assert_eq!(lost, [(Cause::TableFull, 3)]);
    /// ```
    pub fn since(&self, before: &Self) -> impl Iterator<Item = Lost> + use<> {
        let causes = [
            (Cause::RingFull, self.ring_full, before.ring_full),
            (Cause::TableFull, self.table_full, before.table_full),
            (Cause::MissedRuns, self.missed_runs, before.missed_runs),
        ];
        causes.into_iter().filter_map(|(cause, now, before)| {
            let count = now.saturating_sub(before);
            (count > 0).then_some(Lost { cause, count })
        })
    }
}

/// Something that could not be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Lost {
    /// Why.
    pub cause: Cause,
    /// How much: events or, where the table was full, processes.
    pub count: u64,
}

impl Lost {
    /// So much was lost for this cause. Trackers never need this: it lets code that uses losses be
    /// tested.
    pub fn new(cause: Cause, count: u64) -> Self {
        Self { cause, count }
    }
}

/// Why something was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Cause {
    /// Events: the ring was full, see [`Losses::ring_full`].
    RingFull,
    /// Processes: the table was full, see [`Losses::table_full`].
    TableFull,
    /// Events: the kernel skipped a program, see [`Losses::missed_runs`].
    MissedRuns,
}

/// What was seen since the programs were attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Seen {
    /// Processes started. Threads do not count.
    pub fork: u64,
    /// Successful execs. A process can exec more than once.
    pub exec: u64,
    /// Processes ended, of those in the table.
    pub exit: u64,
}
