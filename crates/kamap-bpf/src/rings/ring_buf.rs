//! Ring buffers.

use std::fmt;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::time::Duration;

use super::mmap::{Mmap, Ring, page_size};
use super::record::{Record, decode};
use super::stop::{Stop, run, wait};
use crate::map_type::MapType;
use crate::raw::{Operation, RawMap};
use crate::{Error, Result};

/// Flags in the length of a record (linux/bpf.h): it is not submitted yet; it was discarded.
const BUSY: u32 = libbpf_sys::BPF_RINGBUF_BUSY_BIT;
const DISCARDED: u32 = libbpf_sys::BPF_RINGBUF_DISCARD_BIT;
const HEADER: usize = libbpf_sys::BPF_RINGBUF_HDR_SZ as usize;

/// The one reader of a ring buffer (`BPF_MAP_TYPE_RINGBUF`, Linux 5.8) with records `E`: a type
/// of fixed size, or `[u8]`.
///
/// Records come in the order in which they were reserved. One that is not submitted yet holds
/// up those behind it, and discarded ones are skipped. Only a program knows what it could not
/// reserve: it has to count.
///
/// ```no_run
/// use std::ops::ControlFlow;
/// use kamap_bpf::{RingBuf, Stop};
///
/// let mut ring = RingBuf::<[u64; 2]>::open_pinned("/sys/fs/bpf/events")?;
/// let stop = Stop::new().unwrap();
/// // Another thread calls `stop.stop()`.
/// ring.run(&stop, |[pid, cookie]| -> ControlFlow<()> {
///     println!("{pid}: {cookie}");
///     ControlFlow::Continue(())
/// })?;
/// # Ok::<(), kamap_bpf::Error>(())
/// ```
///
/// To wait for other things as well, use its file descriptor, [`wait`](Self::wait) and
/// [`read`](Self::read).
pub struct RingBuf<E: Record + ?Sized> {
    map: RawMap,
    /// The position up to which we have read: the only page that a reader can write.
    consumer: Mmap,
    /// A page with the position up to which records are reserved, then the records.
    ring: Ring,
    /// The position up to which this reader has read.
    position: usize,
    /// The position of the last record that it has read.
    last: usize,
    /// The last value that it wrote to `consumer`.
    released: usize,
    /// Whether read records keep their room until [`release`](Self::release).
    keeps: bool,
    /// A copy of the record that is being passed on.
    record: Vec<u8>,
    records: PhantomData<fn(&E)>,
}

