//! A map whose sizes are known at run time only. Each call compares the lengths of its buffers
//! with what the kernel will read and write.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;

use super::super::sys;

/// How many bytes the kernel reads and writes of a map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) key: usize,
    /// As a system call sees it: of a per-CPU map all CPUs.
    pub(super) value: usize,
}

/// A map for system calls. Its sizes are true: what the calls below rely on.
#[derive(Debug)]
pub(super) struct Raw {
    fd: OwnedFd,
    sizes: Sizes,
}

/// Where there are no keys, the kernel wants a null pointer.
fn pointer(bytes: &[u8]) -> *const libc::c_void {
    if bytes.is_empty() {
        ptr::null()
    } else {
        bytes.as_ptr().cast()
    }
}

fn pointer_mut(bytes: &mut [u8]) -> *mut libc::c_void {
    if bytes.is_empty() {
        ptr::null_mut()
    } else {
        bytes.as_mut_ptr().cast()
    }
}

impl Raw {
    /// # Safety
    ///
    /// The kernel must read and write as many bytes as `sizes` says as a key and a value
    /// of the map.
    pub(super) unsafe fn new(fd: OwnedFd, sizes: Sizes) -> Self {
        Self { fd, sizes }
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    #[track_caller]
    fn compare(&self, key: &[u8], value: &[u8]) {
        assert_eq!(key.len(), self.sizes.key, "length of a key");
        assert_eq!(value.len(), self.sizes.value, "length of a value");
    }

    pub(super) fn lookup(&self, key: &[u8], value: &mut [u8], flags: u64) -> io::Result<()> {
        self.compare(key, value);
        // SAFETY: the kernel reads one key and writes one value (a bloom filter reads it);
        // both have the lengths that `new` was told.
        unsafe { sys::lookup(self.as_fd(), pointer(key), pointer_mut(value), flags) }
    }

    pub(super) fn take(&self, key: &[u8], value: &mut [u8], flags: u64) -> io::Result<()> {
        self.compare(key, value);
        // SAFETY: as for `lookup`.
        unsafe { sys::take(self.as_fd(), pointer(key), pointer_mut(value), flags) }
    }

    pub(super) fn update(&self, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
        self.compare(key, value);
        // SAFETY: the kernel reads one key and one value; as for `lookup`.
        unsafe { sys::update(self.as_fd(), pointer(key), pointer(value), flags) }
    }

    pub(super) fn delete(&self, key: &[u8]) -> io::Result<()> {
        assert_eq!(key.len(), self.sizes.key, "length of a key");
        // SAFETY: the kernel reads one key; as for `lookup`.
        unsafe { sys::delete(self.as_fd(), pointer(key)) }
    }

    pub(super) fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<()> {
        for len in [key.map(<[u8]>::len), Some(next.len())]
            .into_iter()
            .flatten()
        {
            assert_eq!(len, self.sizes.key, "length of a key");
        }
        // SAFETY: the kernel reads a key, if there is one, and writes another.
        unsafe {
            sys::next_key(
                self.as_fd(),
                key.map_or(ptr::null(), pointer),
                pointer_mut(next),
            )
        }
    }

    /// One step of a batch walk of a hash map, from bucket `from` (`None`: the first) to
    /// bucket `to`. Returns how many entries the kernel wrote to the front of `keys` and
    /// `values`, whatever it said otherwise.
    pub(super) fn lookup_batch(
        &self,
        from: Option<u32>,
        to: &mut u32,
        keys: &mut [u8],
        values: &mut [u8],
    ) -> (usize, io::Result<()>) {
        let room = keys.len() / self.sizes.key.max(1);
        assert_eq!(keys.len(), room * self.sizes.key, "whole keys");
        assert_eq!(values.len(), room * self.sizes.value, "as many values");
        let mut from = from;
        let from = from.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
        let most = u32::try_from(room).unwrap_or(u32::MAX);
        // SAFETY: the kernel writes at most `most` keys and values, for which there is
        // room. The cursor of a hash map is a u32.
        let (count, answer) = unsafe {
            sys::lookup_batch(
                self.as_fd(),
                false,
                from.cast(),
                ptr::from_mut(to).cast(),
                keys.as_mut_ptr().cast(),
                values.as_mut_ptr().cast(),
                most,
                0,
            )
        };
        (count as usize, answer)
    }
}
