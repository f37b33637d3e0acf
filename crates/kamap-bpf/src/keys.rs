//! From key to key.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::ptr;

use super::operation::Operation;
use super::{Keyed, Map, Readable, Result, encode, sys};

impl<T: Keyed, A: Readable> Map<T, A> {
    /// The key after `key` in the kernel's order, or the first one; `None` after the
    /// last.
    ///
    /// If `key` is not in the map, this is the first one as well: a walk by this
    /// alone, while others write, can miss keys, meet some again, or never end.
    /// [`iter`](Map::iter) does not.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`](super::Error::Kernel).
    pub fn next_key(&self, key: Option<&T::Key>) -> Result<Option<T::Key>> {
        let mut next = MaybeUninit::<T::Key>::uninit();
        let mut step = |key| {
            // SAFETY: `from_fd` has compared the size of the key.
            unsafe { sys::next_key(self.as_fd(), key, next.as_mut_ptr().cast()) }
        };
        let answer = match key {
            None => step(ptr::null()),
            Some(key) => encode::with_bytes(key, step),
        };
        // SAFETY: the kernel has written a key, any bytes of which are valid
        // (`MapData`).
        let answer = answer.map(|()| unsafe { next.assume_init() });
        self.found(Operation::NEXT_KEY, answer)
    }
}
