//! Operations of tries that write.

use super::access::Writable;
use super::kinds::LpmTrie;
use super::map::Map;
use crate::Result;
use crate::data::MapData;
use crate::raw::UpdateMode;

/// Operations of tries.
impl<K: MapData, V: MapData, A: Writable> Map<LpmTrie<K, V>, A> {
    /// Writes `value` for the prefix `key`. Returns whether it did: `false` where `mode` asked
    /// for an absent prefix and it is present, or the reverse.
    ///
    /// # Errors
    ///
    /// [`Error::PrefixTooLong`](crate::Error::PrefixTooLong),
    /// [`Error::Full`](crate::Error::Full), [`Error::Frozen`](crate::Error::Frozen) or
    /// [`Error::Kernel`](crate::Error::Kernel).
    pub fn insert(&self, key: &K, value: &V, mode: UpdateMode) -> Result<bool> {
        self.put(key, value, mode)
    }

    /// Removes the prefix `key` itself. Returns whether it was present.
    ///
    /// # Errors
    ///
    /// [`Error::PrefixTooLong`](crate::Error::PrefixTooLong),
    /// [`Error::Frozen`](crate::Error::Frozen) or [`Error::Kernel`](crate::Error::Kernel).
    pub fn remove(&self, key: &K) -> Result<bool> {
        self.delete(key)
    }
}
