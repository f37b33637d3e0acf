//! The stream of events: what happened, in the kernel's order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::BitOr;
use std::time::Duration;

use crate::maps::{Array, Map, RingBuf, page_size};
use crate::skel::types::{bss, kamap_event, kamap_event_kind, kamap_filter};
use crate::table::Process;
use crate::{Error, Result};

/// How long a reader sleeps at most while there is nothing to read: an event that
/// wakes nobody waits no longer.
const NAP: Duration = Duration::from_millis(50);

/// Which kinds of events to tell of. They add up: `Kinds::EXEC | Kinds::EXIT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kinds(pub(crate) u32);

impl Kinds {
    /// A process has started.
    pub const FORK: Self = Self(kamap_event_kind::KAMAP_EVENT_FORK.0);
    /// A process has exec'd.
    pub const EXEC: Self = Self(kamap_event_kind::KAMAP_EVENT_EXEC.0);
    /// A process has ended.
    pub const EXIT: Self = Self(kamap_event_kind::KAMAP_EVENT_EXIT.0);
    /// All of them.
    pub const ALL: Self = Self(Self::FORK.0 | Self::EXEC.0 | Self::EXIT.0);
}

impl BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Which events to tell of. The kernel applies it: what does not pass costs no room
/// in the ring.
///
/// ```
/// use std::time::Duration;
/// use kamap::{Filter, Kinds};
///
/// // Programs of www-data that ran for a second or more, or failed.
/// let slow = Filter::new(Kinds::EXIT).uid(33).min_duration(Duration::from_secs(1));
/// let failed = Filter::new(Kinds::EXIT).uid(33).failed();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub(crate) kinds: Kinds,
    min_duration: Duration,
    failed: bool,
    cgroup_ids: Vec<u64>,
    uids: Vec<u32>,
    pids: Vec<u32>,
    ppids: Vec<u32>,
}

impl Filter {
    /// All events of these kinds.
    pub fn new(kinds: Kinds) -> Self {
        Self {
            kinds,
            ..Self::default()
        }
    }

    /// Only ends of processes that lived at least this long; no other events.
    #[must_use]
    pub fn min_duration(mut self, duration: Duration) -> Self {
        self.min_duration = duration;
        self
    }

    /// Only ends with another status than success; no other events.
    #[must_use]
    pub fn failed(mut self) -> Self {
        self.failed = true;
        self
    }

    /// Only processes of this effective user, or of others added in the same way (16
    /// at most, as in each of these lists).
    #[must_use]
    pub fn uid(mut self, uid: u32) -> Self {
        self.uids.push(uid);
        self
    }

    /// Only this process, or others added in the same way.
    #[must_use]
    pub fn pid(mut self, pid: u32) -> Self {
        self.pids.push(pid);
        self
    }

    /// Only children of this process, or of others added in the same way.
    #[must_use]
    pub fn ppid(mut self, ppid: u32) -> Self {
        self.ppids.push(ppid);
        self
    }

    /// Only processes in the cgroup with this ID
    /// ([`Process::cgroup_id`](crate::Process::cgroup_id)), or in others added in
    /// the same way; those below it do not count.
    #[must_use]
    pub fn cgroup_id(mut self, cgroup_id: u64) -> Self {
        self.cgroup_ids.push(cgroup_id);
        self
    }

    /// The kinds that can pass.
    pub(crate) fn wanted(&self) -> Kinds {
        if self.failed || self.min_duration > Duration::ZERO {
            Kinds(self.kinds.0 & Kinds::EXIT.0)
        } else {
            self.kinds
        }
    }

    /// As the programs take it.
    pub(crate) fn encode(&self) -> Result<kamap_filter> {
        let mut filter = kamap_filter {
            min_duration: u64::try_from(self.min_duration.as_nanos()).unwrap_or(u64::MAX),
            failed: self.failed.into(),
            ..kamap_filter::default()
        };
        filter.cgroup_ids_len = fill(&mut filter.cgroup_ids, &self.cgroup_ids)?;
        filter.uids_len = fill(&mut filter.uids, &self.uids)?;
        filter.pids_len = fill(&mut filter.pids, &self.pids)?;
        filter.ppids_len = fill(&mut filter.ppids, &self.ppids)?;
        Ok(filter)
    }
}

impl From<Kinds> for Filter {
    fn from(kinds: Kinds) -> Self {
        Self::new(kinds)
    }
}

/// Puts `values` into `list`; returns how many there are.
fn fill<T: Copy>(list: &mut [T], values: &[T]) -> Result<u32> {
    let most = list.len();
    match list.get_mut(..values.len()) {
        Some(list) => list.copy_from_slice(values),
        None => return Err(Error::FilterTooLong { most }),
    }
    Ok(values.len() as u32)
}

