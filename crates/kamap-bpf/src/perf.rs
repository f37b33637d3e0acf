//! Perf event arrays.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::time::{Duration, Instant};

use self::buffer::{Buffer, Found, NoRecord, padded};
use super::map::info;
use super::mmap::page_size;
use super::{Error, Record, Result, sys};

mod buffer;

/// A reader of a perf event array (`BPF_MAP_TYPE_PERF_EVENT_ARRAY`, Linux 4.3) to which
/// programs send samples `E` with `bpf_perf_event_output`: a type of fixed size, or
/// `[u8]`.
///
/// Each CPU has a buffer of its own. The samples of one CPU come in their order, those of
/// different CPUs in none. What finds no room is counted by the kernel, and told
/// ([`Sample::Lost`]) before the next sample of that CPU that does find room, so never if
/// none follows. A program sees each loss at once: the helper returns an error.
///
/// The kernel pads samples, to 4 bytes more than a multiple of 8, and does not tell how
/// long they were: a `[u8]` ends with up to 7 bytes of padding.
///
/// A ring buffer ([`RingBuf`](super::RingBuf), Linux 5.8) keeps the order of all CPUs, and
/// needs less memory for the same load.
///
/// ```no_run
/// use std::time::Duration;
/// use kamap_bpf::{PerfEventArray, Sample};
///
/// # fn fd() -> std::os::fd::OwnedFd { unimplemented!() }
/// let mut samples = PerfEventArray::<[u64; 2]>::from_fd(fd(), 64 * 1024, 1)?;
/// loop {
///     samples.wait(Duration::from_secs(1))?;
///     while let Some(sample) = samples.read()? {
///         match sample {
///             Sample::Event { cpu, event: [pid, cookie] } => println!("{cpu}: {pid} {cookie}"),
///             Sample::Lost { cpu, count } => println!("{cpu}: {count} lost"),
///         }
///     }
/// }
/// # Ok::<(), kamap_bpf::Error>(())
/// ```
pub struct PerfEventArray<E: Record + ?Sized> {
    map: OwnedFd,
    name: String,
    /// Readable when one of the buffers has woken its reader.
    wakeups: OwnedFd,
    buffers: Vec<Buffer>,
    /// The buffer whose turn it is.
    turn: usize,
    /// The record that is looked at.
    record: Vec<u8>,
    samples: PhantomData<fn(&E)>,
}

/// What comes out of a [`PerfEventArray`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample<E> {
    /// What a program has sent.
    Event {
        /// The CPU that it ran on.
        cpu: u32,
        /// What it was.
        event: E,
    },
    /// Samples found no room in the buffer of a CPU, between the one before and the
    /// one after this.
    Lost {
        /// The CPU.
        cpu: u32,
        /// How many.
        count: u64,
    },
}

/// Puts an event that counts the clock of the scheduler into `map`, a perf event array, for each CPU
/// that is online.
pub fn open_cpu_clocks(map: BorrowedFd<'_>) -> io::Result<()> {
    for cpu in sys::online_cpus()? {
        let event = match sys::open_perf_event(cpu, libbpf_sys::PERF_COUNT_SW_CPU_CLOCK, 0) {
            // It has gone offline.
            Err(err) if err.raw_os_error() == Some(libc::ENODEV) => continue,
            event => event?,
        };
        put(map, cpu, event.as_fd())?;
    }
    Ok(())
}

/// Puts the event of a CPU into a perf event array.
fn put(map: BorrowedFd<'_>, cpu: u32, event: BorrowedFd<'_>) -> io::Result<()> {
    let event = event.as_raw_fd();
    // SAFETY: keys and values of a perf event array are four bytes.
    unsafe {
        sys::update(
            map,
            ptr::from_ref(&cpu).cast(),
            ptr::from_ref(&event).cast(),
            u64::from(libbpf_sys::BPF_ANY),
        )
    }
}

