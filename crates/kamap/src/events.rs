//! The stream of events: what happened, in the kernel's order.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::BitOr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::maps::{Array, Map, RingBuf, page_size};
use crate::skel::take;
use crate::skel::types::{bss, kamap_ancestor, kamap_event, kamap_event_kind, kamap_filter};
use crate::table::{Process, terminated};
use crate::{Clock, Error, Result};

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
    /// An exec has failed. As long as this is asked for, every system call of the machine
    /// takes a little longer, for their ends are looked at. Before Linux 5.17 at most 256
    /// arguments are kept, or fewer where some are longer than 511 bytes: each such piece counts.
    /// On x86-64 only.
    pub const EXEC_FAILED: Self = Self(kamap_event_kind::KAMAP_EVENT_EXEC_FAILED.0);
    /// What makes up a life: fork, exec and exit.
    pub const LIFE: Self = Self(Self::FORK.0 | Self::EXEC.0 | Self::EXIT.0);
    /// All of them.
    pub const ALL: Self = Self(Self::LIFE.0 | Self::EXEC_FAILED.0);

    /// Whether all of `others` are among these.
    pub fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
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
    min_duration: Option<Duration>,
    failed: bool,
    /// Only processes that are followed, see `Builder::follow`.
    pub(crate) followed: bool,
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
        self.min_duration = Some(duration);
        self
    }

    /// Only ends with another status than success, and execs that have failed.
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
    /// ([`Process::cgroup_id`](crate::Process::cgroup_id)) or, at most 32 levels below the root, in one
    /// below it; or in others added in the same way. Where a process is when it happens counts.
    #[must_use]
    pub fn cgroup_id(mut self, cgroup_id: u64) -> Self {
        self.cgroup_ids.push(cgroup_id);
        self
    }

    /// The kinds that can pass.
    pub(crate) fn wanted(&self) -> Kinds {
        let possible = if self.min_duration.is_some() {
            Kinds::EXIT
        } else if self.failed {
            Kinds::EXIT | Kinds::EXEC_FAILED
        } else {
            Kinds::ALL
        };
        Kinds(self.kinds.0 & possible.0)
    }

    /// As the programs take it.
    pub(crate) fn encode(&self) -> Result<kamap_filter> {
        let min_duration = self.min_duration.unwrap_or_default().as_nanos();
        let mut filter = kamap_filter {
            min_duration: u64::try_from(min_duration).unwrap_or(u64::MAX),
            failed: self.failed.into(),
            followed: self.followed.into(),
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

/// A process from which another descends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ancestor {
    /// Process ID.
    pub pid: u32,
    /// When it started, as in [`Process::start_time`].
    pub start_time: Duration,
    comm: Vec<u8>,
}

impl Ancestor {
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
    ring: RingBuf<[u8]>,
    globals: Map<Array<bss>>,
    /// How many ancestors a record has room for.
    ancestors: usize,
    /// The most bytes of arguments in an event.
    max_args: usize,
    order: Order,
    /// Where the stream tells of their beginnings and of their ends.
    long_texts: Option<LongTexts>,
}

impl Events {
    pub(crate) fn new(
        ring: RingBuf<[u8]>,
        globals: Map<Array<bss>>,
        ancestors: u32,
        max_args: u32,
        wanted: Kinds,
    ) -> Self {
        Self {
            ring,
            globals,
            ancestors: ancestors as usize,
            max_args: max_args as usize,
            order: Order::default(),
            long_texts: LongTexts::of(wanted),
        }
    }

    /// The number of the event that is read next.
    pub fn next_seq(&self) -> u64 {
        self.order.next
    }

    /// Waits until there is something to read or `timeout` is over, and hands all that
    /// is there to `read`, but not what comes meanwhile. A signal ends the wait. An event waits up to
    /// 50 ms for this.
    ///
    /// # Errors
    ///
    /// [`Error::Map`], and [`Error::Record`] if a record is not one of this version: what
    /// follows it cannot be told in order.
    pub fn read(&mut self, timeout: Duration, mut read: impl FnMut(Item)) -> Result<()> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let left = deadline.map_or(NAP, |at| at.saturating_duration_since(Instant::now()));
            let nap = left.min(NAP);
            let began = Instant::now();
            let is_ready = self.ring.wait(nap)?;
            if self.read_all(&mut read)? || is_ready || left.is_zero() {
                return Ok(());
            }
            // Nothing but a signal ends the wait before its time.
            if began.elapsed() < nap {
                return Ok(());
            }
        }
    }

    /// Hands all that is there to `read`; returns whether there was anything.
    fn read_all(&mut self, read: &mut impl FnMut(Item)) -> Result<bool> {
        let long_texts = &mut self.long_texts;
        let mut any = false;
        let mut read = |mut item| {
            if let Some(long_texts) = long_texts {
                long_texts.see(&mut item);
            }
            any = true;
            read(item);
        };
        let reserved = self.ring.reserved();
        let mut all_read = self.ring.has_read(reserved);
        while !all_read && let Some(record) = self.ring.read()? {
            let len = record.len();
            let (mut event, lost) = decode(record, self.ancestors).ok_or(Error::Record { len })?;
            event.process.cut_args(self.max_args);
            self.order.put(event, lost, &mut read);
            all_read = self.ring.has_read(reserved);
        }
        // After the last event there may be none to tell of what was lost since.
        if let Some(globals) = self.globals.get(&0)? {
            self.order.lose(globals.events_lost, &mut read);
        }
        Ok(any)
    }
}

