//! Reading a history.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kamap::{Clock, Exit, Process};

use crate::file::{File, Parents};
use crate::folder;
use crate::rows::LifeRow;
use crate::store::Store;
use crate::texts::Texts;
use crate::time::from_nanos;
use crate::{Error, Result};

/// A history: what a [`Recorder`](crate::Recorder) has written into a folder, as of when this was opened.
///
/// ```no_run
/// use std::ops::ControlFlow;
/// use std::time::{Duration, SystemTime};
/// use kamap_history::History;
///
/// let history = History::open("/var/lib/kamap")?;
/// let now = SystemTime::now();
/// history.lives(now - Duration::from_secs(60), now, |life| {
///     println!("{} {}", life.process.pid, life.process.comm());
///     Ok(ControlFlow::Continue(()))
/// })?;
/// # Ok::<(), kamap_history::Error>(())
/// ```
#[derive(Debug)]
pub struct History {
    pub(crate) dir: PathBuf,
    /// The oldest first.
    pub(crate) files: Vec<File>,
    damaged: Vec<(PathBuf, Error)>,
}

/// A life: that of a process, from its fork to its exit.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Life {
    /// The process, as of its last event.
    pub process: Process,
    /// How it ended.
    pub end: End,
    /// The boot of the machine since which its times are.
    pub boot_id: String,
    /// Converts its times.
    pub clock: Clock,
    /// Whether something was left out of its arguments ([`Redaction`](crate::Redaction)).
    pub is_redacted: bool,
    /// When it was first seen, if that was not its fork: since boot.
    pub first_seen: Option<Duration>,
    /// PID and start time of the process that was its parent when it was first seen: of who started it, if
    /// its fork was seen, whoever has adopted it since.
    pub started_by: Option<(u32, Duration)>,
    /// The life of the process that was its parent when it was first seen.
    pub(crate) starter: Option<i64>,
}

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// It had not when the last was recorded.
    Running,
    /// At this time since boot, in this way.
    Exit(Duration, Exit),
    /// By this time since boot: its exit was lost.
    Unknown(Duration),
}

impl End {
    fn of(life: &LifeRow) -> Self {
        let Some(time) = life.end.map(from_nanos) else {
            return Self::Running;
        };
        match life.exit {
            None => Self::Unknown(time),
            Some((status, cpu, rss)) => {
                let mut exit = Exit::new(status);
                exit.cpu_time = from_nanos(cpu);
                exit.max_rss = rss.cast_unsigned();
                Self::Exit(time, exit)
            }
        }
    }

    /// When it ended, since boot, if it has.
    pub fn time(&self) -> Option<Duration> {
        match *self {
            Self::Running => None,
            Self::Exit(time, _) | Self::Unknown(time) => Some(time),
        }
    }
}