impl<E: Record + ?Sized> PerfEventArray<E> {
    /// Opens a buffer of `bytes`, a power of two and at least a page (4,096), for each
    /// CPU that is online, and puts it into the map behind `fd`, where it stays until
    /// this is dropped. There must be no other reader: the map has one place for each
    /// CPU, and the last one takes it.
    ///
    /// A reader that waits is woken by each `wakeup_events`th sample of a CPU, and when
    /// half of its buffer has been filled; 0: only then.
    ///
    /// What is sent on a CPU that comes online later is refused (the helper returns
    /// `-ENOENT`).
    ///
    /// Needs `CAP_PERFMON` (Linux 5.8) or root.
    ///
    /// # Errors
    ///
    /// [`Error::NotAMap`], [`Error::WrongKind`], [`Error::BufferSize`], or
    /// [`Error::Kernel`], for example where the map has less entries than there are CPUs.
    pub fn from_fd(fd: OwnedFd, bytes: usize, wakeup_events: u32) -> Result<Self> {
        let (_, name) = info(fd.as_fd(), libbpf_sys::BPF_MAP_TYPE_PERF_EVENT_ARRAY)?;
        let least = page_size();
        if !bytes.is_power_of_two() || bytes < least {
            return Err(Error::BufferSize {
                map: name,
                bytes,
                least,
            });
        }
        let failed_to = |operation| {
            let map = name.clone();
            move |source| Error::Kernel {
                map,
                operation,
                source,
            }
        };
        let cpus = sys::online_cpus().map_err(failed_to("find the online CPUs"))?;
        let wakeups = sys::epoll().map_err(failed_to("prepare to wait"))?;
        // Dropped on an error, it takes out what it has put in.
        let mut this = Self {
            map: fd,
            name: name.clone(),
            wakeups,
            buffers: Vec::new(),
            turn: 0,
            record: Vec::new(),
            samples: PhantomData,
        };
        for cpu in cpus {
            let output = libbpf_sys::PERF_COUNT_SW_BPF_OUTPUT;
            let event = match sys::open_perf_event(cpu, output, wakeup_events) {
                // It has gone offline.
                Err(err) if err.raw_os_error() == Some(libc::ENODEV) => continue,
                event => event.map_err(failed_to("open the perf event of a CPU"))?,
            };
            let buffer = Buffer::map(cpu, event, bytes).map_err(failed_to("map a buffer"))?;
            sys::epoll_add(this.wakeups.as_fd(), buffer.event.as_fd())
                .map_err(failed_to("prepare to wait"))?;
            put(this.map.as_fd(), cpu, buffer.event.as_fd())
                .map_err(failed_to("put the buffer of a CPU"))?;
            this.buffers.push(buffer);
        }
        Ok(this)
    }

    /// Waits until there is something to read or `timeout` is over; returns whether
    /// there is. A signal ends the wait.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`].
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        let begun = Instant::now();
        loop {
            if self.buffers.iter().any(Buffer::has_more) {
                return Ok(true);
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            let woken = sys::wait(self.as_fd(), left).map_err(|source| Error::Kernel {
                map: self.name.clone(),
                operation: "wait",
                source,
            })?;
            // A buffer can have woken us for what has been read by now.
            if !woken {
                return Ok(self.buffers.iter().any(Buffer::has_more));
            }
        }
    }

    /// The next sample of any CPU, if there is one. Its room in the buffer is free
    /// again.
    ///
    /// # Errors
    ///
    /// [`Error::RecordSize`] where it is too short or too long for an `E`, as far as that
    /// can be told with the padding, and [`Error::NoRecord`] where a buffer is damaged, as
    /// it can be by a sample of 64 KiB and more. The sample, or all that is in that
    /// buffer, has been passed over.
    pub fn read(&mut self) -> Result<Option<Sample<E::Item<'_>>>> {
        let Some((cpu, found)) = self.take()? else {
            return Ok(None);
        };
        let bytes = match found {
            Found::Lost(count) => return Ok(Some(Sample::Lost { cpu, count })),
            Found::Sample(at) => &self.record[at],
        };
        match E::decode(bytes, padded) {
            Ok(event) => Ok(Some(Sample::Event { cpu, event })),
            Err(expected) => Err(Error::RecordSize {
                map: self.name.clone(),
                found: bytes.len(),
                expected,
            }),
        }
    }

    /// Takes the next record out of its buffer.
    fn take(&mut self) -> Result<Option<(u32, Found)>> {
        // A buffer's turn ends with what was there when it began, so that none keeps the
        // others waiting. The one whose turn it is gets another.
        for _ in 0..=self.buffers.len() {
            let Some(buffer) = self.buffers.get_mut(self.turn) else {
                return Ok(None);
            };
            while buffer.has_turn() {
                match buffer.take(&mut self.record) {
                    Ok(Some(found)) => return Ok(Some((buffer.cpu, found))),
                    Ok(None) => {}
                    Err(NoRecord { position }) => {
                        return Err(Error::NoRecord {
                            map: self.name.clone(),
                            position,
                        });
                    }
                }
            }
            self.turn = (self.turn + 1) % self.buffers.len();
            self.buffers[self.turn].look();
        }
        Ok(None)
    }
}

impl<E: Record + ?Sized> Drop for PerfEventArray<E> {
    fn drop(&mut self) {
        for buffer in &self.buffers {
            // SAFETY: as in `from_fd`.
            let removed =
                unsafe { sys::delete(self.map.as_fd(), ptr::from_ref(&buffer.cpu).cast()) };
            // It is not there if it could not be put in.
            drop(removed);
        }
    }
}

/// For `epoll` and the like: readable once a buffer has woken its reader, and until that
/// has been seen. Then [`read`](PerfEventArray::read) all there is.
impl<E: Record + ?Sized> AsFd for PerfEventArray<E> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakeups.as_fd()
    }
}

impl<E: Record + ?Sized> fmt::Debug for PerfEventArray<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerfEventArray")
            .field("map", &self.name)
            .field("buffers", &self.buffers.len())
            .finish_non_exhaustive()
    }
}