impl<E: Record + ?Sized> RingBuf<E> {
    /// Reads the ring buffer behind `fd`, beginning where the previous reader stopped. There must
    /// be no other reader; [`read`](Self::read) returns an error if it notices one.
    ///
    /// # Errors
    ///
    /// [`Error::NotAMap`], [`Error::WrongKind`], or [`Error::Kernel`] if the memory cannot be
    /// mapped.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        Self::of(RawMap::from_fd(fd)?)
    }

    /// Duplicates the file descriptor of a ring buffer in a libbpf skeleton.
    ///
    /// # Errors
    ///
    /// As for [`from_fd`](Self::from_fd), and [`Error::NotOpened`] if too many files are open.
    pub fn from_skeleton(map: &impl AsFd) -> Result<Self> {
        Self::of(RawMap::duplicate(map.as_fd())?)
    }

    /// Opens the ring buffer that is pinned at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotAPin`], [`Error::NotOpened`], and those of
    /// [`from_fd`](Self::from_fd).
    pub fn open_pinned(path: impl AsRef<Path>) -> Result<Self> {
        Self::of(RawMap::open_pinned(path.as_ref(), 0)?)
    }

    /// Opens the ring buffer with this ID, which needs `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotOpened`], and those of [`from_fd`](Self::from_fd).
    pub fn open_id(id: u32) -> Result<Self> {
        Self::of(RawMap::open_id(id, 0)?)
    }

    /// Opens the ring buffer with this name, which needs `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    ///
    /// As for [`open_id`](Self::open_id), and [`Error::Ambiguous`] if several maps have it.
    pub fn open_name(name: &str) -> Result<Self> {
        Self::of(RawMap::open_name(name, 0)?)
    }

    fn of(map: RawMap) -> Result<Self> {
        let map = map.expect(MapType::RINGBUF)?;
        let page = page_size();
        let memory = |len, protection, offset| {
            let memory = Mmap::map(map.as_fd(), len, protection, offset);
            memory.map_err(|err| map.error(Operation::other("map the memory"), &[], err))
        };
        let consumer = memory(page, libc::PROT_READ | libc::PROT_WRITE, 0)?;
        let producer = memory(page + map.max_entries() as usize, libc::PROT_READ, page)?;
        Ok(Self::new(map, consumer, Ring::new(producer, page)))
    }

    fn new(map: RawMap, consumer: Mmap, ring: Ring) -> Self {
        let position = consumer.number::<AtomicUsize>(0).load(Ordering::Relaxed);
        Self {
            map,
            consumer,
            ring,
            position,
            last: position,
            released: position,
            keeps: false,
            record: Vec::new(),
            records: PhantomData,
        }
    }

    /// Waits until there is something to read or `timeout` has passed. Returns whether there is
    /// something. A signal ends the wait.
    ///
    /// A record that is reserved but not yet submitted counts, too. A record that a program submits
    /// with `BPF_RB_NO_WAKEUP` does not end a wait that has already begun.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`].
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        wait(&self.map, [self.as_fd()], Some(timeout))
    }

    /// Passes each record to `each` and waits for more, until `each` breaks or `stop` is used.
    /// After a stop, all records that were submitted before it have been passed.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read) and [`wait`](Self::wait). After an [`Error::RecordSize`], the
    /// next call continues with the record after it.
    pub fn run<B>(
        &mut self,
        stop: &Stop,
        mut each: impl FnMut(E::Item<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        let read = |ring: &mut Self| {
            while let Some(record) = ring.read()? {
                if let ControlFlow::Break(broken) = each(record) {
                    return Ok(ControlFlow::Break(broken));
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        run(self, stop, read, |ring| {
            wait(&ring.map, [ring.as_fd(), stop.as_fd()], None)
        })
    }

    /// The next record, if there is one. It no longer takes room in the ring, unless
    /// [`keep`](Self::keep) was called.
    ///
    /// # Errors
    ///
    /// [`Error::RecordSize`] if the record is too short or too long for an `E`; it has been
    /// skipped. [`Error::AnotherReader`] if somebody else has moved the read position.
    /// [`Error::NoRecord`] if there cannot be a record at the position, which has the same cause.
    /// After these two, the ring cannot be read any more.
    pub fn read(&mut self) -> Result<Option<E::Item<'_>>> {
        let Some(len) = self.take()? else {
            return Ok(None);
        };
        decode::<E>(&self.map, &self.record[..len], |size| size).map(Some)
    }

    /// Keeps the room of read records until [`release`](Self::release). If this reader ends before,
    /// the next one gets them again. Without this, each record is released when it has been read.
    pub fn keep(&mut self) {
        self.keeps = true;
    }

    /// Releases the room of all records that have been read.
    ///
    /// A program that submits the next record without a flag wakes this reader then: the kernel
    /// compares the two positions (`bpf_ringbuf_commit` in kernel/bpf/ringbuf.c).
    ///
    /// # Errors
    ///
    /// [`Error::AnotherReader`], as for [`read`](Self::read).
    pub fn release(&mut self) -> Result<()> {
        self.last = self.position;
        self.release_up_to(self.position)
    }

    /// Releases all but the last one: until [`release`](Self::release), only a program that submits with
    /// `BPF_RB_FORCE_WAKEUP` wakes this reader.
    ///
    /// # Errors
    ///
    /// [`Error::AnotherReader`], as for [`read`](Self::read).
    pub fn release_but_last(&mut self) -> Result<()> {
        self.release_up_to(self.last)
    }

    fn release_up_to(&mut self, position: usize) -> Result<()> {
        // Release: all reads happen before the kernel reuses the room.
        self.consumer
            .number::<AtomicUsize>(0)
            .compare_exchange(
                self.released,
                position,
                Ordering::Release,
                Ordering::Relaxed,
            )
            .map_err(|_| Error::AnotherReader {
                map: self.map.name().to_owned(),
            })?;
        self.released = position;
        Ok(())
    }

    /// Whether [`read`](Self::read) has something to read, or to skip. If not, the next record wakes a
    /// reader that has [released](Self::release) everything.
    pub fn is_ready(&self) -> bool {
        // The kernel writes the header, then reads the reader's position. This reader has written its
        // position, and now reads the header: one of the two sees what the other has written.
        fence(Ordering::SeqCst);
        let end = self.ring.pages.number::<AtomicUsize>(0);
        if end.load(Ordering::Acquire) == self.position {
            return false;
        }
        // The kernel never leaves such a position: reading returns an error.
        !self.position.is_multiple_of(8)
            || self.ring.header(self.position).load(Ordering::Acquire) & BUSY == 0
    }

    /// How many bytes of the ring are kept.
    pub fn kept(&self) -> usize {
        self.position.wrapping_sub(self.released)
    }

    /// The position up to which programs have reserved records, in bytes since the ring was
    /// created. With [`has_read`](Self::has_read) it tells when everything that was there at one
    /// moment has been read.
    pub fn reserved(&self) -> usize {
        self.ring
            .pages
            .number::<AtomicUsize>(0)
            .load(Ordering::Relaxed)
    }

    /// Whether everything up to `position` has been read.
    pub fn has_read(&self, position: usize) -> bool {
        position.wrapping_sub(self.position).cast_signed() <= 0
    }

    /// Copies the next record out of the ring; returns its length.
    fn take(&mut self) -> Result<Option<usize>> {
        loop {
            // Acquire: the headers before this position are complete.
            let end = self.ring.pages.number::<AtomicUsize>(0);
            let available = end.load(Ordering::Acquire).wrapping_sub(self.position);
            if available == 0 {
                return Ok(None);
            }
            // Both positions are multiples of 8, unless something else has changed them.
            let possible = |len| len <= available && available <= self.ring.size();
            if !possible(HEADER) || !self.position.is_multiple_of(8) {
                return Err(self.no_record());
            }
            // Acquire: once it is not busy, the record is complete.
            let header = self.ring.header(self.position).load(Ordering::Acquire);
            if header & BUSY != 0 {
                return Ok(None);
            }
            let len = (header & !DISCARDED) as usize;
            let whole = (HEADER + len).next_multiple_of(8);
            if !possible(whole) {
                return Err(self.no_record());
            }
            let discarded = header & DISCARDED != 0;
            if !discarded {
                if self.record.len() < len {
                    self.record.resize(len, 0);
                }
                let at = self.position.wrapping_add(HEADER);
                self.ring.copy(at, &mut self.record[..len]);
            }
            self.last = self.position;
            self.position = self.position.wrapping_add(whole);
            if !self.keeps {
                self.release()?;
            }
            if !discarded {
                return Ok(Some(len));
            }
        }
    }

    fn no_record(&self) -> Error {
        Error::NoRecord {
            map: self.map.name().to_owned(),
            position: self.position as u64,
        }
    }
}

/// For `epoll` and similar: readable while [`RingBuf::wait`] would return at once.
impl<E: Record + ?Sized> AsFd for RingBuf<E> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

impl<E: Record + ?Sized> AsRawFd for RingBuf<E> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<E: Record + ?Sized> fmt::Debug for RingBuf<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingBuf")
            .field("map", &self.map.name())
            .field("size", &self.ring.size())
            .finish_non_exhaustive()
    }
}

