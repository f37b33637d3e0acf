//! The buffer of a perf event on one CPU.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::rings::mmap::{Mmap, Ring, page_size};

/// Offsets in `struct perf_event_mmap_page` (linux/perf_event.h): the position up to which the
/// kernel has written, and the position up to which we have read.
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;

/// Size of `struct perf_event_header`.
const HEADER: usize = 8;

/// The content of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A sample, in this range of the record.
    Sample(Range<usize>),
    /// How many samples were lost.
    Lost(u64),
}

/// The length that the kernel reports for a sample of `len` bytes.
pub(super) fn padded(len: usize) -> usize {
    (size_of::<u32>() + len).next_multiple_of(8) - size_of::<u32>()
}

/// There is no valid record at this position.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRecord {
    pub(super) position: u64,
}

/// The buffer of a CPU.
pub(super) struct Buffer {
    pub(super) cpu: u32,
    pub(super) event: OwnedFd,
    /// A page with the positions, then the records.
    ring: Ring,
    /// The position up to which we have read.
    tail: u64,
    /// The position up to which the kernel had written when the turn of this buffer began.
    head: u64,
}

impl Buffer {
    pub(super) fn map(cpu: u32, event: OwnedFd, bytes: usize) -> io::Result<Self> {
        let page = page_size();
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let pages = Mmap::map(event.as_fd(), page + bytes, protection, 0)?;
        Ok(Self::new(cpu, event, Ring::new(pages, page)))
    }

    fn new(cpu: u32, event: OwnedFd, ring: Ring) -> Self {
        Self {
            cpu,
            event,
            ring,
            tail: 0,
            head: 0,
        }
    }

    /// The position up to which the kernel has written. Acquire: the records before it are
    /// complete.
    fn written(&self) -> u64 {
        let head = self.ring.pages.number::<AtomicU64>(DATA_HEAD);
        head.load(Ordering::Acquire)
    }

    /// Begins a turn of this buffer, which ends with the records that are there now.
    pub(super) fn look(&mut self) {
        self.head = self.written();
    }

    pub(super) fn has_turn(&self) -> bool {
        self.tail != self.head
    }

    /// Whether there is something to read, in this turn or the next.
    pub(super) fn has_more(&self) -> bool {
        self.tail != self.written()
    }

    /// Frees the room before `tail`.
    fn release(&mut self, tail: u64) {
        self.tail = tail;
        let shared = self.ring.pages.number::<AtomicU64>(DATA_TAIL);
        // Release: all reads happen before the kernel overwrites the room.
        shared.store(tail, Ordering::Release);
    }

    /// Copies the next record to `record` and returns its content; `None` for a record of another
    /// type. If there is no valid record, it skips everything that is there.
    pub(super) fn take(&mut self, record: &mut Vec<u8>) -> Result<Option<Found>, NoRecord> {
        let position = self.tail;
        let Some(len) = self.len() else {
            self.release(self.head);
            return Err(NoRecord { position });
        };
        if record.len() < len {
            record.resize(len, 0);
        }
        let record = &mut record[..len];
        self.ring.copy(position as usize, record);
        self.release(position.wrapping_add(len as u64));
        found(record).ok_or(NoRecord { position })
    }

    /// The length of the next record, if it is valid.
    fn len(&self) -> Option<usize> {
        let available = usize::try_from(self.head.wrapping_sub(self.tail)).ok()?;
        if available < HEADER || available > self.ring.size() {
            return None;
        }
        let mut header = [0; HEADER];
        self.ring.copy(self.tail as usize, &mut header);
        let [.., low, high] = header;
        let len = usize::from(u16::from_ne_bytes([low, high]));
        (HEADER..=available).contains(&len).then_some(len)
    }
}

