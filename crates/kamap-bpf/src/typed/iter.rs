//! Iterators over the entries of a map.

use std::fmt;
use std::iter::FusedIterator;

use super::access::{Access, Readable};
use super::batch::BatchBuf;
use super::kinds::Entries;
use super::map::Map;
use crate::Result;
use crate::raw::Walk;

/// Iterator over the entries of a map; see [`Map::iter`].
pub struct Iter<'map, T: Entries, A: Access> {
    map: &'map Map<T, A>,
    buf: BatchBuf<T::Key, T::Value>,
    /// Index of the next entry in `buf`.
    next: usize,
    walk: Walk,
}

impl<'map, T: Entries, A: Readable> Iter<'map, T, A> {
    pub(super) fn new(map: &'map Map<T, A>) -> Self {
        Self {
            map,
            buf: BatchBuf::new(),
            next: 0,
            walk: Walk::reading(map.raw()),
        }
    }
}

impl<T: Entries, A: Readable> Iterator for Iter<'_, T, A> {
    type Item = Result<(T::Key, T::Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.buf.len() {
            self.next = 0;
            match self.buf.fill(&mut self.walk, self.map) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(err) => return Some(Err(err)),
            }
        }
        let at = self.next;
        self.next += 1;
        Some(Ok((self.buf.key(at), self.buf.value(at))))
    }
}

impl<T: Entries, A: Readable> FusedIterator for Iter<'_, T, A> {}

impl<T: Entries, A: Access> fmt::Debug for Iter<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter")
            .field("map", &self.map.name())
            .field("walk", &self.walk)
            .finish_non_exhaustive()
    }
}

impl<'map, T: Entries, A: Readable> IntoIterator for &'map Map<T, A> {
    type Item = Result<(T::Key, T::Value)>;
    type IntoIter = Iter<'map, T, A>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
