//! Many entries in one system call.

use std::io;
use std::os::fd::AsFd;
use std::ptr;

use super::map::{RawMap, Sizes, is};
use super::operation::Operation;
use crate::{Partial, Result, sys};

/// A batch has at most this many entries and, unless one entry is larger, this many bytes. Larger
/// batches are not faster.
const ENTRIES: usize = 256;
const BYTES: usize = 64 << 10;

/// How many entries of `entry_len` bytes fit into a batch.
pub(crate) fn room_for(entry_len: usize) -> usize {
    (BYTES / entry_len.max(1)).clamp(1, ENTRIES)
}

/// Keys and values, each kind in one buffer, as system calls need them.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(super) keys: Vec<u8>,
    pub(super) values: Vec<u8>,
    sizes: Sizes,
    /// How many entries it has room for; if `None`, their size decides.
    wanted: Option<usize>,
    len: usize,
}

impl Batch {
    pub(crate) fn new(wanted: Option<usize>) -> Self {
        Self {
            wanted,
            ..Self::default()
        }
    }

    /// Empties it, and makes room for entries of `map`.
    pub(crate) fn prepare(&mut self, map: &RawMap) {
        self.len = 0;
        self.sizes = map.sizes();
        let entry_len = self.sizes.key + self.sizes.value;
        let room = self.wanted.unwrap_or_else(|| room_for(entry_len));
        let room = room.min(map.max_entries().max(1) as usize);
        self.make_room(room.max(self.room()));
    }

    fn make_room(&mut self, room: usize) {
        self.keys.resize(room * self.sizes.key, 0);
        self.values.resize(room * self.sizes.value, 0);
    }

    /// How many entries it has room for.
    pub(super) fn room(&self) -> usize {
        let of = |bytes: &Vec<u8>, size| bytes.len().checked_div(size).unwrap_or(usize::MAX);
        let room = of(&self.keys, self.sizes.key).min(of(&self.values, self.sizes.value));
        if room == usize::MAX { 0 } else { room }
    }

    /// Doubles the room, up to what the map can need.
    pub(super) fn grow(&mut self, max_entries: u32) {
        let room = self.room();
        self.make_room((2 * room).min(max_entries as usize).max(room));
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.len = len.min(self.room());
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    pub(crate) fn key(&self, at: usize) -> &[u8] {
        &self.keys[at * self.sizes.key..][..self.sizes.key]
    }

    pub(crate) fn value(&self, at: usize) -> &[u8] {
        &self.values[at * self.sizes.value..][..self.sizes.value]
    }

    /// The values of all entries.
    pub(crate) fn values(&self) -> &[u8] {
        &self.values[..self.len * self.sizes.value]
    }

    /// The key and value at an index within the room.
    pub(super) fn slot(&mut self, at: usize) -> (&mut [u8], &mut [u8]) {
        (
            &mut self.keys[at * self.sizes.key..][..self.sizes.key],
            &mut self.values[at * self.sizes.value..][..self.sizes.value],
        )
    }

    /// Adds an entry, which `write` fills in. Returns whether there is room for another.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut [u8], &mut [u8])) -> bool {
        let (key, value) = self.slot(self.len);
        write(key, value);
        self.len += 1;
        self.len < self.room()
    }
}

impl RawMap {
    /// One step of a batch walk from the cursor `from` (`None`: the beginning). Fills `batch` as
    /// far as there is room. Returns the new cursor, how many entries the kernel reports as
    /// written, and its result.
    ///
    /// With `delete` it removes what it reads.
    pub(super) fn lookup_batch(
        &self,
        delete: bool,
        mut from: Option<u64>,
        batch: &mut Batch,
        flags: u64,
    ) -> (u64, u32, io::Result<()>) {
        let mut to = 0_u64;
        let room = u32::try_from(batch.room()).unwrap_or(u32::MAX);
        assert!(room == 0 || batch.sizes == self.sizes(), "it is prepared");
        // SAFETY: there is room for this many keys and values of this map. The cursor of a hash map
        // or array is a `u32`, which fits as well.
        let (count, answer) = unsafe {
            sys::lookup_batch(
                self.as_fd(),
                delete,
                from.as_mut().map_or(ptr::null_mut(), ptr::from_mut).cast(),
                ptr::from_mut(&mut to).cast(),
                batch.keys.as_mut_ptr().cast(),
                batch.values.as_mut_ptr().cast(),
                room,
                flags,
            )
        };
        (to, count, answer)
    }

    /// Writes all entries of `batch`, whether their keys are present or not.
    pub(crate) fn insert_batch(&self, batch: &Batch, flags: u64) -> Result<u64, Partial> {
        if batch.len() == 0 {
            return Ok(0);
        }
        assert_eq!(batch.sizes, self.sizes(), "it is prepared");
        let (keys, values) = (batch.keys.as_ptr(), batch.values.as_ptr());
        let count = batch.len() as u32;
        // SAFETY: the batch has this many keys and values of this map.
        let (done, answer) =
            unsafe { sys::update_batch(self.as_fd(), keys.cast(), values.cast(), count, flags) };
        answer.map_err(|err| Partial {
            done: u64::from(done),
            source: self.error(Operation::INSERT_BATCH, batch.key(done as usize), err),
        })?;
        Ok(u64::from(done))
    }

    /// Removes all `keys`. Returns how many were present.
    pub(crate) fn remove_batch(&self, keys: &[u8]) -> Result<u64, Partial> {
        let key_len = self.sizes().key;
        assert!(keys.len().is_multiple_of(key_len), "whole keys");
        let mut removed = 0;
        let mut rest = keys;
        while !rest.is_empty() {
            let count = (rest.len() / key_len) as u32;
            // SAFETY: there are this many keys.
            let (done, answer) =
                unsafe { sys::delete_batch(self.as_fd(), rest.as_ptr().cast(), count) };
            removed += u64::from(done);
            rest = match answer {
                Ok(()) => &[],
                // The kernel stops at a key that is absent. Continue after it.
                Err(err) if is(&err, libc::ENOENT) => &rest[(done as usize + 1) * key_len..],
                Err(err) => {
                    return Err(Partial {
                        done: removed,
                        source: self.error(Operation::REMOVE_BATCH, &[], err),
                    });
                }
            };
        }
        Ok(removed)
    }

    /// Whether the values have a lock, which an operation with `BPF_F_LOCK` would take.
    pub(crate) fn has_lock(&self) -> Result<bool> {
        let mut empty = Batch::default();
        let (_, _, answer) =
            self.lookup_batch(false, None, &mut empty, u64::from(libbpf_sys::BPF_F_LOCK));
        match answer {
            Ok(()) => Ok(true),
            Err(err) if is(&err, libc::EINVAL) => Ok(false),
            Err(err) => Err(self.error(Operation::READ_BATCH, &[], err)),
        }
    }
}
