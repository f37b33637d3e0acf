//! The tree of processes, built from their events.

use std::collections::HashMap;
use std::time::Duration;

use crate::{Error, Event, EventKind, Exit, Process, Result};

/// A tree of processes, built from the stream of their events
/// ([`Kinds::LIFE`](crate::Kinds::LIFE)). [`TreeSummary`](crate::TreeSummary) has its totals.
#[derive(Clone, Debug, Default)]
pub struct ProcessTree {
    /// The processes, in the order of their first events.
    lives: Vec<Life>,
    /// Indices of the processes without an exit event, by PID.
    alive: HashMap<u32, usize>,
    /// How many processes there were when events were last lost.
    known_at_loss: usize,
}

/// The life of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Life {
    /// The process, at the time of its last exec or of its exit; else of its first event.
    pub process: Process,
    /// Its parent at the time of its first event, as an index in [`ProcessTree::processes`], if the parent was
    /// known then. It began earlier.
    pub parent: Option<usize>,
    /// When it ended, since boot, and how; `None` if there was no exit event.
    pub end: Option<(Duration, Exit)>,
    /// How many of its execs failed. Needs events of
    /// [`Kinds::EXEC_FAILED`](crate::Kinds::EXEC_FAILED).
    pub failed_execs: u32,
}

impl Life {
    /// How long it lived, if it has ended.
    pub fn duration(&self) -> Option<Duration> {
        let (time, _) = self.end?;
        Some(time.saturating_sub(self.process.start_time))
    }

    /// Whether it ended with a status other than 0.
    pub fn has_failed(&self) -> bool {
        self.end.is_some_and(|(_, end)| !end.success())
    }
}

impl ProcessTree {
    /// Adds an event. Add events in the order of the stream.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownProcess`] if another process with the same PID has not ended. The tree is unchanged
    /// then. If events were lost, its exit may be among them, see [`note_loss`](Self::note_loss).
    pub fn add(&mut self, event: &Event) -> Result<()> {
        let process = &event.process;
        let at = self.at(process)?;
        let Some(life) = self.lives.get_mut(at) else {
            return Ok(());
        };
        match event.kind {
            EventKind::Fork => {}
            EventKind::Exec => life.process = process.clone(),
            EventKind::ExecFailed(_) => life.failed_execs += 1,
            EventKind::Exit(end) => {
                life.process = process.clone();
                life.end = Some((event.time, end));
                self.alive.remove(&process.pid);
            }
        }
        Ok(())
    }

    /// Notes that events were lost: every process in the tree may have ended.
    ///
    /// Call it for each [`Item::Lost`](crate::Item::Lost). A process that did not fit into the table has
    /// no exit event even if it was known only later: where
    /// [`Losses::table_full`](crate::Losses::table_full) is not 0, call it after each read.
    pub fn note_loss(&mut self) {
        self.known_at_loss = self.lives.len();
    }

    /// The index of `process`, which is added if it is missing.
    fn at(&mut self, process: &Process) -> Result<usize> {
        if let Some(&at) = self.alive.get(&process.pid) {
            let known = self.lives[at].process.start_time;
            if known == process.start_time {
                return Ok(at);
            }
            // Its exit can only be among the lost events if it was known when they were lost.
            if at >= self.known_at_loss {
                return Err(Error::UnknownProcess {
                    pid: process.pid,
                    start_time: process.start_time,
                    known,
                });
            }
        }
        let at = self.lives.len();
        let parent = self.alive.get(&process.ppid).copied();
        self.lives.push(Life {
            process: process.clone(),
            // If this is not its first event, another process may have the PID of its parent by now.
            parent: parent.filter(|&parent| {
                Some(self.lives[parent].process.start_time) == process.parent_start_time
            }),
            end: None,
            failed_execs: 0,
        });
        self.alive.insert(process.pid, at);
        Ok(at)
    }

    /// All processes, in the order of their first events: a parent comes before its children.
    pub fn processes(&self) -> &[Life] {
        &self.lives
    }

    /// How many processes there are.
    pub fn len(&self) -> usize {
        self.lives.len()
    }

    /// Whether there are no processes.
    pub fn is_empty(&self) -> bool {
        self.lives.is_empty()
    }

    /// Whether there is a process without an exit event: it runs, unless its exit was lost
    /// ([`TreeSummary::running`](crate::TreeSummary::running)).
    pub fn has_unended(&self) -> bool {
        !self.alive.is_empty()
    }

    /// How many execs of all processes the tracker recorded.
    pub fn execs(&self) -> u64 {
        let execs = self.lives.iter().map(|life| u64::from(life.process.execs));
        execs.sum()
    }

