//! Reading maps with entries.

use std::iter::FusedIterator;

use super::access::Readable;
use super::batch::{BatchBuf, Batches};
use super::iter::Iter;
use super::kinds::Entries;
use super::map::Map;
use super::value::private::Stored;
use crate::Result;
use crate::data::bytes;
use crate::raw::Operation;

impl<T: Entries, A: Readable> Map<T, A> {
    /// The value of `key`, if it is present. In an array, `None` means that the index is out of range.
    /// In a trie, it is the value of the longest prefix of `key` in the map.
    ///
    /// The kernel copies it without a lock, so it can be torn if it is written at the same
    /// time. (Of 768 bytes that two writers replaced all the time, 5 of 9.6 million reads were
    /// torn in a hash map; in an array, which is written in place, some in a hundred. A per-CPU
    /// hash map is written in place as well, and a hash map by those who do it under the lock of
    /// the value.) [`iter`](Self::iter) over a hash map does not tear, except for those last
    /// ones, and a [locked](Map::locked) map never does.
    ///
    /// # Errors
    ///
    /// [`Error::PrefixTooLong`](crate::Error::PrefixTooLong) in a trie, or
    /// [`Error::Kernel`](crate::Error::Kernel).
    pub fn get(&self, key: &T::Key) -> Result<Option<T::Value>> {
        bytes::with_bytes(key, |key| {
            T::Value::read(self.raw().sizes().value, |value| {
                self.raw()
                    .lookup(Operation::LOOK_UP, key, value, self.flags())
            })
        })
    }

    /// The key after `key` in the kernel's order, or the first one; `None` after the last.
    ///
    /// If `key` is absent, this is the first one as well. A walk with this method alone, while
    /// others write, can miss keys, meet some again, or never end. [`iter`](Self::iter) does
    /// not.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`](crate::Error::Kernel).
    pub fn next_key(&self, key: Option<&T::Key>) -> Result<Option<T::Key>> {
        let next = |key: Option<&[u8]>| {
            let (next, found) = bytes::filled(|next| self.raw().next_key(key, next));
            Ok(found?.then_some(next))
        };
        match key {
            None => next(None),
            Some(key) => bytes::with_bytes(key, |key| next(Some(key))),
        }
    }

    /// All entries: those of an array in the order of their indices, those of a hash map in no
    /// particular order, those of a trie with longer prefixes before the ones that they begin
    /// with, otherwise in the order of their bits.
    ///
    /// While others write to the map:
    /// - a key that is present all the time comes exactly once;
    /// - no key comes twice;
    /// - no value of a hash map is torn, if it is written by whole updates that do not take the
    ///   lock of the value: a [locked](Map::locked) map takes it as well;
    /// - the end is reached in a bounded number of steps.
    ///
    /// It is not a snapshot of one moment: of keys that come or go at the same time, some are
    /// seen and some are not. An error comes once and ends the walk.
    ///
    /// Hash maps and arrays are read in batches (Linux 5.6). It uses memory for a batch (256
    /// entries or 64 KiB, or what is in one bucket), not for the map, and allocates nothing for
    /// an entry.
    ///
    /// # Tries
    ///
    /// A trie is read key by key. The kernel starts over when the prefix that the walk has
    /// reached is removed. What it passes again is left out, and a walk that starts over again
    /// and again ends with [`Error::Unstable`](crate::Error::Unstable). For a prefix that is
    /// removed at the same time, the value can be that of a shorter one.
    ///
    /// The kernel does not promise that it passes all that stays: a search that meets a change
    /// can leave something out. The walk asks for each prefix twice, which makes that so rare
    /// that it has not been seen.
    ///
    /// # Maps of maps and per-CPU arrays
    ///
    /// Before Linux 5.19 (maps of maps) and 5.13 (per-CPU arrays) the kernel has no batches of
    /// them. Then they are read key by key. Of a hash map of maps, a key that is replaced at the
    /// same time can be missed.
    pub fn iter(&self) -> Iter<'_, T, A> {
        Iter::new(self)
    }

    /// The keys of [`iter`](Self::iter).
    pub fn keys(&self) -> impl FusedIterator<Item = Result<T::Key>> + use<'_, T, A> {
        self.iter().map(|entry| entry.map(|(key, _)| key))
    }

    /// The values of [`iter`](Self::iter).
    pub fn values(&self) -> impl FusedIterator<Item = Result<T::Value>> + use<'_, T, A> {
        self.iter().map(|entry| entry.map(|(_, value)| value))
    }

    /// The entries of [`iter`](Self::iter), as many at a time as fit into `buf`, without copying them.
    /// If `buf` is reused, later walks allocate nothing.
    pub fn batches<'a>(&'a self, buf: &'a mut BatchBuf<T::Key, T::Value>) -> Batches<'a, T, A> {
        Batches::new(self, buf)
    }
}
