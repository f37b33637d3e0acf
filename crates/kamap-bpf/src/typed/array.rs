//! Operations of arrays that write.

use super::access::Writable;
use super::kinds::Array;
use super::map::Map;
use super::value::Value;
use crate::raw::UpdateMode;
use crate::{Partial, Result};

/// Operations of arrays.
impl<V: Value, A: Writable> Map<Array<V>, A> {
    /// Writes `value` at `index`.
    ///
    /// # Errors
    ///
    /// [`Error::IndexOutOfRange`](crate::Error::IndexOutOfRange),
    /// [`Error::Frozen`](crate::Error::Frozen) or [`Error::Kernel`](crate::Error::Kernel).
    pub fn set(&self, index: u32, value: &V) -> Result<()> {
        self.put(&index, value, UpdateMode::Any).map(drop)
    }

    /// Writes all `entries`. Returns how many there were. Needs Linux 5.6, with values of each
    /// CPU 5.13.
    ///
    /// # Errors
    ///
    /// [`Partial`], with [`Error::IndexOutOfRange`](crate::Error::IndexOutOfRange),
    /// [`Error::Frozen`](crate::Error::Frozen) or [`Error::Kernel`](crate::Error::Kernel).
    pub fn insert_many(&self, entries: impl IntoIterator<Item = (u32, V)>) -> Result<u64, Partial> {
        self.put_many(entries)
    }
}
