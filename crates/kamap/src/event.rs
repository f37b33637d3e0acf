//! An event: what happened to a process.

use std::borrow::Cow;
use std::time::Duration;

use crate::{Kinds, Lost, Process};

/// What happened to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Its number in the stream: one more than that of the event before.
    pub seq: u64,
    /// When it happened: since boot, suspend included.
    pub time: Duration,
    /// The process, as it was then: the group leader's facts, whichever of its threads did it.
    ///
    /// Paths and arguments that a row has no room for are whole (up to 4,095 bytes, and
    /// [`Builder::max_args`](crate::Builder::max_args)) in an exec, and in the other events of a
    /// process of which the stream has told that exec, if it tells of exits as well and unless something
    /// was lost since.
    ///
    /// Of a failed exec it is the process as it goes on, but for file and arguments, which
    /// are those that were asked for. One that has failed past the point of no return goes on to
    /// its end: `exe` is what was to run then, and file and arguments are known since Linux 6.10
    /// (before, there are none, and the arguments count as cut).
    pub process: Process,
    /// The parent, its parent, and so on, when it happened: as many as
    /// [`Builder::ancestors`](crate::Builder::ancestors) asked for, or fewer if there
    /// are no more.
    pub ancestors: Vec<Ancestor>,
    /// What happened.
    pub kind: EventKind,
}

impl Event {
    /// An event without ancestors. Trackers never need this, see [`Process::new`].
    pub fn new(seq: u64, time: Duration, process: Process, kind: EventKind) -> Self {
        Self {
            seq,
            time,
            process,
            ancestors: Vec::new(),
            kind,
        }
    }
}

/// A process from which another descends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ancestor {
    /// Process ID.
    pub pid: u32,
    /// When it started, as in [`Process::start_time`].
    pub start_time: Duration,
    pub(crate) comm: Vec<u8>,
}

impl Ancestor {
    /// An ancestor with this name. Trackers never need this, see [`Process::new`].
    pub fn new(pid: u32, start_time: Duration, comm: impl AsRef<[u8]>) -> Self {
        Self {
            pid,
            start_time,
            comm: comm.as_ref().to_vec(),
        }
    }

    /// The name that the kernel has for it, see
    /// [`Process::comm`](crate::Process::comm).
    pub fn comm(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.comm)
    }

    /// The same, byte for byte.
    pub fn comm_bytes(&self) -> &[u8] {
        &self.comm
    }
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The process has started.
    Fork,
    /// The process has exec'd.
    Exec,
    /// The process wanted to exec and could not, for the reason of this number
    /// (`errno(3)`).
    ExecFailed(i32),
    /// The process has ended.
    Exit(Exit),
}

impl From<EventKind> for Kinds {
    fn from(kind: EventKind) -> Self {
        match kind {
            EventKind::Fork => Self::FORK,
            EventKind::Exec => Self::EXEC,
            EventKind::ExecFailed(_) => Self::EXEC_FAILED,
            EventKind::Exit(_) => Self::EXIT,
        }
    }
}

/// How a process has ended, and what it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exit {
    /// The status as `wait(2)` gives it.
    pub status: i32,
    /// The time that all of its threads have run, in user and in kernel mode, up to this event; what
    /// the end of a process costs after that is not in it (`docs/exactness.md`). Before Linux 5.17 the
    /// time of threads which leave at the same time is missing, but for the main one's.
    pub cpu_time: Duration,
    /// The most memory that it had at a time (resident set size), in bytes.
    pub max_rss: u64,
}

impl Exit {
    /// An exit with this status, as `wait(2)` encodes it, that used neither time nor memory. Trackers
    /// never need this, see [`Process::new`].
    pub fn new(status: i32) -> Self {
        Self {
            status,
            cpu_time: Duration::ZERO,
            max_rss: 0,
        }
    }

    /// The exit code, if it has exited.
    pub fn exit_code(&self) -> Option<i32> {
        libc::WIFEXITED(self.status).then(|| libc::WEXITSTATUS(self.status))
    }

    /// The signal that has killed it, if one has.
    pub fn signal(&self) -> Option<i32> {
        libc::WIFSIGNALED(self.status).then(|| libc::WTERMSIG(self.status))
    }

    /// Whether it has dumped core.
    pub fn core_dumped(&self) -> bool {
        self.signal().is_some() && libc::WCOREDUMP(self.status)
    }

    /// Whether it has exited with 0.
    pub fn success(&self) -> bool {
        self.exit_code() == Some(0)
    }
}

/// Other programs have replaced those that recorded the stream
/// ([`AttachOptions::replace`](crate::AttachOptions::replace)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replaced {
    /// Its number in the stream: one more than that of the event before.
    pub seq: u64,
    /// When it happened: since boot, suspend included.
    pub time: Duration,
    /// Version of the kamap that has attached the new ones.
    pub version: String,
}

impl Replaced {
    /// A replacement. Trackers never need this: it lets code that reads streams be tested.
    pub fn new(seq: u64, time: Duration, version: impl Into<String>) -> Self {
        Self {
            seq,
            time,
            version: version.into(),
        }
    }
}

/// What the stream consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are events, and none is kept"
)]
pub enum Item {
    /// An event.
    Event(Event),
    /// Something was lost since the last item that said so: before the next event, or close to it.
    ///
    /// Events ([`Cause::RingFull`](crate::Cause::RingFull),
    /// [`Cause::MissedRuns`](crate::Cause::MissedRuns)), or rows of the table
    /// ([`Cause::TableFull`](crate::Cause::TableFull)): the stream has no exit event of these processes,
    /// unless there is room for their rows before they end.
    Lost(Lost),
    /// Other programs record from here on, or from close to it. Nothing is lost or recorded twice.
    Replaced(Replaced),
}

impl Item {
    /// Its number in the stream, if it has one.
    pub fn seq(&self) -> Option<u64> {
        match self {
            Self::Event(event) => Some(event.seq),
            Self::Lost(_) => None,
            Self::Replaced(replaced) => Some(replaced.seq),
        }
    }
}
