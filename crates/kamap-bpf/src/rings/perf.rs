//! Perf event arrays.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use self::buffer::{Buffer, Found, NoRecord, padded};
use super::mmap::page_size;
use super::record::{Record, decode};
use super::stop::{Stop, run, wait};
use crate::map_type::MapType;
use crate::raw::{Operation, RawMap, UpdateMode};
use crate::{Error, Result, cpus, sys};

mod buffer;

/// A reader of a perf event array (`BPF_MAP_TYPE_PERF_EVENT_ARRAY`, Linux 4.3) to which
/// programs send samples `E` with `bpf_perf_event_output`: a type of fixed size, or `[u8]`.
///
/// Each CPU has a buffer of its own. The samples of one CPU come in their order, those of
/// different CPUs in none. The kernel counts samples for which there was no room, and reports
/// them ([`Sample::Lost`]) before the next sample of that CPU that fits, so never if none
/// follows. A program notices each loss at once: the helper returns an error.
///
/// The kernel pads samples, to 4 bytes more than a multiple of 8, and does not say how long they
/// were: a `[u8]` ends with up to 7 bytes of padding.
///
/// A ring buffer ([`RingBuf`](crate::RingBuf), Linux 5.8) keeps the order of all CPUs, and needs
/// less memory for the same load.
///
/// ```no_run
/// use std::time::Duration;
/// use kamap_bpf::{PerfEventArray, Sample};
///
/// let mut samples = PerfEventArray::<[u64; 2]>::open_pinned("/sys/fs/bpf/samples", 64 << 10, 1)?;
/// loop {
///     samples.wait(Duration::from_secs(1))?;
///     while let Some(sample) = samples.read()? {
///         match sample {
///             Sample::Event { cpu, event: [pid, cookie] } => println!("{cpu}: {pid} {cookie}"),
///             Sample::Lost { cpu, count } => println!("{cpu}: {count} lost"),
///             _ => {}
///         }
///     }
/// }
/// # Ok::<(), kamap_bpf::Error>(())
/// ```
pub struct PerfEventArray<E: Record + ?Sized> {
    map: RawMap,
    /// Becomes readable when one of the buffers wakes the reader.
    wakeups: OwnedFd,
    buffers: Vec<Buffer>,
    /// Index of the buffer that is read next.
    turn: usize,
    /// A copy of the record that is being read.
    record: Vec<u8>,
    samples: PhantomData<fn(&E)>,
}

/// What a [`PerfEventArray`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sample<E> {
    /// A sample from a program.
    Event {
        /// The CPU on which the program ran.
        cpu: u32,
        /// The sample.
        event: E,
    },
    /// The buffer of a CPU had no room for samples between the previous and the next one.
    Lost {
        /// The CPU.
        cpu: u32,
        /// How many samples were lost.
        count: u64,
    },
}

/// Inserts an event that counts the CPU clock into the perf event array `map`, for each CPU that is
/// online.
///
/// # Errors
///
/// The error of the kernel, such as `EPERM` without `CAP_PERFMON`; `EINVAL` if `map` has another
/// type.
pub fn open_cpu_clocks(map: BorrowedFd<'_>) -> io::Result<()> {
    let no_such_array = || io::Error::from_raw_os_error(libc::EINVAL);
    let map = RawMap::duplicate(map).and_then(|map| map.expect(MapType::PERF_EVENT_ARRAY));
    let map = map.map_err(|_| no_such_array())?;
    for (cpu, event) in open_events(libbpf_sys::PERF_COUNT_SW_CPU_CLOCK, 0)? {
        put(&map, cpu, event?.as_fd()).map_err(|err| match err {
            Error::Kernel { source, .. } | Error::Denied { source, .. } => source,
            other => io::Error::other(other),
        })?;
    }
    Ok(())
}

/// Opens an event of each CPU that is online, see [`sys::open_perf_event`].
fn open_events(
    counts: u32,
    wakeup_events: u32,
) -> io::Result<impl Iterator<Item = (u32, io::Result<OwnedFd>)>> {
    let open = move |cpu| match sys::open_perf_event(cpu, counts, wakeup_events) {
        // The CPU has gone offline.
        Err(err) if err.raw_os_error() == Some(libc::ENODEV) => None,
        event => Some((cpu, event)),
    };
    Ok(cpus::online()?.into_iter().filter_map(open))
}

