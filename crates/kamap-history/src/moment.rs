//! The table of a moment in the past.

use std::collections::HashMap;
use std::time::SystemTime;

use kamap::{Clock, Origin, Snapshot};

use crate::file::File;
use crate::rows::{Facts, LifeRow};
use crate::time::from_nanos;
use crate::{Error, Gap, History, Result};

/// The table as it was at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Moment {
    /// The processes. User, group, name and cgroup are as of the last event or change before.
    pub table: Snapshot,
    /// The boot of the machine since which times are.
    pub boot_id: String,
    /// Converts times.
    pub clock: Clock,
    /// What keeps it from being exact, if anything does.
    pub gap: Option<Gap>,
}

impl History {
    /// The table as it was at `time`.
    ///
    /// # Errors
    ///
    /// [`Error::NotRecorded`] before the first record, and where files cannot be read.
    pub fn at(&self, time: SystemTime) -> Result<Moment> {
        let begun = |file: &File| file.system_time(file.since) <= time;
        let Some(at) = self.files.iter().rposition(begun) else {
            return Err(Error::NotRecorded {
                dir: self.dir.clone(),
                first: self.range().map(|(first, _)| first),
            });
        };
        let file = &self.files[at];
        let moment = file.since_boot(time);
        let alive = file.alive(moment)?;
        let by_id: HashMap<i64, &LifeRow> = alive.iter().map(|life| (life.id, life)).collect();
        let mut texts = file.texts();
        let mut processes = Vec::with_capacity(alive.len());
        for life in &alive {
            let execs = file.execs(life.id)?;
            let changes = file.changes(life.id)?;
            let exec = execs.iter().rev().find(|exec| exec.time <= moment);
            let change = changes.iter().rev().find(|change| change.time <= moment);
            let mut facts = exec.map_or(life.first, |exec| exec.facts);
            if let Some(change) = change
                && exec.is_none_or(|exec| exec.time <= change.time)
            {
                facts = Facts {
                    command: facts.command,
                    ..change.facts
                };
            }
            let process = file.process(&mut texts, life, &facts);
            let Some(mut process) = file.unless_damaged(process)? else {
                continue;
            };
            match (exec, execs.first()) {
                (Some(exec), _) => {
                    process.execs = exec.number;
                    process.origin = Origin::Exec;
                    process.last_exec_time = Some(from_nanos(exec.time));
                }
                (None, later) => {
                    if let Some(later) = later {
                        process.execs = later.number.saturating_sub(1);
                    }
                    if process.origin == Origin::Exec {
                        process.origin = if life.seen.is_none() {
                            Origin::Fork
                        } else {
                            Origin::Seed
                        };
                    }
                }
            }
            // Whoever has adopted it is known from a moment later on.
            let later = changes.iter().find(|change| change.time > moment);
            let parent = match change {
                Some(change) => change.parent,
                None => life.parent,
            };
            let candidates = [
                parent,
                later.and_then(|change| change.parent),
                life.last_parent,
            ];
            let parent = candidates
                .into_iter()
                .flatten()
                .find_map(|id| by_id.get(&id));
            if let Some(parent) = parent {
                process.ppid = parent.pid;
                process.parent_start_time = Some(from_nanos(parent.start));
            }
            processes.push(process);
        }
        Ok(Moment {
            table: Snapshot::new(from_nanos(moment), processes),
            boot_id: file.boot_id.clone(),
            clock: file.clock(moment),
            gap: self.gap_at(time)?,
        })
    }
}