/// Rings in states that a correct kernel never leaves, or only for a moment.
#[cfg(test)]
mod tests {
    use super::*;

    /// An empty ring at this position.
    fn ring(position: usize) -> RingBuf<[u8]> {
        let map = RawMap::of_nothing(MapType::RINGBUF);
        let mut consumer = Mmap::anonymous(page_size());
        consumer.bytes()[..size_of::<usize>()].copy_from_slice(&position.to_ne_bytes());
        let mut ring = RingBuf::new(map, consumer, Ring::anonymous());
        reserved_up_to(&mut ring, position);
        ring
    }

    fn reserved_up_to(ring: &mut RingBuf<[u8]>, position: usize) {
        ring.ring.pages.bytes()[..size_of::<usize>()].copy_from_slice(&position.to_ne_bytes());
    }

    fn put(ring: &mut RingBuf<[u8]>, position: usize, header: u32, record: &[u8]) {
        ring.ring.write(position, &header.to_ne_bytes());
        ring.ring.write(position.wrapping_add(HEADER), record);
    }

    #[test]
    fn a_busy_record_holds_up_those_behind_it() {
        let mut ring = ring(0);
        put(&mut ring, 0, 1, b"1");
        put(&mut ring, 16, 2 | BUSY, b"22");
        put(&mut ring, 32, 3, b"333");
        reserved_up_to(&mut ring, 48);
        assert_eq!(ring.read().expect("it is a record"), Some(&b"1"[..]));
        assert_eq!(ring.read().expect("it is busy"), None);
        put(&mut ring, 16, 2 | DISCARDED, b"22");
        assert_eq!(ring.read().expect("one is passed over"), Some(&b"333"[..]));
        assert_eq!(ring.read().expect("there are no more"), None);
    }

