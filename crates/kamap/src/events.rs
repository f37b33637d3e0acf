//! The reader of the stream of events.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::claim::Claim;
use crate::counts::Counts;
use crate::limits::{FOLLOW_SHIFT, LAST_FOLLOW_ID, VERSION_LEN};
use crate::maps::{Array, Map, RingBuf, page_size};
use crate::process::until_nul;
use crate::skel::take;
use crate::skel::types::{bss, kamap_ancestor, kamap_event, kamap_event_kind, kamap_reader};
use crate::wakeups::{Wakeups, Woken};
use crate::{
    Ancestor, Cause, Cgroups, Error, Event, EventKind, Exit, Item, Kinds, Losses, Process, Reader,
    Replaced, Result,
};

use self::long_texts::LongTexts;
use self::order::{Order, Record};
use self::pace::Pace;

mod long_texts;
mod order;
mod pace;

/// How many bytes of a ring that is shared are read at once: they are kept until they are dealt with.
const MOST_KEPT: usize = 256 << 10;

/// How long to wait for the end of what a program is about to write, of which it does not tell.
const MOMENT: Duration = Duration::from_millis(1);

/// The reader of the stream, see [`Tracker::take_events`](crate::Tracker::take_events).
#[derive(Debug)]
pub struct Events {
    ring: RingBuf<[u8]>,
    globals: Map<Array<bss>>,
    counts: Arc<Counts>,
    cgroups: Arc<Cgroups>,
    /// What was lost when that was last reported.
    losses: Losses,
    /// How many ancestors a record has room for.
    ancestors: usize,
    /// The most bytes of arguments in an event.
    max_args: usize,
    order: Order,
    /// Where the stream tells of their beginnings and of their ends.
    long_texts: Option<LongTexts>,
    /// Of a ring that others can read as well.
    claim: Option<Claim>,
    /// Of the processes of all, hands out only what happens to those that this command has started.
    followed: Option<u32>,
    wakeups: Wakeups,
    pace: Pace,
}

impl Events {
    pub(crate) fn new(
        mut ring: RingBuf<[u8]>,
        globals: Map<Array<bss>>,
        reader: &Reader,
        ancestors: u32,
        max_args: u32,
        wanted: Kinds,
    ) -> Result<Self> {
        let wakeups = Wakeups::new()?;
        wakeups.add_ring(&ring)?;
        ring.keep();
        // Some end, and their cgroups with them, before anything else of them is read.
        reader.table().find_cgroups()?;
        Ok(Self {
            ring,
            globals,
            counts: reader.counts(),
            cgroups: Arc::clone(reader.cgroups()),
            losses: Losses::default(),
            ancestors: ancestors as usize,
            max_args: max_args as usize,
            order: Order::default(),
            long_texts: LongTexts::of(wanted),
            claim: None,
            followed: None,
            wakeups,
            pace: Pace::new(Instant::now()),
        })
    }

    /// Reads on from where the reader before has stopped.
    pub(crate) fn claimed(mut self, claim: Claim, read: &kamap_reader) -> Result<Self> {
        // What the table had lost before is in its counters.
        self.losses = self.counts.losses()?;
        self.wakeups.add(&claim)?;
        self.order = Order::from(read.next_seq, read.lost);
        self.claim = Some(claim);
        Ok(self)
    }

    /// Hands out only what happens to the processes of a command that is followed.
    pub(crate) fn follow(&mut self, id: u32) {
        self.followed = Some(id);
    }

    /// Says that all was dealt with that was handed out: of events that are attached, the next reader
    /// goes on behind it. [`read`](Self::read) does so when it is called again; where a process ends, this
    /// comes last.
    ///
    /// # Errors
    ///
    /// [`Error::TakenOver`] if another reader has taken over meanwhile, which gets them again.
    pub fn acknowledge(&mut self) -> Result<()> {
        let Some(claim) = &self.claim else {
            return Ok(());
        };
        if self.ring.kept() > 0 {
            claim.note(self.order.next, self.order.lost)?;
            // What waits for an event that comes later in the ring was not handed out.
            if self.order.is_empty() {
                self.ring.release_but_last()?;
            }
        }
        claim.check_wanted()
    }