/// Inserts the event of a CPU into a perf event array.
fn put(map: &RawMap, cpu: u32, event: BorrowedFd<'_>) -> Result<()> {
    let event = event.as_raw_fd().to_ne_bytes();
    map.update(
        Operation::INSERT_FILE,
        &cpu.to_ne_bytes(),
        &event,
        UpdateMode::Any,
        0,
    )
    .map(drop)
}

impl<E: Record + ?Sized> PerfEventArray<E> {
    /// Opens a buffer of `bytes`, a power of two and at least a page (4,096), for each CPU that is
    /// online. It inserts them into the map behind `fd`, where they stay until the reader is
    /// dropped. There must be no other reader: the map has one entry for each CPU, and a later
    /// reader replaces it.
    ///
    /// A waiting reader is woken after every `wakeup_events` samples of a CPU, and when half of its
    /// buffer is full. With 0, it is only woken when half of the buffer is full.
    ///
    /// On a CPU that comes online later, samples are refused (the helper returns `-ENOENT`).
    ///
    /// Needs `CAP_PERFMON` (Linux 5.8) or root.
    ///
    /// # Errors
    ///
    /// [`Error::NotAMap`], [`Error::WrongKind`], [`Error::BufferSize`], [`Error::IndexOutOfRange`]
    /// if the map has fewer entries than there are CPUs, [`Error::Denied`], or [`Error::Kernel`].
    pub fn from_fd(fd: OwnedFd, bytes: usize, wakeup_events: u32) -> Result<Self> {
        Self::of(RawMap::from_fd(fd)?, bytes, wakeup_events)
    }

    /// Duplicates the file descriptor of a perf event array in a libbpf skeleton.
    ///
    /// # Errors
    ///
    /// As for [`from_fd`](Self::from_fd), and [`Error::NotOpened`] if too many files are open.
    pub fn from_skeleton(map: &impl AsFd, bytes: usize, wakeup_events: u32) -> Result<Self> {
        Self::of(RawMap::duplicate(map.as_fd())?, bytes, wakeup_events)
    }

    /// Opens the perf event array that is pinned at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotAPin`], [`Error::NotOpened`], and those of
    /// [`from_fd`](Self::from_fd).
    pub fn open_pinned(path: impl AsRef<Path>, bytes: usize, wakeup_events: u32) -> Result<Self> {
        Self::of(RawMap::open_pinned(path.as_ref(), 0)?, bytes, wakeup_events)
    }

    /// Opens the perf event array with this ID, which needs `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotOpened`], and those of [`from_fd`](Self::from_fd).
    pub fn open_id(id: u32, bytes: usize, wakeup_events: u32) -> Result<Self> {
        Self::of(RawMap::open_id(id, 0)?, bytes, wakeup_events)
    }

    /// Opens the perf event array with this name, which needs `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    ///
    /// As for [`open_id`](Self::open_id), and [`Error::Ambiguous`] if several maps have it.
    pub fn open_name(name: &str, bytes: usize, wakeup_events: u32) -> Result<Self> {
        Self::of(RawMap::open_name(name, 0)?, bytes, wakeup_events)
    }

    fn of(map: RawMap, bytes: usize, wakeup_events: u32) -> Result<Self> {
        let map = map.expect(MapType::PERF_EVENT_ARRAY)?;
        let least = page_size();
        if !bytes.is_power_of_two() || bytes < least {
            return Err(Error::BufferSize {
                map: map.name().to_owned(),
                bytes,
                least,
            });
        }
        let wakeups = sys::epoll().map_err(|err| failed(&map, "prepare to wait", err))?;
        // On an error, dropping this removes what has been inserted.
        let mut this = Self {
            map,
            wakeups,
            buffers: Vec::new(),
            turn: 0,
            record: Vec::new(),
            samples: PhantomData,
        };
        let events = open_events(libbpf_sys::PERF_COUNT_SW_BPF_OUTPUT, wakeup_events);
        let events = events.map_err(|err| failed(&this.map, "find the online CPUs", err))?;
        for (cpu, event) in events {
            let map = &this.map;
            let event = event.map_err(|err| failed(map, "open the perf event of a CPU", err))?;
            let buffer = Buffer::map(cpu, event, bytes);
            let buffer = buffer.map_err(|err| failed(map, "map a buffer", err))?;
            sys::epoll_add(this.wakeups.as_fd(), buffer.event.as_fd())
                .map_err(|err| failed(map, "prepare to wait", err))?;
            put(map, cpu, buffer.event.as_fd())?;
            this.buffers.push(buffer);
        }
        Ok(this)
    }