/// What happened to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Its number in the stream: one more than that of the event before.
    pub seq: u64,
    /// When it happened: since boot, suspend included.
    pub time: Duration,
    /// The process, as it was then: of a fork without executable and arguments, of
    /// an exit as of the last exec.
    pub process: Process,
    /// What happened.
    pub kind: EventKind,
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The process has started.
    Fork,
    /// The process has exec'd.
    Exec,
    /// The process has ended.
    Exit(End),
}

/// How a process has ended, and what it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct End {
    /// The status as `wait(2)` gives it.
    pub status: i32,
    /// The time that all of its threads have run, in user and in kernel mode, as far
    /// as the scheduler had added it up: up to a clock tick can be missing.
    pub cpu_time: Duration,
    /// The most memory that it had at a time (resident set size), in bytes.
    pub max_rss: u64,
}

impl End {
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
    /// So many events found no room, since the last item that said so. They
    /// happened before the next event, or close to it.
    Lost(u64),
}

/// The reader of the stream, see [`Tracker::take_events`](crate::Tracker::take_events).
#[derive(Debug)]
pub struct Events {
    ring: RingBuf,
    globals: Map<Array<bss>>,
    order: Order,
}

impl Events {
    pub(crate) fn new(ring: RingBuf, globals: Map<Array<bss>>) -> Self {
        Self {
            ring,
            globals,
            order: Order::default(),
        }
    }

    /// Waits until there is something to read or `timeout` is over, and hands all that
    /// is there to `read`. A signal ends the wait.
    ///
    /// # Errors
    ///
    /// [`Error::Map`], and [`Error::Record`] if a record is not one of this version;
    /// it is passed over.
    pub fn read(&mut self, timeout: Duration, mut read: impl FnMut(Item)) -> Result<()> {
        self.ring.wait(timeout.min(NAP))?;
        let mut wrong = None;
        let order = &mut self.order;
        self.ring.read(|record| match decode(record) {
            Some((event, lost)) => order.put(event, lost, &mut read),
            None => wrong = Some(record.len()),
        });
        // After the last event there may be none to tell of what was lost since.
        if let Some(globals) = self.globals.get(&0)? {
            order.lose(globals.events_lost, &mut read);
        }
        match wrong {
            None => Ok(()),
            Some(len) => Err(Error::Record { len }),
        }
    }
}

fn decode(record: &[u8]) -> Option<(Event, u64)> {
    let (header, text) = record.split_at_checked(size_of::<kamap_event>())?;
    // SAFETY: there are as many bytes, of which any are valid (`MapData`); they
    // need not be aligned.
    let header = unsafe { header.as_ptr().cast::<kamap_event>().read_unaligned() };
    let kind = match header.kind {
        kamap_event_kind::KAMAP_EVENT_FORK => EventKind::Fork,
        kamap_event_kind::KAMAP_EVENT_EXEC => EventKind::Exec,
        kamap_event_kind::KAMAP_EVENT_EXIT => EventKind::Exit(End {
            status: header.status.cast_signed(),
            cpu_time: Duration::from_nanos(header.cpu_time),
            max_rss: header.max_rss.saturating_mul(page_size() as u64),
        }),
        _ => return None,
    };
    let event = Event {
        seq: header.seq,
        time: Duration::from_nanos(header.time),
        process: Process::decode(&header.facts, text),
        kind,
    };
    Some((event, header.lost))
}

/// Puts events into the order of their numbers.
///
/// A program reserves its record and takes the number a moment later, so those of
/// two CPUs can lie in the ring the other way round. None is left out, so the one
/// that is missing follows.
#[derive(Debug, Default)]
struct Order {
    next: u64,
    lost: u64,
    waiting: BinaryHeap<Reverse<BySeq>>,
}

impl Order {
    fn put(&mut self, event: Event, lost: u64, read: &mut impl FnMut(Item)) {
        self.waiting.push(Reverse(BySeq(event, lost)));
        while let Some(Reverse(BySeq(first, _))) = self.waiting.peek()
            && first.seq <= self.next
        {
            let Some(Reverse(BySeq(event, lost))) = self.waiting.pop() else {
                return;
            };
            self.lose(lost, read);
            self.next = event.seq + 1;
            read(Item::Event(event));
        }
    }

    /// `lost` have been lost in all.
    fn lose(&mut self, lost: u64, read: &mut impl FnMut(Item)) {
        if lost > self.lost {
            read(Item::Lost(lost - self.lost));
            self.lost = lost;
        }
    }
}

/// An event, and how many were lost before it; compared by number.
#[derive(Debug)]
struct BySeq(Event, u64);

impl Ord for BySeq {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.seq.cmp(&other.0.seq)
    }
}

impl PartialOrd for BySeq {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for BySeq {
    fn eq(&self, other: &Self) -> bool {
        self.0.seq == other.0.seq
    }
}

impl Eq for BySeq {}