    /// The processes that failed, see [`Life::has_failed`].
    pub fn failed(&self) -> impl Iterator<Item = &Life> {
        self.lives.iter().filter(|life| life.has_failed())
    }

    /// All processes in the order of the tree: each is followed by its children, the oldest first.
    pub fn branches(&self) -> Vec<Branch<'_>> {
        let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
        // The youngest first, as they are taken from the end.
        for (at, life) in self.lives.iter().enumerate().rev() {
            children.entry(life.parent).or_default().push(at);
        }
        let mut tree = Vec::with_capacity(self.lives.len());
        let mut open = vec![children.remove(&None).unwrap_or_default()];
        while let Some(siblings) = open.last_mut() {
            let Some(at) = siblings.pop() else {
                open.pop();
                continue;
            };
            let last = siblings.is_empty();
            tree.push(Branch {
                life: &self.lives[at],
                depth: open.len() - 1,
                last,
                descendants: 0,
            });
            open.push(children.remove(&Some(at)).unwrap_or_default());
        }
        count_descendants(&mut tree);
        tree
    }
}

/// A process in the order of [`ProcessTree::branches`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Branch<'a> {
    /// The life.
    pub life: &'a Life,
    /// How many of its ancestors are in the tree.
    pub depth: usize,
    /// Whether it is the last of its siblings.
    pub last: bool,
    /// How many processes descend from it.
    pub descendants: usize,
}

/// Each is followed by its descendants, which are deeper.
fn count_descendants(tree: &mut [Branch<'_>]) {
    let mut above: Vec<usize> = Vec::new();
    for at in 0..tree.len() {
        above.truncate(tree[at].depth);
        for &ancestor in &above {
            tree[ancestor].descendants += 1;
        }
        above.push(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skel::types::kamap_facts;

    /// An event of a process, given as PID and start time, as is its parent.
    fn event(
        (pid, start_time): (u32, u64),
        (ppid, parent_start_time): (u32, u64),
        kind: EventKind,
    ) -> Event {
        let facts = kamap_facts {
            pid,
            ppid,
            start_time,
            parent_start_time,
            ..kamap_facts::default()
        };
        Event {
            seq: 0,
            time: Duration::from_nanos(start_time),
            process: Process::decode(&facts, b""),
            ancestors: Vec::new(),
            kind,
        }
    }

    #[test]
    fn a_parent_is_known_by_its_pid_and_its_start() {
        let mut tree = ProcessTree::default();
        for event in [
            event((1, 1), (0, 0), EventKind::Fork),
            // Its own fork was lost, but not that of its child.
            event((3, 3), (2, 2), EventKind::Fork),
            event((2, 2), (1, 1), EventKind::Exec),
            event((4, 4), (2, 2), EventKind::Fork),
            // Its PID is reused, then there is an event of another of its children.
            event((2, 6), (1, 1), EventKind::Fork),
            event((5, 5), (2, 2), EventKind::Exec),
        ] {
            tree.add(&event).expect("it can be");
            tree.note_loss();
        }
        let parents: Vec<_> = tree.processes().iter().map(|life| life.parent).collect();
        assert_eq!(parents, [None, None, Some(0), Some(2), Some(0), None]);
        let branches: Vec<_> = tree
            .branches()
            .iter()
            .map(|branch| (branch.depth, branch.life.process.pid, branch.descendants))
            .collect();
        assert_eq!(
            branches,
            [
                (0, 1, 3),
                (1, 2, 1),
                (2, 4, 0),
                (1, 2, 0),
                (0, 3, 0),
                (0, 5, 0)
            ]
        );
    }

    #[test]
    fn an_unknown_process_of_a_pid_that_is_alive_is_refused_unless_its_end_was_lost() {
        let mut tree = ProcessTree::default();
        let known = event((7, 1), (0, 0), EventKind::Fork);
        let unknown = event((7, 2), (0, 0), EventKind::ExecFailed(libc::ENOENT));
        tree.add(&known).expect("it has started");
        let err = tree.add(&unknown).expect_err("7 is alive");
        assert!(matches!(err, Error::UnknownProcess { pid: 7, .. }), "{err}");
        assert_eq!(tree.len(), 1, "nothing is invented");

        tree.note_loss();
        tree.add(&unknown).expect("the end of the other was lost");
        // It was not known when events were lost.
        let third = event((7, 3), (0, 0), EventKind::Fork);
        assert!(tree.add(&third).is_err());
        assert_eq!(tree.len(), 2);
    }
}
