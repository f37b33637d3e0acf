//! Paths and arguments that are longer than a row, for the events that follow an exec.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use crate::{Clock, EventKind, Item, Kinds, Process};

/// The live processes that have longer paths or arguments than a row holds, by PID. Other events
/// than an exec are told by its row, and get them from here.
#[derive(Debug, Default)]
pub(super) struct LongTexts {
    processes: HashMap<u32, LongText>,
    /// How many there were when those were last looked for that have ended.
    pruned: usize,
}

#[derive(Debug)]
struct LongText {
    process: Process,
    /// When it was seen to have ended, although the stream has not told so yet: since boot.
    ended: Option<Duration>,
}

impl LongTexts {
    /// How many there may be before those are looked for that have ended.
    const FEW: usize = 64;

    /// For a stream of these kinds: without the exits it would only grow.
    pub(super) fn of(wanted: Kinds) -> Option<Self> {
        let needed = Kinds::EXEC | Kinds::EXIT;
        wanted.contains(needed).then(Self::default)
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.processes.len()
    }

    /// Takes note of an exec, and completes what follows it.
    pub(super) fn see(&mut self, item: &mut Item) {
        let event = match item {
            Item::Event(event) => event,
            // An exit may be among what was lost, and its process would stay for ever.
            Item::Lost(_) => {
                self.processes.clear();
                return;
            }
            Item::Replaced(_) => return,
        };
        let process = &mut event.process;
        let known = self.processes.get(&process.pid).map(|known| &known.process);
        let known = known.filter(|known| known.is(process.pid, process.start_time));
        match event.kind {
            EventKind::Exec if process.fits_row() => {
                self.processes.remove(&process.pid);
            }
            EventKind::Exec => self.insert(process, event.time),
            EventKind::Fork => {
                let parent = self.processes.get(&process.ppid);
                if let Some(LongText {
                    process: parent, ..
                }) = parent
                    && process.parent_start_time == Some(parent.start_time)
                    && process.runs_as(parent)
                {
                    process.take_text(parent);
                    self.insert(process, event.time);
                }
            }
            EventKind::ExecFailed(_) => {
                if let Some(known) = known.filter(|known| process.runs_as(known)) {
                    process.take_exe(known);
                }
            }
            EventKind::Exit(_) => {
                if let Some(known) = known.filter(|known| process.runs_as(known)) {
                    process.take_text(known);
                }
                self.processes.remove(&process.pid);
            }
        }
    }

    /// Keeps `process`, of an event at `time`.
    fn insert(&mut self, process: &Process, time: Duration) {
        let known = LongText {
            process: process.clone(),
            ended: None,
        };
        self.processes.insert(process.pid, known);
        if self.processes.len() > Self::FEW.max(2 * self.pruned) {
            self.prune(time);
        }
    }

    /// An exit that the filter holds back is never told. Whoever had ended before `time` without that
    /// is forgotten: the stream has told of all that came before.
    fn prune(&mut self, time: Duration) {
        let now = Clock::since_boot();
        self.processes.retain(|pid, known| {
            if known.ended.is_none() && !Path::new(&format!("/proc/{pid}")).exists() {
                known.ended = Some(now);
            }
            known.ended.is_none_or(|ended| ended >= time)
        });
        self.pruned = self.processes.len();
    }
}
