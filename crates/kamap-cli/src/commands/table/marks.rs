//! Which rows have just come, and which have just gone.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use kamap::Process;

use super::rows::{Id, id};
use super::view::View;

/// How long they are marked, or until the next table if that takes longer.
const MOMENT: Duration = Duration::from_secs(1);

/// Which rows have just come, and which have just gone, from one table to the next.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Those of the last table, with its time. `None`: a first table, or another selection.
    before: Option<(Vec<Process>, Duration)>,
    /// When each came.
    new: HashMap<Id, Duration>,
    /// Those that went, each with the time when it was last seen.
    gone: Vec<(Process, Duration)>,
    /// When each of those was found to have gone.
    went: Vec<Duration>,
}

impl Marks {
    /// Compares the next table with the one before.
    pub(super) fn see(&mut self, view: &View) {
        let now = view.time;
        let is_recent = |time: Duration| now.saturating_sub(time) < MOMENT;
        self.new.retain(|_, came| is_recent(*came));
        let kept: Vec<bool> = self.went.iter().map(|went| is_recent(*went)).collect();
        let mut of_gone = kept.iter();
        self.gone.retain(|_| of_gone.next() == Some(&true));
        self.went.retain(|went| is_recent(*went));
        if let Some((before, time)) = self.before.take() {
            let shown = view.processes.iter().chain(&view.unreaped);
            let shown: HashSet<Id> = shown.map(id).collect();
            let known: HashSet<Id> = before.iter().map(id).collect();
            let came = view.processes.iter().map(id);
            let came = came.filter(|process| !known.contains(process));
            self.new.extend(came.map(|process| (process, now)));
            let went = before
                .into_iter()
                .filter(|process| !shown.contains(&id(process)));
            self.gone.extend(went.map(|process| (process, time)));
            self.went.resize(self.gone.len(), now);
        }
        self.before = Some((view.processes.clone(), now));
    }

    /// Begins anew, since the next table shows another selection.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_new(&self, process: Id) -> bool {
        self.new.contains_key(&process)
    }

    /// Those that went, each with the time when it was last seen.
    pub(super) fn gone(&self) -> &[(Process, Duration)] {
        &self.gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::table::view::tests::view;

    #[test]
    fn rows_are_marked_for_a_moment() {
        let mut marks = Marks::default();
        let mut see = |time: u64, pids: &[u32]| {
            let process = |&pid: &u32| Process::new(pid, Duration::from_secs(pid.into()));
            let mut view = view(pids.iter().map(process).collect(), |_| true);
            view.time = Duration::from_millis(time);
            marks.see(&view);
            let new = pids.iter().filter(|pid| marks.is_new(id(&process(pid))));
            let gone = marks.gone().iter().map(|(process, _)| process.pid);
            (new.copied().collect::<Vec<_>>(), gone.collect::<Vec<_>>())
        };
        assert_eq!(
            see(10_000, &[1, 2]),
            (vec![], vec![]),
            "the first are not new"
        );
        assert_eq!(see(10_400, &[1, 3]), (vec![3], vec![2]));
        assert_eq!(see(10_800, &[3]), (vec![3], vec![2, 1]));
        assert_eq!(see(11_400, &[3]), (vec![], vec![1]));
        assert_eq!(see(11_800, &[3]), (vec![], vec![]));
        // At least one table shows it.
        assert_eq!(see(20_000, &[4]), (vec![4], vec![3]));
        assert_eq!(see(30_000, &[4]), (vec![], vec![]));
    }
}
