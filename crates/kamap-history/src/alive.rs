//! The processes that have not ended, and some that have.

use std::collections::HashMap;

use kamap::{Origin, Process};

use crate::rows::{Facts, LifeRow};
use crate::time::nanos;

/// How many processes that have ended are still known as parents, at least.
pub(crate) const MOST_ENDED: usize = 4096;

/// A process that has not ended.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) id: i64,
    pub(crate) process: Process,
    /// Whether something was left out of its arguments.
    pub(crate) redacted: bool,
    /// When it was first seen, if that was not its fork.
    pub(crate) seen: Option<i64>,
    pub(crate) parent: Option<i64>,
    pub(crate) last_parent: Option<i64>,
    /// Known only as the parent of another.
    pub(crate) is_only_parent: bool,
    pub(crate) first: Facts,
    pub(crate) last: Facts,
}

/// The lives of some that ended, by PID and start: the last ones.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    young: HashMap<(u32, i64), i64>,
    old: HashMap<(u32, i64), i64>,
}

impl Ended {
    pub(crate) fn insert(&mut self, identity: (u32, i64), life: i64) {
        if self.young.len() == MOST_ENDED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(identity, life);
    }

    pub(crate) fn get(&self, identity: (u32, i64)) -> Option<i64> {
        let found = self.young.get(&identity).or(self.old.get(&identity));
        found.copied()
    }
}

impl Life {
    /// Its row, as long as it has not ended.
    pub(crate) fn row(&self) -> LifeRow {
        let process = &self.process;
        LifeRow {
            id: self.id,
            pid: process.pid,
            start: nanos(process.start_time),
            seen: self.seen,
            parent: self.parent,
            last_parent: self.last_parent,
            origin: (!self.is_only_parent).then_some(match process.origin {
                Origin::Fork => 1,
                Origin::Exec => 2,
                _ => 0,
            }),
            kernel_thread: process.kernel_thread,
            execs: process.execs,
            first: self.first,
            last: self.last,
            end: None,
            exit: None,
        }
    }
}
