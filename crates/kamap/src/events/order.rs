//! The order of events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::{Cause, Item, Lost};

/// Puts events into the order of their numbers.
///
/// A program reserves its record and takes the number a moment later, so those of
/// two CPUs can lie in the ring the other way round. None is left out, so the one
/// that is missing follows.
#[derive(Debug, Default)]
pub(super) struct Order {
    pub(super) next: u64,
    pub(super) lost: u64,
    waiting: BinaryHeap<Reverse<Record>>,
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

    pub(super) fn put(&mut self, record: Record, read: &mut impl FnMut(Item)) {
        // The reader before has dealt with it, and could not give its room back any more.
        if record.seq < self.next {
            return;
        }
        self.waiting.push(Reverse(record));
        while let Some(Reverse(first)) = self.waiting.peek()
            && first.seq <= self.next
        {
            let Some(Reverse(first)) = self.waiting.pop() else {
                return;
            };
            self.lose(first.lost, read);
            self.next = first.seq + 1;
            first.item.into_iter().for_each(&mut *read);
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

/// What is in a record; compared by number.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) seq: u64,
    /// How many were lost before it.
    pub(super) lost: u64,
    /// `None`: it is of a process that is not followed.
    pub(super) item: Option<Item>,
}

impl Ord for Record {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.seq.cmp(&other.seq)
    }
}

impl PartialOrd for Record {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}

impl Eq for Record {}
