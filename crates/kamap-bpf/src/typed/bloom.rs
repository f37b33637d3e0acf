//! Operations of Bloom filters.

use super::access::{Readable, Writable};
use super::kinds::BloomFilter;
use super::map::Map;
use crate::Result;
use crate::data::{MapData, bytes};
use crate::raw::{Operation, UpdateMode};

/// Operations of Bloom filters.
impl<V: MapData, A: Writable> Map<BloomFilter<V>, A> {
    /// Adds `value`.
    ///
    /// # Errors
    ///
    /// [`Error::Frozen`](crate::Error::Frozen) or [`Error::Kernel`](crate::Error::Kernel).
    pub fn insert(&self, value: &V) -> Result<()> {
        bytes::with_bytes(value, |value| {
            self.raw()
                .update(Operation::INSERT, &[], value, UpdateMode::Any, 0)
        })
        .map(drop)
    }
}

/// Operations of Bloom filters.
impl<V: MapData, A: Readable> Map<BloomFilter<V>, A> {
    /// Whether `value` may have been inserted. `false` is certain.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`](crate::Error::Kernel).
    pub fn may_contain(&self, value: &V) -> Result<bool> {
        bytes::with_bytes(value, |value| self.raw().may_contain(value))
    }
}