    /// The same for what was handed out up to the event of this number only.
    ///
    /// # Errors
    ///
    /// As of [`acknowledge`](Self::acknowledge).
    pub fn acknowledge_up_to(&mut self, seq: u64) -> Result<()> {
        match &self.claim {
            Some(claim) if seq + 1 < self.order.next => claim.note(seq + 1, self.order.lost),
            _ => self.acknowledge(),
        }
    }

    /// Identifies the stream among those of this boot. For what is attached it stays the same: for each
    /// reader, and when the programs are replaced.
    ///
    /// # Errors
    ///
    /// [`Error::Map`], where the kernel does not tell.
    pub fn id(&self) -> Result<u32> {
        Ok(self.globals.info()?.id)
    }

    /// The number of the event that is read next.
    pub fn next_seq(&self) -> u64 {
        self.order.next
    }

    /// Waits until there is something to read or `timeout` is over, and hands all that
    /// is there to `read`, but not what comes meanwhile. A signal ends the wait, and so does what was
    /// added with [`wake_on`](Self::wake_on).
    ///
    /// Where little happens, programs wake the reader for each event; while nothing happens, nothing does.
    /// Where more than 400 events a second come, it sleeps for up to 25 ms between its looks.
    ///
    /// # Errors
    ///
    /// [`Error::Map`], [`Error::Record`] if a record is not one of this version: what
    /// follows it cannot be told in order, and [`Error::System`] if the kernel fails to wait. Of
    /// events that are attached, [`Error::TakenOver`] and [`Error::Detached`].
    pub fn read(&mut self, timeout: Duration, mut read: impl FnMut(Item)) -> Result<()> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            self.acknowledge()?;
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let woken = self.wait(left)?;
            if let Some(claim) = &mut self.claim {
                // Who was stopped for long may have lost it, and would tell again what the other one tells.
                claim.check()?;
                claim.watch()?;
            }
            let any = self.read_all(&mut read)? | self.read_losses(&mut read)?;
            if any || woken == Woken::ByOther || left.is_some_and(|left| left.is_zero()) {
                return Ok(());
            }
        }
    }

    /// Waits for an event or whatever else there is to wait for, for so long (`None`: for ever).
    fn wait(&mut self, timeout: Option<Duration>) -> Result<Woken> {
        let at_most = |nap: Duration| Some(timeout.map_or(nap, |timeout| timeout.min(nap)));
        let is_waiting = timeout.is_none_or(|timeout| !timeout.is_zero());
        if is_waiting && let Some(nap) = self.pace.nap(Instant::now()) {
            return self.wakeups.wait(at_most(nap));
        }
        if self.claim.is_some() && !self.order.is_empty() {
            // What is kept cannot be given back, so nobody would wake this reader.
            return self.wakeups.wait(at_most(MOMENT));
        }
        self.ring.release()?;
        if self.ring.is_ready() {
            // Also clears what has woken it before.
            return self.wakeups.wait(Some(Duration::ZERO));
        }
        self.wakeups.wait(timeout)
    }

    /// Ends each wait of [`read`](Self::read) while `fd` can be read: a signal's, a child's, another
    /// thread's. It is forgotten when all duplicates of `fd` are closed.
    ///
    /// # Errors
    ///
    /// [`Error::System`] if it is nothing that can be waited for, or was added before.
    pub fn wake_on(&self, fd: &impl AsFd) -> Result<()> {
        self.wakeups.add(fd)
    }

    /// Hands all that is left to `read`. After [`Tracker::detach`](crate::Tracker::detach) this is the
    /// rest of the stream; before, it returns once it has caught up with the programs.
    ///
    /// # Errors
    ///
    /// The same as those of [`read`](Self::read).
    pub fn drain(&mut self, mut read: impl FnMut(Item)) -> Result<()> {
        loop {
            // A program may have taken a number and not yet written its event: it is about to.
            self.read(Duration::ZERO, &mut read)?;
            if self.next_seq() >= self.counts.next_seq()? {
                return Ok(());
            }
        }
    }

    /// Hands what the table has lost since the last time to `read`; returns whether there was
    /// anything. What the ring has lost is reported where the events are missing.
    fn read_losses(&mut self, read: &mut impl FnMut(Item)) -> Result<bool> {
        let losses = self.counts.losses()?;
        let before = std::mem::replace(&mut self.losses, losses);
        let mut any = false;
        for lost in losses.since(&before) {
            if lost.cause != Cause::RingFull {
                any = true;
                read(Item::Lost(lost));
            }
        }
        Ok(any)
    }

    /// Hands all that is there to `read`; returns whether there was anything.
    fn read_all(&mut self, read: &mut impl FnMut(Item)) -> Result<bool> {
        let long_texts = &mut self.long_texts;
        let mut any = false;
        let mut count = 0_u32;
        let mut read = |mut item| {
            if let Some(long_texts) = long_texts {
                long_texts.see(&mut item);
            }
            any = true;
            read(item);
        };
        let reserved = self.ring.reserved();
        let mut all_read = self.ring.has_read(reserved);
        while !all_read
            && (self.ring.kept() < MOST_KEPT || !self.order.is_empty())
            && let Some(record) = self.ring.read()?
        {
            let len = record.len();
            let mut record =
                decode(record, self.ancestors, self.followed).ok_or(Error::Record { len })?;
            if let Some(Item::Event(event)) = &mut record.item {
                event.process.cut_args(self.max_args);
                event.process.cgroup = self.cgroups.get(event.process.cgroup_id);
            }
            self.order.put(record, &mut read);
            all_read = self.ring.has_read(reserved);
            count = count.saturating_add(1);
            if self.claim.is_none() {
                self.ring.release_but_last()?;
            }
        }
        self.pace.saw(count, Instant::now());
        // After the last event there may be none to tell of what was lost since.
        if let Some(globals) = self.globals.get(&0)? {
            self.order.lose(globals.events_lost, &mut read);
        }
        // Whoever follows a command may wait for the number of an event that is not handed out.
        Ok(any || (self.followed.is_some() && count > 0))
    }
}

