//! Reading a ring that others can read as well: one reader at a time, each from where the one before
//! has stopped.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use crate::maps::{Array, Map};
use crate::skel::types::kamap_reader;
use crate::{Error, Result, lock};

/// How long to wait for a reader to end that is asked to, and for one that notes how far it has come.
const PATIENCE: Duration = Duration::from_secs(2);
const NAP: Duration = Duration::from_millis(5);

/// The right to read a ring, as long as this lives.
#[derive(Debug)]
pub(crate) struct Claim {
    reader: Map<Array<kamap_reader>>,
    dir: PathBuf,
    me: Holder,
    /// Whether it was not given up. The one that follows can be of the same process.
    is_held: AtomicBool,
    /// Readable when another reader has asked for it, or the pin has gone: a reader that waits for events
    /// would not look.
    changes: Inotify,
}

/// A process that reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holder {
    pid: u32,
    start_time: u64,
}

impl Claim {
    /// Claims the ring whose reader is in `reader`, a map that is pinned in `dir`. `steal` takes it from
    /// whoever reads it. Returns the claim, and up to where all was read.
    pub(crate) fn new(
        reader: Map<Array<kamap_reader>>,
        dir: &Path,
        steal: bool,
    ) -> Result<(Self, kamap_reader)> {
        let pid = std::process::id();
        let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
        let this = Self {
            reader,
            dir: dir.to_owned(),
            is_held: AtomicBool::new(false),
            changes: changes.map_err(not_watched)?,
            me: Holder {
                pid,
                start_time: start_time(pid).unwrap_or_default(),
            },
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lock = this.lock()?;
            let known = this.read()?;
            let holder = Holder {
                pid: known.pid,
                start_time: known.start_time,
            };
            let is_held = holder.pid != 0 && start_time(holder.pid) == Some(holder.start_time);
            if !is_held || (steal && Instant::now() >= deadline) {
                let mine = kamap_reader {
                    pid: this.me.pid,
                    start_time: this.me.start_time,
                    wanted: 0,
                    ..known
                };
                this.reader.set(0, &mine)?;
                this.is_held.store(true, Ordering::Relaxed);
                this.add_watch()?;
                return Ok((this, mine));
            }
            if !steal {
                return Err(Error::RingHeld {
                    pid: holder.pid,
                    command: command(holder.pid),
                });
            }
            let asked = kamap_reader { wanted: 1, ..known };
            this.reader.set(0, &asked)?;
            drop(lock);
            this.wake_holder();
            thread::sleep(NAP);
        }
    }

    /// Notes that all before `next_seq` was read, and so many losses reported. Fails where another reader
    /// has taken over, or waits to.
    pub(crate) fn note(&self, next_seq: u64, lost: u64) -> Result<()> {
        let _lock = self.lock()?;
        let known = self.check()?;
        let read = kamap_reader {
            next_seq,
            lost,
            ..known
        };
        self.reader.set(0, &read)?;
        Ok(())
    }

    /// Gives the ring to the reader that waits for it, if one does.
    pub(crate) fn check_wanted(&self) -> Result<()> {
        let known = self.check()?;
        if known.wanted != 0 {
            self.give_up()?;
            return Err(self.taken_over());
        }
        Ok(())
    }

    /// Looks whether the pin is still there, if something has happened to it.
    pub(crate) fn watch(&self) -> Result<()> {
        match self.changes.read_events() {
            Ok(_) => self.add_watch(),
            Err(Errno::EAGAIN) => Ok(()),
            Err(err) => Err(not_watched(err)),
        }
    }

    /// Watches the pin: another one is there after a replacement.
    fn add_watch(&self) -> Result<()> {
        let flags = AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_DELETE_SELF;
        match self.changes.add_watch(&self.pin(), flags) {
            Ok(_) => Ok(()),
            Err(Errno::ENOENT) => Err(Error::Detached {
                dir: self.dir.clone(),
            }),
            Err(err) => Err(not_watched(err)),
        }
    }

    /// Changes the time of the pin, which whoever watches it is told of.
    fn wake_holder(&self) {
        let now = TimeSpec::UTIME_NOW;
        // Where it cannot, it takes the ring over when its patience ends.
        let _ = utimensat(
            AT_FDCWD,
            &self.pin(),
            &now,
            &now,
            UtimensatFlags::FollowSymlink,
        );
    }

    fn pin(&self) -> PathBuf {
        self.dir.join("reader")
    }

    fn give_up(&self) -> Result<()> {
        if !self.is_held.load(Ordering::Relaxed) {
            return Ok(());
        }
        let _lock = self.lock()?;
        let known = self.check()?;
        let nobody = kamap_reader {
            pid: 0,
            start_time: 0,
            ..known
        };
        self.reader.set(0, &nobody)?;
        self.is_held.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// What is noted, as long as this process is the reader.
    pub(crate) fn check(&self) -> Result<kamap_reader> {
        let known = self.read()?;
        let is_mine = (known.pid, known.start_time) == (self.me.pid, self.me.start_time);
        if is_mine {
            Ok(known)
        } else {
            Err(self.taken_over())
        }
    }

    fn taken_over(&self) -> Error {
        Error::TakenOver {
            dir: self.dir.clone(),
        }
    }

    fn read(&self) -> Result<kamap_reader> {
        Ok(self.reader.get(&0)?.unwrap_or_default())
    }

    /// Keeps other processes from writing the map until it is dropped. None of them holds it for longer
    /// than it takes to write, unless it is stopped meanwhile.
    fn lock(&self) -> Result<File> {
        let failed = |source| Error::System {
            action: "lock the reader of the events",
            source,
        };
        // Not the folder, which a group may open.
        let file = File::open(self.pin()).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::Detached {
                dir: self.dir.clone(),
            },
            _ => failed(source),
        })?;
        match lock::wait_for_lock(&file, PATIENCE).map_err(failed)? {
            true => Ok(file),
            false => Err(failed(io::ErrorKind::TimedOut.into())),
        }
    }
}

/// PID and arguments of the process that reads, if one does.
pub(crate) fn holder(reader: &Map<Array<kamap_reader>>) -> Result<Option<(u32, String)>> {
    let known = reader.get(&0)?.unwrap_or_default();
    let is_held = known.pid != 0 && start_time(known.pid) == Some(known.start_time);
    Ok(is_held.then(|| (known.pid, command(known.pid))))
}

/// Readable when there is something to [`watch`](Claim::watch) for.
impl AsFd for Claim {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }
}

fn not_watched(err: Errno) -> Error {
    Error::System {
        action: "watch the pins",
        source: err.into(),
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Another reader may have taken over, or all may have been detached.
        let _ = self.give_up();
    }
}

/// When a process started, in ticks; `None` if there is none, or it has ended.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    // The fields are counted from 1, the state is the third.
    let start_time = fields.nth(22 - 4)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(start_time)
}

/// What a process was started as, in one line.
fn command(pid: u32) -> String {
    let args = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let args: Vec<_> = args
        .split(|&byte| byte == 0)
        .map(String::from_utf8_lossy)
        .collect();
    args.join(" ").trim_end().to_owned()
}
