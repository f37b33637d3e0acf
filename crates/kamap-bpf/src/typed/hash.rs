//! Operations of the hash family that write.

use super::access::{Readable, Writable};
use super::batch::BatchBuf;
use super::kinds::Hashed;
use super::map::Map;
use super::value::private::Stored;
use crate::data::bytes;
use crate::raw::{Operation, UpdateMode, Walk, room_for};
use crate::{Partial, Result};

/// Operations of the [hash family](Hashed) that write.
impl<T: Hashed, A: Writable> Map<T, A> {
    /// Writes `value` for `key`. Returns whether it did: `false` where `mode` asked for an
    /// absent key and it is present, or the reverse.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full), [`Error::Frozen`](crate::Error::Frozen), or
    /// [`Error::Kernel`](crate::Error::Kernel).
    pub fn insert(&self, key: &T::Key, value: &T::Value, mode: UpdateMode) -> Result<bool> {
        self.put(key, value, mode)
    }

    /// Removes `key`. Returns whether it was present.
    ///
    /// # Errors
    ///
    /// [`Error::Frozen`](crate::Error::Frozen) or [`Error::Kernel`](crate::Error::Kernel).
    pub fn remove(&self, key: &T::Key) -> Result<bool> {
        self.delete(key)
    }

    /// Writes all `entries`, whether their keys are present or not. Returns how many there
    /// were. Needs Linux 5.6.
    ///
    /// # Errors
    ///
    /// [`Partial`], with [`Error::Full`](crate::Error::Full),
    /// [`Error::Frozen`](crate::Error::Frozen) or [`Error::Kernel`](crate::Error::Kernel).
    pub fn insert_many(
        &self,
        entries: impl IntoIterator<Item = (T::Key, T::Value)>,
    ) -> Result<u64, Partial> {
        self.put_many(entries)
    }

    /// Removes all `keys`. Returns how many of them were present. Needs Linux 5.6.
    ///
    /// # Errors
    ///
    /// [`Partial`], with [`Error::Frozen`](crate::Error::Frozen) or
    /// [`Error::Kernel`](crate::Error::Kernel).
    pub fn remove_many(&self, keys: impl IntoIterator<Item = T::Key>) -> Result<u64, Partial> {
        let key_len = size_of::<T::Key>();
        let room = room_for(key_len) * key_len;
        let mut batch = Vec::with_capacity(room);
        let mut done = 0;
        let mut remove = |batch: &mut Vec<u8>| {
            done += self.raw().remove_batch(batch).map_err(|partial| Partial {
                done: done + partial.done,
                ..partial
            })?;
            batch.clear();
            Ok(done)
        };
        for key in keys {
            bytes::with_bytes(&key, |key| batch.extend_from_slice(key));
            if batch.len() == room {
                remove(&mut batch)?;
            }
        }
        remove(&mut batch)
    }
}

/// Operations of the [hash family](Hashed) that only read.
impl<T: Hashed, A: Readable> Map<T, A> {
    /// Whether `key` is present.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`](crate::Error::Kernel).
    pub fn contains(&self, key: &T::Key) -> Result<bool> {
        Ok(self.get(key)?.is_some())
    }

    /// How many entries there are. The kernel does not count them, so this reads the whole map:
    /// see [`iter`](Self::iter) for what that promises while others write.
    ///
    /// # Errors
    ///
    /// As for [`iter`](Self::iter).
    pub fn len(&self) -> Result<usize> {
        let mut buf = BatchBuf::new();
        let mut batches = self.batches(&mut buf);
        let mut len = 0;
        while let Some(batch) = batches.next_batch()? {
            len += batch.len();
        }
        Ok(len)
    }

    /// Whether there are no entries. It only reads the first key.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`](crate::Error::Kernel).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.next_key(None)?.is_none())
    }
}

/// Operations of the [hash family](Hashed) that read and write.
impl<T: Hashed, A: Readable + Writable> Map<T, A> {
    /// Removes `key` and returns the value that it had, in one step. Needs Linux 5.14.
    ///
    /// # Errors
    ///
    /// [`Error::Frozen`](crate::Error::Frozen) or [`Error::Kernel`](crate::Error::Kernel).
    pub fn take(&self, key: &T::Key) -> Result<Option<T::Value>> {
        bytes::with_bytes(key, |key| {
            T::Value::read(self.raw().sizes().value, |value| {
                self.raw().take(Operation::TAKE, key, value, self.flags())
            })
        })
    }

    /// Removes all entries, a batch at a time, and passes each to `take`. Returns how many
    /// there were. Needs Linux 5.6.
    ///
    /// Each entry that was in the map at the beginning, and that others do not remove, is passed
    /// exactly once. A key that others insert meanwhile is passed, or stays in the map. A key that is
    /// inserted again after it was removed can be passed again.
    ///
    /// If `take` panics, what was removed in the same batch is lost.
    ///
    /// # Errors
    ///
    /// [`Error::Frozen`](crate::Error::Frozen), [`Error::Unstable`](crate::Error::Unstable) or
    /// [`Error::Kernel`](crate::Error::Kernel). Exactly the entries that were passed have been removed.
    pub fn drain(&self, mut take: impl FnMut(T::Key, T::Value)) -> Result<u64> {
        let mut buf = BatchBuf::new();
        let mut walk = Walk::draining(self.raw());
        let mut count = 0;
        while buf.fill(&mut walk, self)? {
            for (key, value) in buf.batch() {
                take(key, value);
            }
            count += buf.len() as u64;
        }
        Ok(count)
    }

    /// Removes all entries, a batch at a time. Returns how many there were. Needs Linux 5.6.
    ///
    /// Keys that others insert at the same time can stay in the map.
    ///
    /// # Errors
    ///
    /// As for [`drain`](Self::drain).
    pub fn clear(&self) -> Result<u64> {
        self.drain(|_, _| ())
    }
}