/// The content of a record: `Some(None)` for other types, `None` if it is too short.
fn found(record: &[u8]) -> Option<Option<Found>> {
    let (kind, _) = record.split_first_chunk()?;
    let body = &record[HEADER..];
    Some(match u32::from_ne_bytes(*kind) {
        libbpf_sys::PERF_RECORD_SAMPLE => {
            let (len, sample) = body.split_first_chunk()?;
            let len = u32::from_ne_bytes(*len) as usize;
            sample.get(..len)?;
            let begin = HEADER + size_of::<u32>();
            Some(Found::Sample(begin..begin + len))
        }
        libbpf_sys::PERF_RECORD_LOST => {
            let (_id, body) = body.split_first_chunk::<8>()?;
            let (count, _) = body.split_first_chunk()?;
            Some(Found::Lost(u64::from_ne_bytes(*count)))
        }
        _ => None,
    })
}

/// Buffers in states that a correct kernel never leaves.
#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn buffer(position: u64, reserved: u64, header: (u32, u16), body: &[u8]) -> Buffer {
        let fd = File::open("/dev/null").expect("it is there").into();
        let mut buffer = Buffer::new(0, fd, Ring::anonymous());
        let at = position as usize;
        buffer.ring.write(at, &header.0.to_ne_bytes());
        buffer
            .ring
            .write(at.wrapping_add(6), &header.1.to_ne_bytes());
        buffer.ring.write(at.wrapping_add(HEADER), body);
        buffer.ring.pages.bytes()[DATA_HEAD..][..8].copy_from_slice(&reserved.to_ne_bytes());
        buffer.tail = position;
        buffer.look();
        buffer
    }

    const SAMPLES: u32 = libbpf_sys::PERF_RECORD_SAMPLE;
    const LOST: u32 = libbpf_sys::PERF_RECORD_LOST;

    #[test]
    fn a_sample_lies_across_the_end_of_buffer_and_of_numbers() {
        let position = 8_u64.wrapping_neg();
        let body = *b"\x0c\0\0\0twelve bytes";
        let body = if cfg!(target_endian = "little") {
            body
        } else {
            *b"\0\0\0\x0ctwelve bytes"
        };
        let mut buffer = buffer(position, 16, (SAMPLES, 24), &body);
        let mut record = Vec::new();
        assert_eq!(buffer.take(&mut record), Ok(Some(Found::Sample(12..24))));
        assert_eq!(&record[12..24], b"twelve bytes");
        assert!(!buffer.has_more());
    }

    #[test]
    fn what_no_kernel_writes_is_passed_over() {
        let size = page_size() as u64;
        for (reserved, header) in [
            // Too short for a header, or larger than the buffer.
            (4, (SAMPLES, 8)),
            (size + 8, (SAMPLES, 16)),
            // The record is shorter than a header, or longer than what is there.
            (16, (SAMPLES, 0)),
            (16, (SAMPLES, 24)),
            // Too short for its type, or for the length it states.
            (8, (SAMPLES, 8)),
            (16, (LOST, 16)),
            (16, (SAMPLES, 16)),
        ] {
            let mut buffer = buffer(0, reserved, header, &[0xff; 4]);
            let mut record = Vec::new();
            let refused = buffer.take(&mut record);
            assert_eq!(refused, Err(NoRecord { position: 0 }), "{header:?}");
            assert!(!buffer.has_more(), "{header:?}");
        }
    }

    #[test]
    fn records_that_are_not_asked_for_are_passed_over() {
        let mut buffer = buffer(0, 8, (libbpf_sys::PERF_RECORD_THROTTLE, 8), &[]);
        assert_eq!(buffer.take(&mut Vec::new()), Ok(None));
        assert!(!buffer.has_more());
    }

    #[test]
    fn samples_are_padded_to_four_more_than_a_multiple_of_eight() {
        assert_eq!(
            [0, 1, 4, 5, 12, 13, 16, 20, 21].map(padded),
            [4, 4, 4, 12, 12, 20, 20, 20, 28]
        );
    }
}
