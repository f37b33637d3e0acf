//! Memory that is shared with the kernel.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};

/// The size of a memory page in bytes.
pub fn page_size() -> usize {
    // SAFETY: takes a number and returns one. Every system has this setting.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// A number that this process and the kernel read and write atomically.
///
/// # Safety
///
/// Any bytes must be a valid value, and others may change it while there is a shared reference to
/// it.
pub(in crate::rings) unsafe trait Shared {}

// SAFETY: it is an atomic integer.
unsafe impl Shared for AtomicU32 {}

// SAFETY: as above.
unsafe impl Shared for AtomicU64 {}

// SAFETY: as above.
unsafe impl Shared for AtomicUsize {}

/// A mapping of the memory of a map or perf event. Dropping it unmaps the memory.
pub(in crate::rings) struct Mmap {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping can be used and removed by any thread.
unsafe impl Send for Mmap {}

// SAFETY: a shared reference only gives access to atomic integers, and copies bytes out.
unsafe impl Sync for Mmap {}

impl Mmap {
    /// Maps `len` bytes of `fd`, beginning at `offset`.
    pub(in crate::rings) fn map(
        fd: BorrowedFd<'_>,
        len: usize,
        protection: i32,
        offset: usize,
    ) -> io::Result<Self> {
        // SAFETY: creates a mapping at an address that the kernel chooses.
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

    /// The number at byte `at`. Only store to it if the memory was mapped for writing.
    pub(in crate::rings) fn number<T: Shared>(&self, at: usize) -> &T {
        assert!(at.is_multiple_of(align_of::<T>()) && at + size_of::<T>() <= self.len);
        // SAFETY: the number is inside the mapping, which exists as long as `self`, and aligned,
        // because the mapping begins at a page. Any bytes are valid.
        unsafe { self.start.add(at).cast::<T>().as_ref() }
    }
}

impl Drop for Mmap {
    fn drop(&mut self) {
        // SAFETY: it has been mapped, and no reference to it is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// A ring of records: after the last byte of its memory, it continues with the first.
///
/// Positions only grow and are never out of bounds: they count modulo the size.
pub(in crate::rings) struct Ring {
    /// The mapping, which begins with the positions and ends with the records.
    pub(in crate::rings) pages: Mmap,
    begin: usize,
    size: usize,
}

impl Ring {
    /// A ring whose records begin at byte `begin` of `pages`. The rest must be a power of two.
    pub(in crate::rings) fn new(pages: Mmap, begin: usize) -> Self {
        let size = pages.len - begin;
        assert!(size.is_power_of_two(), "the kernel has no other rings");
        Self { pages, begin, size }
    }

    /// Its size in bytes.
    pub(in crate::rings) fn size(&self) -> usize {
        self.size
    }

    /// The four bytes at `position`, which must be a multiple of four.
    pub(in crate::rings) fn header(&self, position: usize) -> &AtomicU32 {
        self.pages.number(self.begin + self.offset(position))
    }

    /// Copies bytes from `position` on into `bytes`, which must not be larger than the ring.
    ///
    /// It copies because the kernel or another process could still write to the memory. Then the
    /// copied bytes are wrong, but a reference to the memory would be undefined behaviour.
    pub(in crate::rings) fn copy(&self, position: usize, bytes: &mut [u8]) {
        assert!(bytes.len() <= self.size);
        let offset = self.offset(position);
        let (front, back) = bytes.split_at_mut(bytes.len().min(self.size - offset));
        // SAFETY: `front` fits between the offset and the end of the ring, and `back`, which is not
        // larger than the ring, starts at its beginning. `bytes` is not part of the mapping.
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

/// Memory that tests fill instead of the kernel.
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
        // SAFETY: all of it is mapped, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
impl Ring {
    /// A ring of one page, after a page for the positions.
    pub(in crate::rings) fn anonymous() -> Self {
        Self::new(Mmap::anonymous(2 * page_size()), page_size())
    }

    /// Writes `bytes` at `position`.
    pub(in crate::rings) fn write(&mut self, position: usize, bytes: &[u8]) {
        for (i, byte) in bytes.iter().enumerate() {
            let at = self.begin + self.offset(position.wrapping_add(i));
            self.pages.bytes()[at] = *byte;
        }
    }
}