    /// Waits until there is something to read or `timeout` has passed. Returns whether there is
    /// something. A signal ends the wait.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`].
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        let begun = Instant::now();
        loop {
            if self.has_more() {
                return Ok(true);
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            // The wake-up can be for samples that have been read since.
            if !wait(&self.map, [self.as_fd()], Some(left))? {
                return Ok(self.has_more());
            }
        }
    }

    fn has_more(&self) -> bool {
        self.buffers.iter().any(Buffer::has_more)
    }

    /// Passes each sample to `each` and waits for more, until `each` breaks or `stop` is used.
    /// After a stop, all samples that were sent before it have been passed.
    ///
    /// `wakeup_events` of [`from_fd`](Self::from_fd) decides when it wakes up: with 0, samples can
    /// wait for a long time.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read) and [`wait`](Self::wait). After an [`Error::RecordSize`], the
    /// next call continues with the sample after it.
    pub fn run<B>(
        &mut self,
        stop: &Stop,
        mut each: impl FnMut(Sample<E::Item<'_>>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        let read = |samples: &mut Self| {
            while let Some(sample) = samples.read()? {
                if let ControlFlow::Break(broken) = each(sample) {
                    return Ok(ControlFlow::Break(broken));
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        run(self, stop, read, |samples| {
            wait(&samples.map, [samples.as_fd(), stop.as_fd()], None)
        })
    }

    /// The next sample of any CPU, if there is one. It no longer takes room in the buffer.
    ///
    /// # Errors
    ///
    /// [`Error::RecordSize`] if the sample is too short or too long for an `E`, as far as the
    /// padding allows to tell. [`Error::NoRecord`] if a buffer is damaged; a sample of 64 KiB or
    /// more can cause that. The sample, or everything in that buffer, has been skipped.
    pub fn read(&mut self) -> Result<Option<Sample<E::Item<'_>>>> {
        let Some((cpu, found)) = self.take()? else {
            return Ok(None);
        };
        let bytes = match found {
            Found::Lost(count) => return Ok(Some(Sample::Lost { cpu, count })),
            Found::Sample(at) => &self.record[at],
        };
        let event = decode::<E>(&self.map, bytes, padded)?;
        Ok(Some(Sample::Event { cpu, event }))
    }

    /// Copies the next record out of its buffer.
    fn take(&mut self) -> Result<Option<(u32, Found)>> {
        // One buffer must not keep the others waiting: its turn ends with the last record that was
        // there when it began. The last iteration gives the first buffer a second turn.
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
                            map: self.map.name().to_owned(),
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
            let removed = self.map.remove(&buffer.cpu.to_ne_bytes());
            // If it was not inserted, there is nothing to remove.
            drop(removed);
        }
    }
}

fn failed(map: &RawMap, to: &'static str, source: io::Error) -> Error {
    map.error(Operation::other(to), &[], source)
}

/// For `epoll` and similar. It becomes readable when a buffer wakes its reader, and stays so until
/// somebody has noticed. Adding it to an `epoll` can already count as noticing, so
/// [`read`](PerfEventArray::read) everything before each wait, including the first.
impl<E: Record + ?Sized> AsFd for PerfEventArray<E> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakeups.as_fd()
    }
}

impl<E: Record + ?Sized> AsRawFd for PerfEventArray<E> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<E: Record + ?Sized> fmt::Debug for PerfEventArray<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerfEventArray")
            .field("map", &self.map.name())
            .field("buffers", &self.buffers.len())
            .finish_non_exhaustive()
    }
}