/// The live processes that have longer paths or arguments than a row holds, by PID. Other events
/// than an exec are told by its row, and get them from here.
#[derive(Debug, Default)]
struct LongTexts {
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
    fn of(wanted: Kinds) -> Option<Self> {
        let needed = Kinds::EXEC | Kinds::EXIT;
        wanted.contains(needed).then(Self::default)
    }

    /// Takes note of an exec, and completes what follows it.
    fn see(&mut self, item: &mut Item) {
        let Item::Event(event) = item else {
            // An exit may be among what was lost, and its process would stay for ever.
            self.processes.clear();
            return;
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

/// The event in a record with room for so many ancestors, and how many were lost before.
fn decode(record: &[u8], ancestors: usize) -> Option<(Event, u64)> {
    let (header, rest) = take::<kamap_event>(record)?;
    let mut text = rest;
    let mut known = Vec::new();
    for _ in 0..ancestors {
        let ancestor;
        (ancestor, text) = take::<kamap_ancestor>(text)?;
        // Beyond the first process there is none, however often the kernel was asked.
        if ancestor.pid != 0 {
            known.push(Ancestor {
                pid: ancestor.pid,
                start_time: Duration::from_nanos(ancestor.start_time),
                comm: terminated(&ancestor.comm),
            });
        }
    }
    let kind = match header.kind {
        kamap_event_kind::KAMAP_EVENT_FORK => EventKind::Fork,
        kamap_event_kind::KAMAP_EVENT_EXEC => EventKind::Exec,
        kamap_event_kind::KAMAP_EVENT_EXIT => EventKind::Exit(Exit {
            status: header.status.cast_signed(),
            cpu_time: Duration::from_nanos(header.cpu_time),
            max_rss: header.max_rss.saturating_mul(page_size() as u64),
        }),
        kamap_event_kind::KAMAP_EVENT_EXEC_FAILED => {
            EventKind::ExecFailed(header.status.cast_signed())
        }
        _ => return None,
    };
    let event = Event {
        seq: header.seq,
        time: Duration::from_nanos(header.time),
        process: Process::decode(&header.facts, text),
        ancestors: known,
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

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::skel::types::kamap_facts;

    /// The record of an event of process 7, with these arguments.
    fn record(seq: u64, lost: u64, kind: kamap_event_kind, args: &[u8]) -> Vec<u8> {
        let event = kamap_event {
            seq,
            lost,
            kind,
            facts: kamap_facts {
                pid: 7,
                args_len: args.len() as u32,
                args_kept: args.len() as u32,
                ..kamap_facts::default()
            },
            ..kamap_event::default()
        };
        let len = size_of_val(&event);
        // SAFETY: so many bytes, all of them fields: a test of the skeleton's types says that
        // it has no padding.
        let header = unsafe { std::slice::from_raw_parts((&raw const event).cast::<u8>(), len) };
        [header, args].concat()
    }

    fn event(seq: u64, lost: u64) -> (Event, u64) {
        let record = record(seq, lost, kamap_event_kind::KAMAP_EVENT_FORK, b"");
        decode(&record, 0).expect("it is a record")
    }

    #[test]
    fn events_come_in_the_order_of_their_numbers_and_losses_at_their_place() {
        let mut order = Order::default();
        let mut items = Vec::new();
        let mut read = |item| {
            items.push(match item {
                Item::Event(event) => event.seq.to_string(),
                Item::Lost(count) => format!("lost {count}"),
            });
        };
        for (seq, lost) in [(0, 0), (2, 3), (1, 0), (4, 5), (5, 5), (3, 3)] {
            let (event, lost) = event(seq, lost);
            order.put(event, lost, &mut read);
        }
        // As many as the last event has told of, then one more.
        order.lose(5, &mut read);
        order.lose(6, &mut read);
        assert_eq!(
            items,
            ["0", "1", "lost 3", "2", "3", "lost 2", "4", "5", "lost 1"]
        );
    }

    #[test]
    fn what_is_no_event_is_none() {
        let fork = record(0, 0, kamap_event_kind::KAMAP_EVENT_FORK, b"");
        assert!(decode(&fork[..fork.len() - 1], 0).is_none(), "too short");
        assert!(decode(&fork, 1).is_none(), "no room for an ancestor");
        assert!(decode(&record(0, 0, kamap_event_kind(1 << 9), b""), 0).is_none());
    }

    #[test]
    fn long_texts_are_kept_only_where_exits_end_them() {
        assert!(LongTexts::of(Kinds::LIFE).is_some());
        assert!(LongTexts::of(Kinds::EXEC | Kinds::FORK).is_none());
        assert!(LongTexts::of(Kinds::EXIT).is_none());
    }

    #[test]
    fn whoever_ends_unseen_is_forgotten_once_the_stream_is_past_that() {
        let mut long_texts = LongTexts::default();
        let (mut event, _) = decode(
            &record(0, 0, kamap_event_kind::KAMAP_EVENT_EXEC, &[b'x'; 1000]),
            0,
        )
        .expect("it is a record");
        let mut exec = |pid, time| {
            event.process.pid = pid;
            event.time = time;
            let mut item = Item::Event(event.clone());
            long_texts.see(&mut item);
            long_texts.processes.len()
        };
        // There are no such PIDs; their exits may still be in the ring.
        let before = Clock::since_boot();
        let first = u32::MAX / 2;
        let known = (first..first + 200).map(|pid| exec(pid, before)).max();
        assert_eq!(known, Some(200));
        let after = Clock::since_boot() + Duration::from_secs(1);
        let known = (first + 200..first + 700).map(|pid| exec(pid, after)).max();
        assert!(known.is_some_and(|known| known < 500), "{known:?}");
    }

    #[test]
    fn an_exit_has_the_arguments_of_its_exec_unless_something_was_lost() {
        let long = [b'x'; 1000];
        let event = |kind, args: &[u8]| {
            let (event, _) = decode(&record(0, 0, kind, args), 0).expect("it is a record");
            Item::Event(event)
        };
        let told = |between: Option<Item>| {
            let mut items = vec![event(kamap_event_kind::KAMAP_EVENT_EXEC, &long)];
            items.extend(between);
            items.push(event(kamap_event_kind::KAMAP_EVENT_EXIT, &long[..600]));
            let mut long_texts = LongTexts::default();
            for item in &mut items {
                long_texts.see(item);
            }
            assert!(
                long_texts.processes.is_empty(),
                "nothing is kept of what has ended"
            );
            match items.pop() {
                Some(Item::Event(exit)) => exit.process.args().map(OsStr::len).sum::<usize>(),
                _ => panic!("it is an event"),
            }
        };
        assert_eq!(told(None), 1000);
        assert_eq!(told(Some(Item::Lost(1))), 600);
        let next = event(kamap_event_kind::KAMAP_EVENT_EXEC, b"short");
        assert_eq!(told(Some(next)), 600);
    }
}