    #[test]
    fn a_record_lies_across_the_end_of_ring_and_of_numbers() {
        let mut ring = ring(16_usize.wrapping_neg());
        let record = *b"sixteen bytes it";
        put(&mut ring, 16_usize.wrapping_neg(), 16, &record);
        reserved_up_to(&mut ring, 8);
        assert_eq!(ring.read().expect("it is a record"), Some(&record[..]));
        assert_eq!(ring.read().expect("there are no more"), None);
    }

    #[test]
    fn what_no_kernel_writes_is_an_error() {
        let size = page_size();
        for (position, reserved, header) in [
            // The record is longer than what is reserved, or than the ring.
            (0, 16, 16),
            (0, size, !BUSY & !DISCARDED),
            // More is reserved than the ring has, or less than a header.
            (0, size + 8, 8),
            (8, 0, 8),
            (0, 4, 0),
            // No record begins at such a position.
            (4, 20, 8),
        ] {
            let mut ring = ring(position);
            put(&mut ring, position, header, &[]);
            reserved_up_to(&mut ring, reserved);
            let error = ring.read().expect_err("it cannot be").to_string();
            assert_eq!(
                error,
                format!("map `nothing` has no valid record at byte {position} of its stream")
            );
        }
    }

    #[test]
    fn another_reader_is_noticed() {
        let mut ring = ring(0);
        put(&mut ring, 0, 8, b"8 bytes.");
        reserved_up_to(&mut ring, 32);
        let other = ring.consumer.number::<AtomicUsize>(0);
        other.store(16, Ordering::Relaxed);
        let error = ring.read().expect_err("its room is not this reader's");
        assert!(matches!(&error, Error::AnotherReader { map } if map == "nothing"));
    }

    #[test]
    fn a_reader_that_does_not_want_to_be_woken_keeps_the_last_record() {
        let mut ring = ring(0);
        ring.keep();
        let at = |ring: &RingBuf<[u8]>| {
            let position = ring.consumer.number::<AtomicUsize>(0);
            position.load(Ordering::Relaxed)
        };
        for position in [0, 16, 32] {
            put(&mut ring, position, 8, b"8 bytes.");
        }
        reserved_up_to(&mut ring, 48);
        for _ in 0..2 {
            ring.read().expect("it is a record").expect("there is one");
        }
        assert_eq!((at(&ring), ring.kept()), (0, 32));
        ring.release_but_last().expect("it is the only reader");
        assert_eq!((at(&ring), ring.kept()), (16, 16));
        ring.release().expect("it is the only reader");
        assert_eq!((at(&ring), ring.kept()), (32, 0));
        // There is none that was read since.
        ring.release_but_last().expect("it is the only reader");
        assert_eq!(at(&ring), 32);
    }

    #[test]
    fn it_is_ready_when_there_is_something_to_read_or_to_skip() {
        let mut ring = ring(0);
        assert!(!ring.is_ready(), "it is empty");
        put(&mut ring, 0, 8 | BUSY, b"8 bytes.");
        reserved_up_to(&mut ring, 16);
        assert!(!ring.is_ready(), "it is not submitted");
        for header in [8, 8 | DISCARDED] {
            put(&mut ring, 0, header, b"8 bytes.");
            assert!(ring.is_ready(), "{header:x}");
        }
        ring.read().expect("it is skipped");
        assert!(!ring.is_ready(), "all is read");
    }
}
