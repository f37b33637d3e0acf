//! Ring buffers.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::{Error, Result, sys};

/// Of a record's length: it is not filled in yet, or is to be passed over
/// (linux/bpf.h).
const BUSY: u32 = libbpf_sys::BPF_RINGBUF_BUSY_BIT;
const DISCARDED: u32 = libbpf_sys::BPF_RINGBUF_DISCARD_BIT;
const HEADER: u64 = libbpf_sys::BPF_RINGBUF_HDR_SZ as u64;

/// The one reader of a ring buffer (`BPF_MAP_TYPE_RINGBUF`, Linux 5.8).
///
/// Records come in the order in which they were reserved. What a program could not
/// reserve is known to that program alone: it has to count.
pub struct RingBuf {
    fd: OwnedFd,
    name: String,
    /// How far has been read: the one page that a reader may write.
    consumer: Pages,
    /// How far has been reserved, in a page of its own, then the records, twice, so
    /// that one that wraps around lies in one piece.
    producer: Pages,
    size: u64,
}

impl RingBuf {
    /// Takes over the ring buffer behind `fd`. There must be no other reader: both
    /// would move the place up to which all is read.
    ///
    /// # Errors
    ///
    /// [`Error::NotAMap`], [`Error::WrongKind`], or [`Error::Kernel`] where it
    /// cannot be mapped.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        let info = sys::info(fd.as_fd()).map_err(|source| Error::NotAMap { source })?;
        let name = sys::name(&info);
        if info.type_ != libbpf_sys::BPF_MAP_TYPE_RINGBUF {
            return Err(Error::WrongKind {
                map: name,
                found: info.type_,
                expected: libbpf_sys::BPF_MAP_TYPE_RINGBUF,
            });
        }
        let page = page_size();
        let size = info.max_entries as usize;
        let map = |len, protection, offset| {
            Pages::map(&fd, len, protection, offset).map_err(|source| Error::Kernel {
                map: name.clone(),
                operation: "map the memory",
                source,
            })
        };
        Ok(Self {
            consumer: map(page, libc::PROT_READ | libc::PROT_WRITE, 0)?,
            producer: map(page + 2 * size, libc::PROT_READ, page)?,
            size: size as u64,
            name,
            fd,
        })
    }

    /// Waits until something can be read or `timeout` is over; returns whether
    /// something can. A signal ends the wait.
    ///
    /// Records of programs that wake nobody (`BPF_RB_NO_WAKEUP`) end no wait that
    /// has begun before; those that are there already do.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`].
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        let mut poll = libc::pollfd {
            fd: self.fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: `poll` is one entry, valid for reading and writing.
        let ready = unsafe { libc::poll(&mut poll, 1, timeout) };
        if ready >= 0 {
            return Ok(ready > 0);
        }
        match io::Error::last_os_error() {
            err if err.kind() == io::ErrorKind::Interrupted => Ok(false),
            source => Err(Error::Kernel {
                map: self.name.clone(),
                operation: "wait",
                source,
            }),
        }
    }

    /// Hands all records that are there to `read`, and makes room for others.
    /// Returns how many there were.
    pub fn read(&mut self, mut read: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        let mut at = self.position(&self.consumer).load(Ordering::Relaxed);
        // Acquire: what lies before it has been written.
        while at < self.position(&self.producer).load(Ordering::Acquire) {
            let header = self.at(at).cast::<AtomicU32>();
            // SAFETY: a header lies at each record's begin, aligned to 8 bytes. The
            // kernel writes it atomically. Acquire: once it is not busy, the
            // record is written.
            let len = unsafe { header.as_ref() }.load(Ordering::Acquire);
            if len & BUSY != 0 {
                break;
            }
            let discarded = len & DISCARDED != 0;
            let len = u64::from(len & !DISCARDED);
            if !discarded {
                let record = self.at(at + HEADER);
                // SAFETY: the record lies within the ring, in one piece thanks to
                // the second mapping, and nobody writes it before `consumer` passes.
                read(unsafe {
                    std::slice::from_raw_parts(record.as_ptr().cast_const(), len as usize)
                });
                count += 1;
            }
            at += (HEADER + len).next_multiple_of(8);
            // Release: all reading was done before.
            self.position(&self.consumer).store(at, Ordering::Release);
        }
        count
    }

    /// The counter at the begin of `pages`.
    fn position<'a>(&self, pages: &'a Pages) -> &'a AtomicU64 {
        // SAFETY: both mappings begin with an `unsigned long` that the kernel reads
        // and writes atomically; page-aligned, and mapped as long as `pages` lives.
        // The producer's is only loaded.
        unsafe { pages.start.cast::<AtomicU64>().as_ref() }
    }

    /// The byte of the ring at a position that only grows.
    fn at(&self, position: u64) -> NonNull<u8> {
        let page = self.producer.len - 2 * self.size as usize;
        // SAFETY: at most one size beyond the page of the counter, so within the
        // mapping. The size of a ring is a power of two.
        unsafe {
            self.producer
                .start
                .add(page + (position & (self.size - 1)) as usize)
        }
    }
}

impl fmt::Debug for RingBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingBuf")
            .field("map", &self.name)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// Bytes of a page of memory.
pub(crate) fn page_size() -> usize {
    // SAFETY: takes a number and returns one; every system knows this one.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// Memory of a map.
struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory belongs to no thread.
unsafe impl Send for Pages {}

impl Pages {
    fn map(fd: &OwnedFd, len: usize, protection: i32, offset: usize) -> io::Result<Self> {
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
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { start, len }),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: what `map` has mapped, to which no reference is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
