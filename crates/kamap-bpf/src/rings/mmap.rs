//! Memory that is shared with the kernel.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};

/// Bytes of a page of memory.
pub fn page_size() -> usize {
    // SAFETY: takes a number and returns one; every system knows this one.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// A number that both sides read and write atomically.
///
/// # Safety
///
/// Any bytes must be a valid value, and a shared reference must allow for others to
/// change them.
pub(in crate::rings) unsafe trait Shared {}

// SAFETY: it is an atomic integer.
unsafe impl Shared for AtomicU32 {}

// SAFETY: as above.
unsafe impl Shared for AtomicU64 {}

// SAFETY: as above.
unsafe impl Shared for AtomicUsize {}

/// Memory of a map or of a perf event.
pub(in crate::rings) struct Mmap {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory belongs to no thread.
unsafe impl Send for Mmap {}

// SAFETY: a shared reference leads to atomic integers, and else only reads.
unsafe impl Sync for Mmap {}

impl Mmap {
    /// Maps `len` bytes of `fd`, from `offset` on.
    pub(in crate::rings) fn map(
        fd: BorrowedFd<'_>,
        len: usize,
        protection: i32,
        offset: usize,
    ) -> io::Result<Self> {
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                protection,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        Self::mapped(start.cast(), len)
    }

    fn mapped(start: *mut u8, len: usize) -> io::Result<Self> {
        match NonNull::new(start) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { start, len }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The number at byte `at`. To store to it, the memory must have been mapped for
    /// writing.
    pub(in crate::rings) fn number<T: Shared>(&self, at: usize) -> &T {
        assert!(at.is_multiple_of(align_of::<T>()) && at + size_of::<T>() <= self.len);
        // SAFETY: it lies within the memory, which is mapped as long as `self` lives,
        // and aligned, as the memory is to a page. Any bytes are valid.
        unsafe { self.start.add(at).cast::<T>().as_ref() }
    }
}

impl Drop for Mmap {
    fn drop(&mut self) {
        // SAFETY: what has been mapped, to which no reference is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Records, one behind the other in memory whose end is followed by its begin.
///
/// A position in it only grows. None is out of bounds: what counts is the remainder.
pub(in crate::rings) struct Ring {
    /// What begins with numbers of the kernel and ends with the records.
    pub(in crate::rings) pages: Mmap,
    begin: usize,
    size: usize,
}

impl Ring {
    /// The records lie in what follows the first `begin` bytes: a power of two.
    pub(in crate::rings) fn new(pages: Mmap, begin: usize) -> Self {
        let size = pages.len - begin;
        assert!(size.is_power_of_two(), "the kernel has no other rings");
        Self { pages, begin, size }
    }

    /// Its size in bytes.
    pub(in crate::rings) fn size(&self) -> usize {
        self.size
    }

    /// The four bytes at a position that is a multiple of four.
    pub(in crate::rings) fn header(&self, position: usize) -> &AtomicU32 {
        self.pages.number(self.begin + self.offset(position))
    }

    /// Fills `bytes`, no more than the ring has, with those from `position` on.
    ///
    /// It is a copy because who shares the memory could go on writing: then the bytes
    /// are wrong, but nothing of Rust's rules is broken, as a reference to them would.
    pub(in crate::rings) fn copy(&self, position: usize, bytes: &mut [u8]) {
        assert!(bytes.len() <= self.size);
        let offset = self.offset(position);
        let (front, back) = bytes.split_at_mut(bytes.len().min(self.size - offset));
        // SAFETY: `front` ends where the ring does or before, and `back`, no longer
        // than the ring, begins at its begin. Neither overlaps memory of Rust.
        unsafe {
            let begin = self.pages.start.add(self.begin);
            let from = begin.add(offset);
            ptr::copy_nonoverlapping(from.as_ptr(), front.as_mut_ptr(), front.len());
            ptr::copy_nonoverlapping(begin.as_ptr(), back.as_mut_ptr(), back.len());
        }
    }

    fn offset(&self, position: usize) -> usize {
        position & (self.size - 1)
    }
}

/// Memory that is filled by tests instead of a kernel.
#[cfg(test)]
impl Mmap {
    pub(in crate::rings) fn anonymous(len: usize) -> Self {
        // SAFETY: as in `map`.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        Self::mapped(start.cast(), len).expect("there is memory")
    }

    pub(in crate::rings) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: all of it is mapped, and borrowed by this reference alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
impl Ring {
    /// A ring of one page that follows another one.
    pub(in crate::rings) fn anonymous() -> Self {
        Self::new(Mmap::anonymous(2 * page_size()), page_size())
    }

    /// Writes `bytes` from `position` on.
    pub(in crate::rings) fn write(&mut self, position: usize, bytes: &[u8]) {
        for (i, byte) in bytes.iter().enumerate() {
            let at = self.begin + self.offset(position.wrapping_add(i));
            self.pages.bytes()[at] = *byte;
        }
    }
}
