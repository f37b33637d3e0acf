//! Iterators over the entries of a map.

use std::fmt;
use std::iter::FusedIterator;

use super::batch::{BatchBuf, Walk};
use super::{Access, Iterable, Map, Readable, Result};

/// Iterator over the entries of a map; see [`Map::iter`].
pub struct Iter<'map, T: Iterable, A: Access> {
    map: &'map Map<T, A>,
    buf: BatchBuf<T::Key, T::Value>,
    /// What of `buf` is to be handed out next.
    next: usize,
    walk: Walk,
}

impl<'map, T: Iterable, A: Readable> Iter<'map, T, A> {
    pub(super) fn new(map: &'map Map<T, A>) -> Self {
        Self {
            map,
            buf: BatchBuf::new(),
            next: 0,
            walk: Walk::reading(map),
        }
    }
}

impl<T: Iterable, A: Readable> Iterator for Iter<'_, T, A> {
    type Item = Result<(T::Key, T::Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.buf.len() {
            self.next = 0;
            match self.walk.fill(self.map, &mut self.buf) {
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

impl<T: Iterable, A: Readable> FusedIterator for Iter<'_, T, A> {}

impl<T: Iterable, A: Access> fmt::Debug for Iter<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter")
            .field("map", &self.map.name())
            .field("walk", &self.walk)
            .finish_non_exhaustive()
    }
}

/// Iterator over the keys of a map; see [`Map::keys`].
pub struct Keys<'map, T: Iterable, A: Access>(pub(super) Iter<'map, T, A>);

impl<T: Iterable, A: Readable> Iterator for Keys<'_, T, A> {
    type Item = Result<T::Key>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map(|(key, _)| key))
    }
}

impl<T: Iterable, A: Readable> FusedIterator for Keys<'_, T, A> {}

impl<T: Iterable, A: Access> fmt::Debug for Keys<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.0).finish()
    }
}

/// Iterator over the values of a map; see [`Map::values`].
pub struct Values<'map, T: Iterable, A: Access>(pub(super) Iter<'map, T, A>);

impl<T: Iterable, A: Readable> Iterator for Values<'_, T, A> {
    type Item = Result<T::Value>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map(|(_, value)| value))
    }
}

impl<T: Iterable, A: Readable> FusedIterator for Values<'_, T, A> {}

impl<T: Iterable, A: Access> fmt::Debug for Values<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Values").field(&self.0).finish()
    }
}

impl<'map, T: Iterable, A: Readable> IntoIterator for &'map Map<T, A> {
    type Item = Result<(T::Key, T::Value)>;
    type IntoIter = Iter<'map, T, A>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
