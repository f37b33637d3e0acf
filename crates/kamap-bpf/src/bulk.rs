//! Writing many entries with few system calls.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use super::batch::{BatchBuf, room_for};
use super::map::is;
use super::operation::Operation;
use super::{Error, Hashed, Iterable, Map, Result, Writable, encode, sys};

/// A kind of map that takes many entries at once: the hash family and arrays.
pub trait Bulk: Iterable {}

/// A part of many entries was written, or of many keys removed: those before the
/// first that could not be.
#[derive(Debug, thiserror::Error)]
#[error("after {done}: {source}")]
pub struct Partial {
    /// How many were.
    pub done: u64,
    /// Why the next one was not.
    pub source: Error,
}

impl<T: Bulk, A: Writable> Map<T, A> {
    /// Writes all `entries`, whether their keys are there or not. Returns how many
    /// there were. Needs Linux 5.6, per-CPU arrays 5.13.
    ///
    /// # Errors
    ///
    /// [`Partial`], with [`Error::Full`], [`Error::IndexOutOfRange`],
    /// [`Error::Frozen`] or [`Error::Kernel`].
    pub fn insert_many(
        &self,
        entries: impl IntoIterator<Item = (T::Key, T::Value)>,
    ) -> Result<u64, Partial> {
        let mut buf = self.buffer();
        let mut done = 0;
        for (key, value) in entries {
            if !buf.push(&key, &value) {
                done += self.insert_batch(&mut buf, done)?;
            }
        }
        done += self.insert_batch(&mut buf, done)?;
        Ok(done)
    }

    fn insert_batch(
        &self,
        buf: &mut BatchBuf<T::Key, T::Value>,
        before: u64,
    ) -> Result<u64, Partial> {
        if buf.len() == 0 {
            return Ok(0);
        }
        // SAFETY: as many keys and values have been pushed; `from_fd` has compared
        // their sizes, and a value has as many cells as the kernel reads.
        let (done, result) = unsafe {
            sys::update_batch(
                self.as_fd(),
                buf.keys_ptr().cast(),
                buf.values_ptr().cast(),
                buf.len() as u32,
                self.flags(),
            )
        };
        result.map_err(|err| Partial {
            done: before + u64::from(done),
            source: self.not_put(Operation::INSERT_BATCH, &buf.key(done as usize), err),
        })?;
        buf.clear();
        Ok(u64::from(done))
    }

    fn buffer(&self) -> BatchBuf<T::Key, T::Value> {
        let mut buf = BatchBuf::new();
        buf.prepare(self.cells(), self.max_entries());
        buf
    }
}

impl<T: Hashed, A: Writable> Map<T, A> {
    /// Removes all `keys`, and tells how many of them were there. Needs Linux 5.6.
    ///
    /// # Errors
    ///
    /// [`Partial`], with [`Error::Frozen`] or [`Error::Kernel`].
    pub fn remove_many(&self, keys: impl IntoIterator<Item = T::Key>) -> Result<u64, Partial> {
        let room = room_for(size_of::<T::Key>());
        let mut buf = Vec::with_capacity(room);
        let mut done = 0;
        for key in keys {
            buf.push(MaybeUninit::uninit());
            if let Some(last) = buf.last_mut() {
                encode::write(&key, last);
            }
            if buf.len() == room {
                done += self.remove_batch(&buf, done)?;
                buf.clear();
            }
        }
        done += self.remove_batch(&buf, done)?;
        Ok(done)
    }

    /// The kernel stops at a key that is not there: it goes on after it.
    fn remove_batch(&self, keys: &[MaybeUninit<T::Key>], before: u64) -> Result<u64, Partial> {
        let mut removed = 0;
        let mut rest = keys;
        while !rest.is_empty() {
            // SAFETY: so many keys have been written; `from_fd` has compared their size.
            let (done, result) =
                unsafe { sys::delete_batch(self.as_fd(), rest.as_ptr().cast(), rest.len() as u32) };
            removed += u64::from(done);
            rest = match result {
                Ok(()) => &[],
                Err(err) if is(&err, libc::ENOENT) => &rest[done as usize + 1..],
                Err(err) => {
                    return Err(Partial {
                        done: before + removed,
                        source: self.error(Operation::REMOVE_BATCH, err),
                    });
                }
            };
        }
        Ok(removed)
    }
}
