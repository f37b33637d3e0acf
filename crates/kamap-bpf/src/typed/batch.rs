//! Reading entries in batches.

use std::fmt;
use std::marker::PhantomData;

use super::access::{Access, Readable};
use super::kinds::Entries;
use super::map::Map;
use super::value::Value;
use crate::Result;
use crate::data::{MapData, bytes};
use crate::raw;

/// Memory for a batch; see [`Map::batches`].
pub struct BatchBuf<K: MapData, V: Value> {
    raw: raw::Batch,
    /// The values of the batch, if they are decoded together.
    read: V::Batch,
    keys: PhantomData<fn() -> K>,
}

impl<K: MapData, V: Value> BatchBuf<K, V> {
    /// Memory for 256 entries, or fewer if they exceed 64 KiB. It is allocated on first use, and
    /// grows if a bucket of a hash map has more entries.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// Memory for `entries` entries (at least one). It is allocated on first use, and grows if a
    /// bucket of a hash map has more entries.
    pub fn with_room(entries: usize) -> Self {
        Self::with(Some(entries.max(1)))
    }

    fn with(room: Option<usize>) -> Self {
        Self {
            raw: raw::Batch::new(room),
            read: V::Batch::default(),
            keys: PhantomData,
        }
    }

    /// Fills it with the next entries of a walk over `map`. Returns whether there were any.
    pub(super) fn fill<T, A>(&mut self, walk: &mut raw::Walk, map: &Map<T, A>) -> Result<bool>
    where
        T: Entries<Key = K, Value = V>,
        A: Access,
    {
        let filled = walk.fill(map.raw(), map.flags(), &mut self.raw)?;
        if filled {
            V::read_batch(self.raw.values(), &mut self.read);
        }
        Ok(filled)
    }

    pub(super) fn len(&self) -> usize {
        self.raw.len()
    }

    pub(super) fn key(&self, at: usize) -> K {
        bytes::read(self.raw.key(at))
    }

    pub(super) fn value(&self, at: usize) -> V {
        V::of_batch(self.raw.value(at), at, &self.read)
    }

    pub(super) fn batch(&self) -> Batch<'_, K, V> {
        Batch { buf: self, next: 0 }
    }
}

impl<K: MapData, V: Value> Default for BatchBuf<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: MapData, V: Value> fmt::Debug for BatchBuf<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchBuf")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// The entries of a map, a batch at a time; see [`Map::batches`].
pub struct Batches<'a, T: Entries, A: Access> {
    map: &'a Map<T, A>,
    buf: &'a mut BatchBuf<T::Key, T::Value>,
    walk: raw::Walk,
}

impl<'a, T: Entries, A: Readable> Batches<'a, T, A> {
    pub(super) fn new(map: &'a Map<T, A>, buf: &'a mut BatchBuf<T::Key, T::Value>) -> Self {
        let walk = raw::Walk::reading(map.raw());
        Self { map, buf, walk }
    }

    /// The next batch. `None` at the end, and after an error.
    ///
    /// # Errors
    ///
    /// [`Error::Unstable`](crate::Error::Unstable) or [`Error::Kernel`](crate::Error::Kernel).
    pub fn next_batch(&mut self) -> Result<Option<Batch<'_, T::Key, T::Value>>> {
        let filled = self.buf.fill(&mut self.walk, self.map)?;
        Ok(filled.then(|| self.buf.batch()))
    }
}

impl<T: Entries, A: Access> fmt::Debug for Batches<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches")
            .field("map", &self.map.name())
            .field("walk", &self.walk)
            .finish_non_exhaustive()
    }
}

/// A batch of entries: an iterator over them.
pub struct Batch<'a, K: MapData, V: Value> {
    buf: &'a BatchBuf<K, V>,
    next: usize,
}

impl<K: MapData, V: Value> Iterator for Batch<'_, K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        (self.next < self.buf.len()).then(|| {
            let at = self.next;
            self.next += 1;
            (self.buf.key(at), self.buf.value(at))
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.buf.len() - self.next;
        (left, Some(left))
    }
}

impl<K: MapData, V: Value> ExactSizeIterator for Batch<'_, K, V> {}

impl<K: MapData, V: Value> fmt::Debug for Batch<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
