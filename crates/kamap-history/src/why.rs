//! Why a process ran: who started it, and who started that.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use kamap::{Clock, Origin, Process};

use crate::file::{File, Parents};
use crate::rows::LifeRow;
use crate::time::from_nanos;
use crate::{End, History, Life, Result};

/// A process in a chain of ancestors.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Link {
    /// The process.
    pub life: Life,
    /// What it executed: each time, since boot, the process as of then. Empty if it has not since it was
    /// first seen.
    pub execs: Vec<(Duration, Process)>,
    /// The process when it was first seen, as its parent had forked it.
    pub first: Process,
}

impl Link {
    /// A process that lives, of which nothing is recorded.
    pub fn live(process: Process, boot_id: String, clock: Clock) -> Self {
        let parent = process.parent_start_time.map(|start| (process.ppid, start));
        let execs = process.last_exec_time.map(|time| (time, process.clone()));
        Self {
            execs: execs.into_iter().collect(),
            first: process.clone(),
            life: Life {
                end: End::Running,
                boot_id,
                clock,
                is_redacted: false,
                first_seen: (process.origin == Origin::Seed).then_some(process.start_time),
                started_by: parent,
                starter: None,
                process,
            },
        }
    }
}

impl History {
    /// The process that had this PID at `time` or, if there was none, had it last, and its ancestors: who
    /// started it comes next, and so on. Empty if no such process is known.
    ///
    /// An ancestor is the parent that a process had when it was first seen: for one that was forked while
    /// somebody recorded, that is who started it, whoever has adopted it since.
    ///
    /// # Errors
    ///
    /// Where files cannot be read.
    pub fn why(&self, pid: u32, time: SystemTime) -> Result<Vec<Link>> {
        for (at, file) in self.files.iter().enumerate().rev() {
            let moment = file.since_boot(time);
            let mut lives = file.of_pid(pid)?;
            lives.retain(|life| life.start <= moment);
            let alive = lives.iter().find(|life| life.is_alive_at(moment));
            if let Some(life) = alive.or(lives.first()) {
                return self.chain(at, life.id);
            }
        }
        Ok(Vec::new())
    }

    /// The same for the youngest process with this name that was there at `time`.
    ///
    /// # Errors
    ///
    /// As of [`at`](Self::at).
    pub fn why_named(&self, name: &str, time: SystemTime) -> Result<Vec<Link>> {
        let moment = self.at(time)?;
        let named = moment.table.iter().filter(|process| process.comm() == name);
        match named.max_by_key(|process| process.start_time) {
            Some(process) => self.why(process.pid, time),
            None => Ok(Vec::new()),
        }
    }

    fn chain(&self, at: usize, life: i64) -> Result<Vec<Link>> {
        let boot_id = &self.files[at].boot_id;
        let is_same = |file: &&File| file.boot_id == *boot_id;
        let first = self.files.iter().position(|file| file.boot_id == *boot_id);
        let first = first.unwrap_or_default();
        let files = &self.files[..first + self.files[first..].iter().take_while(is_same).count()];
        let mut chain: Vec<Link> = Vec::new();
        let mut parents = Parents::default();
        let mut known = HashSet::new();
        let mut next = Some(life);
        while let Some(id) = next.filter(|&id| known.insert(id)) {
            let Some(link) = self.link(files, first, &mut parents, id)? else {
                break;
            };
            next = link.life.starter;
            chain.push(link);
        }
        Ok(chain)
    }

    /// A life with all of its execs, in the files from the one with the number `first` on.
    fn link(
        &self,
        files: &[File],
        first: usize,
        parents: &mut Parents,
        id: i64,
    ) -> Result<Option<Link>> {
        let mut found: Option<(usize, LifeRow)> = None;
        let mut begin: Option<Process> = None;
        let mut execs: Vec<(Duration, Process)> = Vec::new();
        for (at, file) in files.iter().enumerate().skip(first) {
            let Some(life) = file.life(id)? else {
                // It is in files that follow each other.
                if found.is_some() {
                    break;
                }
                continue;
            };
            let mut texts = file.texts();
            if begin.is_none() {
                let process = file.process(&mut texts, &life, &life.first);
                let Some(mut process) = file.unless_damaged(process)? else {
                    continue;
                };
                parents.set(&mut process, &files[..=at], life.parent)?;
                begin = Some(process);
            }
            for exec in file.execs(id)? {
                let time = from_nanos(exec.time);
                // Each file repeats the last one of the file before.
                if execs.last().is_none_or(|(last, _)| *last < time) {
                    let process = file.process(&mut texts, &life, &exec.facts);
                    execs.extend(file.unless_damaged(process)?.map(|process| (time, process)));
                }
            }
            found = Some((at, life));
        }
        let (Some((at, columns)), Some(first)) = (found, begin) else {
            return Ok(None);
        };
        let files = &files[..=at];
        let mut texts = files[at].texts();
        let life = self.life(files, &mut texts, parents, &columns);
        Ok(files[at]
            .unless_damaged(life)?
            .map(|life| Link { life, execs, first }))
    }
}
