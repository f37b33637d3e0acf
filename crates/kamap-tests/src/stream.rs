//! Reading the stream of events.

use std::time::Duration;

use kamap::{Cause, Event, EventKind, Events, Exit, Item, Kinds, Tracker};

use crate::eventually;

/// Starts a tracker that records forks, execs and exits; returns it and its stream.
///
/// # Panics
///
/// If it does not start.
#[track_caller]
pub fn tracker() -> (Tracker, Stream) {
    with(Tracker::builder().events(Kinds::LIFE))
}

/// Starts the tracker of `builder`, which records events; returns it and its stream.
///
/// # Panics
///
/// If it does not start.
#[track_caller]
pub fn with(builder: kamap::Builder) -> (Tracker, Stream) {
    let mut tracker = builder.start().expect("the tracker starts");
    let events = tracker.take_events().expect("they were asked for");
    assert!(tracker.take_events().is_none(), "there is one reader");
    let stream = Stream {
        events,
        all: Vec::new(),
        lost: 0,
        table_lost: 0,
    };
    (tracker, stream)
}

/// The stream of a tracker, and what has been read of it.
#[derive(Debug)]
pub struct Stream {
    /// The reader.
    pub events: Events,
    /// All events that have been read.
    pub all: Vec<Event>,
    /// How many events the ring had no room for.
    pub lost: u64,
    /// How many rows the table has lost, as the stream reports it.
    pub table_lost: u64,
}

impl Stream {
    /// Reads what there is.
    ///
    /// # Panics
    ///
    /// If it cannot be read.
    #[track_caller]
    pub fn read(&mut self) {
        let read = self.take(|events, take| events.read(Duration::ZERO, take));
        read.expect("it can be read");
    }

    /// Reads all that is left after the tracker has been detached.
    ///
    /// # Panics
    ///
    /// If it cannot be read.
    #[track_caller]
    pub fn drain(&mut self) {
        let read = self.take(|events, take| events.drain(take));
        read.expect("it can be read");
    }

    fn take<T>(&mut self, read: impl FnOnce(&mut Events, &mut dyn FnMut(Item)) -> T) -> T {
        let (all, lost, table_lost) = (&mut self.all, &mut self.lost, &mut self.table_lost);
        read(&mut self.events, &mut |item| match item {
            Item::Event(event) => {
                assert_eq!(event.seq, all.len() as u64, "no number is left out");
                all.push(event);
            }
            Item::Lost(gap) if gap.cause == Cause::RingFull => *lost += gap.count,
            Item::Lost(gap) => *table_lost += gap.count,
            _ => panic!("an unknown item"),
        })
    }

    /// Reads on until `pid` has ended; returns its events.
    ///
    /// # Panics
    ///
    /// If it does not end within a minute.
    #[track_caller]
    pub fn life(&mut self, pid: u32) -> Vec<Event> {
        eventually("its exit is read", || {
            self.read();
            let of_pid = |event: &&Event| event.process.pid == pid;
            let life: Vec<_> = self.all.iter().filter(of_pid).cloned().collect();
            life.last()
                .is_some_and(|event| end(event).is_some())
                .then_some(life)
        })
    }
}

/// How the process of an exit event has ended; `None` for other events.
pub fn end(event: &Event) -> Option<Exit> {
    match event.kind {
        EventKind::Exit(exit) => Some(exit),
        _ => None,
    }
}

/// The kind of each event: `fork`, `exec`, `failed` or `exit`.
pub fn kinds(events: &[Event]) -> Vec<&'static str> {
    let kind = |event: &Event| match event.kind {
        EventKind::Fork => "fork",
        EventKind::Exec => "exec",
        EventKind::ExecFailed(_) => "failed",
        EventKind::Exit(_) => "exit",
        _ => "other",
    };
    events.iter().map(kind).collect()
}
