//! ProcessTree of processes, put together from their events.

use std::collections::HashMap;
use std::time::Duration;

use crate::{Error, Event, EventKind, Exit, Process, Result};

/// The lives of processes, put together from the stream of their events
/// ([`Kinds::LIFE`](crate::Kinds::LIFE)): a tree, by who started whom.
#[derive(Clone, Debug, Default)]
pub struct ProcessTree {
    /// In the order in which they were first told of.
    lives: Vec<Life>,
    /// Where those are that have not ended, by PID.
    alive: HashMap<u32, usize>,
    /// How many there were when events were last lost.
    known_at_loss: usize,
}

/// The life of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Life {
    /// The process, as of its last event.
    pub process: Process,
    /// The life of the process that was its parent when it was first told of, as its
    /// place in [`ProcessTree::all`], if that one was known. It began earlier.
    pub parent: Option<usize>,
    /// When it ended, since boot, and how; `None` if that was not told.
    pub end: Option<(Duration, Exit)>,
    /// How many execs of it have failed.
    pub failed_execs: u32,
}

impl Life {
    /// How long it lived, if it has ended.
    pub fn duration(&self) -> Option<Duration> {
        let (time, _) = self.end?;
        Some(time.saturating_sub(self.process.start_time))
    }

    /// Whether it has ended in another way than with 0.
    pub fn has_failed(&self) -> bool {
        self.end.is_some_and(|(_, end)| !end.success())
    }
}

impl ProcessTree {
    /// Adds what an event tells. Events come in their order.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownProcess`] where the event is neither of a process that is known nor of one that
    /// can be: another one of its PID has not ended. Nothing is added then. Where events were lost its
    /// end may be among them, see [`lose`](Self::lose).
    pub fn put(&mut self, event: &Event) -> Result<()> {
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

    /// Events were lost: from now on, whoever has not ended may have.
    pub fn lose(&mut self) {
        self.known_at_loss = self.lives.len();
    }

    /// Where the life of `process` is; it is added if it is not known.
    fn at(&mut self, process: &Process) -> Result<usize> {
        if let Some(&at) = self.alive.get(&process.pid) {
            let known = self.lives[at].process.start_time;
            if known == process.start_time {
                return Ok(at);
            }
            // Its end can only have been lost if it was known by then.
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
            // Of one that is told of late, another process may have its parent's PID by now.
            parent: parent.filter(|&parent| {
                Some(self.lives[parent].process.start_time) == process.parent_start_time
            }),
            end: None,
            failed_execs: 0,
        });
        self.alive.insert(process.pid, at);
        Ok(at)
    }

    /// All of them, in the order in which they were first told of: a parent comes before
    /// its children.
    pub fn all(&self) -> &[Life] {
        &self.lives
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lives.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lives.is_empty()
    }

    /// All of them as a tree, from the top: each is followed by its children, the oldest
    /// first.
    pub fn tree(&self) -> Vec<Branch<'_>> {
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
            });
            open.push(children.remove(&Some(at)).unwrap_or_default());
        }
        tree
    }
}

/// A life in the tree of [`ProcessTree::tree`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Branch<'a> {
    /// The life.
    pub life: &'a Life,
    /// How many of its ancestors are in the tree.
    pub depth: usize,
    /// Whether it is the last of its siblings.
    pub last: bool,
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
        let mut lives = ProcessTree::default();
        for event in [
            event((1, 1), (0, 0), EventKind::Fork),
            // Its own fork was lost, but not that of its child.
            event((3, 3), (2, 2), EventKind::Fork),
            event((2, 2), (1, 1), EventKind::Exec),
            event((4, 4), (2, 2), EventKind::Fork),
            // Its PID is used again, then another of its children is told of.
            event((2, 6), (1, 1), EventKind::Fork),
            event((5, 5), (2, 2), EventKind::Exec),
        ] {
            lives.put(&event).expect("it can be");
            lives.lose();
        }
        let parents: Vec<_> = lives.all().iter().map(|life| life.parent).collect();
        assert_eq!(parents, [None, None, Some(0), Some(2), Some(0), None]);
        let tree: Vec<_> = lives
            .tree()
            .iter()
            .map(|branch| (branch.depth, branch.life.process.pid))
            .collect();
        assert_eq!(tree, [(0, 1), (1, 2), (2, 4), (1, 2), (0, 3), (0, 5)]);
    }

    #[test]
    fn an_unknown_process_of_a_pid_that_is_alive_is_refused_unless_its_end_was_lost() {
        let mut lives = ProcessTree::default();
        let known = event((7, 1), (0, 0), EventKind::Fork);
        let unknown = event((7, 2), (0, 0), EventKind::ExecFailed(libc::ENOENT));
        lives.put(&known).expect("it has started");
        let err = lives.put(&unknown).expect_err("7 is alive");
        assert!(matches!(err, Error::UnknownProcess { pid: 7, .. }), "{err}");
        assert_eq!(lives.len(), 1, "nothing is invented");

        lives.lose();
        lives.put(&unknown).expect("the end of the other was lost");
        // It was not known when events were lost.
        let third = event((7, 3), (0, 0), EventKind::Fork);
        assert!(lives.put(&third).is_err());
        assert_eq!(lives.len(), 2);
    }
}