/// For `epoll` and async runtimes: readable when a wait of [`Events::read`] would end. Read without a timeout
/// before each wait: that makes programs wake this reader for the next event. Where much happens, sleep for
/// some milliseconds before: waking it costs programs as much as ten events.
impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakeups.as_fd()
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// What is in a record with room for so many ancestors. Of a command that is `followed`, others are left out.
fn decode(record: &[u8], ancestors: usize, followed: Option<u32>) -> Option<Record> {
    let (header, rest) = take::<kamap_event>(record)?;
    if header.kind != kamap_event_kind::KAMAP_EVENT_REPLACED
        && followed.is_some_and(|id| (header.facts.flags.0 >> FOLLOW_SHIFT) & LAST_FOLLOW_ID != id)
    {
        return Some(Record {
            seq: header.seq,
            lost: header.lost,
            item: None,
        });
    }
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
                comm: until_nul(&ancestor.comm).collect(),
            });
        }
    }
    let time = Duration::from_nanos(header.time);
    let of_record = |item| Record {
        seq: header.seq,
        lost: header.lost,
        item: Some(item),
    };
    let kind = match header.kind {
        kamap_event_kind::KAMAP_EVENT_REPLACED => {
            let (version, _) = take::<[i8; VERSION_LEN]>(text)?;
            let version: Vec<_> = until_nul(&version).collect();
            let version = String::from_utf8_lossy(&version);
            let replaced = Replaced::new(header.seq, time, version);
            return Some(of_record(Item::Replaced(replaced)));
        }
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
        time,
        process: Process::decode(&header.facts, text),
        ancestors: known,
        kind,
    };
    Some(of_record(Item::Event(event)))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::Clock;
    use crate::Lost;
    use crate::skel::bytes;
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
        [bytes(&event), args].concat()
    }

    fn fork(seq: u64, lost: u64) -> Record {
        let record = record(seq, lost, kamap_event_kind::KAMAP_EVENT_FORK, b"");
        decode(&record, 0, None).expect("it is a record")
    }

    fn event(kind: kamap_event_kind, args: &[u8]) -> Event {
        let record = decode(&record(0, 0, kind, args), 0, None).expect("it is a record");
        let Some(Item::Event(event)) = record.item else {
            panic!("it is an event");
        };
        event
    }

    #[test]
    fn events_come_in_the_order_of_their_numbers_and_losses_at_their_place() {
        let mut order = Order::default();
        let mut items = Vec::new();
        let mut read = |item| {
            items.push(match item {
                Item::Event(event) => event.seq.to_string(),
                Item::Lost(lost) => format!("lost {}", lost.count),
                Item::Replaced(replaced) => panic!("{replaced:?}"),
            });
        };
        for (seq, lost) in [(0, 0), (2, 3), (1, 0), (4, 5), (5, 5), (3, 3)] {
            order.put(fork(seq, lost), &mut read);
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
        assert!(
            decode(&fork[..fork.len() - 1], 0, None).is_none(),
            "too short"
        );
        assert!(decode(&fork, 1, None).is_none(), "no room for an ancestor");
        assert!(decode(&record(0, 0, kamap_event_kind(1 << 9), b""), 0, None).is_none());
    }

    /// `ci/count` counts the instructions.
    #[inline(never)]
    fn counted_decode(records: &[Vec<u8>], mut read: impl FnMut(Item)) {
        let mut order = Order::default();
        for record in records {
            let record = decode(record, 0, None).expect("it is a record");
            order.put(record, &mut read);
        }
    }

    #[test]
    fn a_thousand_records_are_decoded() {
        let count = if cfg!(miri) { 10 } else { 1000 };
        let args = b"cc\0-O2\0-Wall\0-c\0main.c\0-o\0main.o\0";
        let records: Vec<_> = (0..count)
            .map(|seq| record(seq, 0, kamap_event_kind::KAMAP_EVENT_EXEC, args))
            .collect();
        let mut items = Vec::new();
        counted_decode(&records, |item| items.push(item));
        assert_eq!(items.len(), records.len());
        let Some(Item::Event(last)) = items.last() else {
            panic!("it is an event");
        };
        assert_eq!((last.seq, last.kind), (count - 1, EventKind::Exec));
        assert_eq!(last.process.args().count(), 7);
    }

    #[test]
    fn a_mark_has_the_version_behind_the_ancestors() {
        let kind = kamap_event_kind::KAMAP_EVENT_REPLACED;
        let ancestors = [0; size_of::<kamap_ancestor>()];
        let mut version = [0; VERSION_LEN];
        version[..5].copy_from_slice(b"0.1.0");
        let whole = record(5, 2, kind, &[&ancestors[..], &version].concat());
        let decoded = decode(&whole, 1, None).expect("it is a record");
        assert_eq!((decoded.seq, decoded.lost), (5, 2));
        let replaced = Replaced::new(5, Duration::ZERO, "0.1.0");
        assert_eq!(decoded.item, Some(Item::Replaced(replaced)));
        assert!(
            decode(&whole[..whole.len() - 1], 1, None).is_none(),
            "too short"
        );
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
        let mut event = event(kamap_event_kind::KAMAP_EVENT_EXEC, &[b'x'; 1000]);
        let mut exec = |pid, time| {
            event.process.pid = pid;
            event.time = time;
            let mut item = Item::Event(event.clone());
            long_texts.see(&mut item);
            long_texts.len()
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
        let event = |kind, args: &[u8]| Item::Event(event(kind, args));
        let told = |between: Option<Item>| {
            let mut items = vec![event(kamap_event_kind::KAMAP_EVENT_EXEC, &long)];
            items.extend(between);
            items.push(event(kamap_event_kind::KAMAP_EVENT_EXIT, &long[..600]));
            let mut long_texts = LongTexts::default();
            for item in &mut items {
                long_texts.see(item);
            }
            assert_eq!(long_texts.len(), 0, "nothing is kept of what has ended");
            match items.pop() {
                Some(Item::Event(exit)) => exit.process.args().map(OsStr::len).sum::<usize>(),
                _ => panic!("it is an event"),
            }
        };
        assert_eq!(told(None), 1000);
        assert_eq!(told(Some(Item::Lost(Lost::new(Cause::RingFull, 1)))), 600);
        let next = event(kamap_event_kind::KAMAP_EVENT_EXEC, b"short");
        assert_eq!(told(Some(next)), 600);
    }
}
