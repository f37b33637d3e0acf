//! Reading the stream of events.

use std::time::Duration;

use kamap::{Event, EventKind, Events, Exit, Item, Kinds, Tracker};
use kamap_tests::eventually;

/// A tracker with the events of all lives, and their reader.
#[track_caller]
pub(super) fn tracker() -> (Tracker, Stream) {
    with(Tracker::builder().events(Kinds::LIFE))
}

#[track_caller]
pub(super) fn with(builder: kamap::Builder) -> (Tracker, Stream) {
    let mut tracker = builder.start().expect("the tracker starts");
    let events = tracker.take_events().expect("they were asked for");
    assert!(tracker.take_events().is_none(), "there is one reader");
    let stream = Stream {
        events,
        all: Vec::new(),
        lost: 0,
    };
    (tracker, stream)
}

/// What has been read.
pub(super) struct Stream {
    pub(super) events: Events,
    pub(super) all: Vec<Event>,
    pub(super) lost: u64,
}

impl Stream {
    /// Reads what there is.
    #[track_caller]
    pub(super) fn read(&mut self) {
        let (all, lost) = (&mut self.all, &mut self.lost);
        let read = self.events.read(Duration::ZERO, |item| match item {
            Item::Event(event) => {
                assert_eq!(event.seq, all.len() as u64, "no number is left out");
                all.push(event);
            }
            Item::Lost(count) => *lost += count,
            _ => panic!("an unknown item"),
        });
        read.expect("it can be read");
    }

    /// Reads on until `pid` has ended; returns its events.
    #[track_caller]
    pub(super) fn life(&mut self, pid: u32) -> Vec<Event> {
        eventually("its end is told", || {
            self.read();
            let of_pid = |event: &&Event| event.process.pid == pid;
            let life: Vec<_> = self.all.iter().filter(of_pid).cloned().collect();
            life.last()
                .is_some_and(|event| end(event).is_some())
                .then_some(life)
        })
    }
}

/// How a process has ended, if that is what an event tells.
pub(super) fn end(event: &Event) -> Option<Exit> {
    match event.kind {
        EventKind::Exit(end) => Some(end),
        _ => None,
    }
}

/// `fork`, `exec`, `failed` or `exit` of each.
pub(super) fn kinds(events: &[Event]) -> Vec<&'static str> {
    let kind = |event: &Event| match event.kind {
        EventKind::Fork => "fork",
        EventKind::Exec => "exec",
        EventKind::ExecFailed(_) => "failed",
        EventKind::Exit(_) => "exit",
        _ => "other",
    };
    events.iter().map(kind).collect()
}