impl History {
    /// Opens the history in `dir`. Damaged files are left out, see [`damaged`](Self::damaged); so is what
    /// cannot be read of one that turns out to be damaged later.
    ///
    /// # Errors
    ///
    /// [`Error::NoHistory`], [`Error::OtherVersion`], and where files cannot be read.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let mut this = Self {
            dir: dir.to_owned(),
            files: Vec::new(),
            damaged: Vec::new(),
        };
        for file in folder::files(dir)? {
            match Store::read(&file.path).and_then(File::open) {
                Ok(file) => this.files.extend(file),
                // It was the oldest one, and has just been removed.
                Err(_) if !file.path.exists() => {}
                Err(err) if err.is_damage() => this.damaged.push((file.path, err)),
                Err(err) => return Err(err),
            }
        }
        if this.files.is_empty() && this.damaged.is_empty() {
            return Err(Error::NoHistory {
                dir: dir.to_owned(),
            });
        }
        Ok(this)
    }

    /// The files that could not be read, or not to their ends, and why. Reading can find more.
    pub fn damaged(&self) -> impl Iterator<Item = (&Path, &Error)> {
        let found = self.files.iter().filter_map(|file| {
            let damage = file.damage.get()?;
            Some((&*file.store.path, damage))
        });
        let known = self.damaged.iter().map(|(path, err)| (&**path, err));
        known.chain(found)
    }

    /// From when until when something is recorded; `None` where nothing is.
    pub fn range(&self) -> Option<(SystemTime, SystemTime)> {
        let (first, last) = (self.files.first()?, self.files.last()?);
        let until = last.spans.last().map_or(last.since, |span| span.until);
        Some((first.system_time(first.since), last.system_time(until)))
    }

    /// Hands out the lives that began or ended after `since` and by `until`, those of one boot after those
    /// of the boot before, in the order in which they ended. Those that had not ended by then, or of which
    /// nobody knows when they did, come last.
    ///
    /// # Errors
    ///
    /// Where files cannot be read, and those of `each`.
    pub fn lives<E: From<Error>>(
        &self,
        since: SystemTime,
        until: SystemTime,
        mut each: impl FnMut(Life) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let mut first = 0;
        for files in self.files.chunk_by(|a, b| a.boot_id == b.boot_id) {
            let boot = first..first + files.len();
            first = boot.end;
            if self.lives_of(boot, since, until, &mut each)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The same of one boot, which has these files.
    fn lives_of<E: From<Error>>(
        &self,
        boot: Range<usize>,
        since: SystemTime,
        until: SystemTime,
        each: &mut impl FnMut(Life) -> Result<ControlFlow<()>, E>,
    ) -> Result<ControlFlow<()>, E> {
        let mut parents = Parents::default();
        for at in boot.clone() {
            let (files, file) = (&self.files[..=at], &self.files[at]);
            let (from, to) = (file.first_since_boot(since), file.since_boot(until));
            let mut texts = file.texts();
            let mut failed = None;
            let flow = file.ended(from, to, |life| {
                let life = self.life(files, &mut texts, &mut parents, &life);
                let Some(life) = file.unless_damaged(life)? else {
                    return Ok(ControlFlow::Continue(()));
                };
                match each(life) {
                    Ok(flow) => Ok(flow),
                    Err(err) => {
                        failed = Some(err);
                        Ok(ControlFlow::Break(()))
                    }
                }
            })?;
            if let Some(err) = failed {
                return Err(err);
            }
            if flow.is_break() {
                return Ok(flow);
            }
        }
        for at in boot.clone().rev() {
            let file = &self.files[at];
            let (from, to) = (file.first_since_boot(since), file.since_boot(until));
            let mut texts = file.texts();
            let mut lives = file.begun(from, to)?;
            let end = self.end_of(at, &boot);
            if end.is_some_and(|end| end > from && end <= to) {
                // Those that began before.
                lives.extend(file.unended(from)?);
            }
            for life in lives {
                // The last file that has it knows most.
                if self.goes_on(at, &boot, &life)? {
                    continue;
                }
                let life = self.life(&self.files[..=at], &mut texts, &mut parents, &life);
                let Some(mut life) = file.unless_damaged(life)? else {
                    continue;
                };
                if life.end == End::Running
                    && let Some(end) = end
                {
                    life.end = End::Unknown(from_nanos(end));
                }
                if each(life)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// By when those have ended that had not when the file with the number `at` did, unless they go on in
    /// the next one of this boot; `None` if they may run.
    fn end_of(&self, at: usize, boot: &Range<usize>) -> Option<i64> {
        if at + 1 < boot.end {
            return Some(self.files[at + 1].since);
        }
        let file = &self.files[at];
        let last = || file.spans.last().map_or(file.since, |span| span.until);
        (boot.end < self.files.len()).then(last)
    }

    /// Whether a life of the file with the number `at` is in a later one of the boot.
    fn goes_on(&self, at: usize, boot: &Range<usize>, life: &LifeRow) -> Result<bool> {
        for file in &self.files[at + 1..boot.end] {
            if file.life(life.id)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A life as of its last event in the last of `files`.
    pub(crate) fn life(
        &self,
        files: &[File],
        texts: &mut Texts<'_>,
        parents: &mut Parents,
        columns: &LifeRow,
    ) -> Result<Life> {
        let file = &files[files.len() - 1];
        let mut process = file.process(texts, columns, &columns.last)?;
        parents.set(&mut process, files, columns.last_parent.or(columns.parent))?;
        let starter = match columns.parent {
            Some(id) => parents.identity(files, id)?,
            None => None,
        };
        let end = End::of(columns);
        Ok(Life {
            started_by: starter.map(|(pid, start)| (pid, from_nanos(start))),
            process,
            end,
            boot_id: file.boot_id.clone(),
            clock: file.clock(columns.end.unwrap_or(columns.start)),
            is_redacted: texts
                .is_redacted(columns.last.command)
                .map_err(file.store.error())?,
            first_seen: columns.seen.map(from_nanos),
            starter: columns.parent,
        })
    }
}
