//! The order of events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::{Cause, Event, Item, Lost};

/// Puts events into the order of their numbers.
///
/// A program reserves its record and takes the number a moment later, so those of
/// two CPUs can lie in the ring the other way round. None is left out, so the one
/// that is missing follows.
#[derive(Debug, Default)]
pub(super) struct Order {
    pub(super) next: u64,
    pub(super) lost: u64,
    waiting: BinaryHeap<Reverse<BySeq>>,
}

impl Order {
    /// Goes on behind what was read.
    pub(super) fn from(next: u64, lost: u64) -> Self {
        Self {
            next,
            lost,
            waiting: BinaryHeap::new(),
        }
    }

    /// Whether none waits for another one.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn put(&mut self, event: Event, lost: u64, read: &mut impl FnMut(Item)) {
        // The reader before has dealt with it, and could not give its room back any more.
        if event.seq < self.next {
            return;
        }
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
    pub(super) fn lose(&mut self, lost: u64, read: &mut impl FnMut(Item)) {
        if lost > self.lost {
            read(Item::Lost(Lost::new(Cause::RingFull, lost - self.lost)));
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
