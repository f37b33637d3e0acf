//! Starting the BPF programs: the only module that drives libbpf.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libbpf_rs::Link;
use libbpf_rs::btf::{Btf, BtfType};
use libbpf_rs::skel::{OpenSkel, SkelBuilder};

use crate::counts::Counts;
use crate::events::{Events, Filter, Kinds};
use crate::maps::{Map, RingBuf, open_cpu_clocks, page_size};
use crate::seed::Seed;
use crate::signals::Blocked;
use crate::skel::types::{kamap_default, kamap_limit};
use crate::skel::{KamapSkelBuilder, OpenKamapSkel};
use crate::tasks::Tasks;
use crate::verify::{Look, Verification, verify};
use crate::{
    Clock, Error, Follow, Follower, Losses, Result, Seen, Table, libbpf_log, requirements,
};

// Of kamap.h.
const RING_SIZE: u32 = kamap_default::KAMAP_DEFAULT_RING_SIZE.0;
const WAKE_PARTS: u32 = kamap_default::KAMAP_DEFAULT_WAKE_PARTS.0;
const MAX_ARGS: u32 = kamap_default::KAMAP_DEFAULT_MAX_ARGS.0;
const LONGEST_ARGS: u32 = kamap_limit::KAMAP_MAX_ARGS.0;
const MAX_ANCESTORS: u32 = kamap_limit::KAMAP_MAX_ANCESTORS.0;

/// How long to wait before looking again at what seems to differ. What the kernel
/// does while it holds on to a task is over long before the last.
const WAITS: [Duration; 3] = [
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(100),
];

/// Sets up a [`Tracker`].
#[derive(Clone, Debug, Default)]
pub struct Builder {
    max_entries: Option<u32>,
    events: Filter,
    max_args: Option<u32>,
    ring_size: Option<u32>,
    ancestors: u32,
    /// The thread whose next child is followed.
    follow_child_of: u32,
}

impl Builder {
    /// The most processes that the table holds, 1 or more. The kernel memory for
    /// them, about 830 bytes each, is taken at once and never grows.
    ///
    /// Without it: as many as the machine can have PIDs
    /// (`/proc/sys/kernel/pid_max`), but no more than 16,384.
    #[must_use]
    pub fn max_entries(mut self, max_entries: u32) -> Self {
        self.max_entries = Some(max_entries);
        self
    }

    /// Keeps a stream of these events, for [`Tracker::take_events`]. Without it there is
    /// none, and it costs nothing.
    #[must_use]
    pub fn events(mut self, which: impl Into<Filter>) -> Self {
        self.events = which.into();
        self
    }

    /// The most bytes of arguments in an event, each with its NUL: 4,096 by default,
    /// and 131,072 at most, which is as long as a single argument can be. Longer
    /// ones are cut and counted ([`Losses::event_args_cut`]); short ones take no more
    /// room than they need. Rows do not depend on it.
    #[must_use]
    pub fn max_args(mut self, bytes: u32) -> Self {
        self.max_args = Some(bytes);
        self
    }

    /// The size of the ring in which events wait for their reader, in bytes: 4 MiB by
    /// default; a power of two, and at least a page (4,096).
    #[must_use]
    pub fn ring_size(mut self, bytes: u32) -> Self {
        self.ring_size = Some(bytes);
        self
    }

    /// How many ancestors an event has ([`Event::ancestors`](crate::Event::ancestors)):
    /// none by default, 32 at most.
    #[must_use]
    pub fn ancestors(mut self, count: u32) -> Self {
        self.ancestors = count.min(MAX_ANCESTORS);
        self
    }

    /// Runs `command` and follows it: the processes that it starts, those that these
    /// start, and so on, from its first instruction to when the command ends. Of no
    /// other process there is an event.
    ///
    /// Which events, [`events`](Self::events) says; without it [`Kinds::LIFE`].
    ///
    /// # Errors
    ///
    /// As of [`start`](Self::start), and [`Error::Spawn`] if the command cannot be
    /// started.
    pub fn follow(self, command: &mut Command) -> Result<Follow> {
        self.follower()?.run(command)
    }

    /// The first half of [`follow`](Self::follow): starts the tracker for a command that
    /// this thread is to start then. What could keep it from that can be looked at in
    /// between, such as a signal that came meanwhile.
    ///
    /// # Errors
    ///
    /// As of [`start`](Self::start).
    pub fn follower(mut self) -> Result<Follower> {
        if self.events.kinds == Kinds::default() {
            self.events = Kinds::LIFE.into();
        }
        self.events.followed = true;
        // SAFETY: takes nothing, returns a number.
        self.follow_child_of = unsafe { libc::gettid() }.cast_unsigned();
        Ok(Follower::new(self.start()?))
    }

    fn checked_max_args(&self) -> u32 {
        self.max_args.unwrap_or(MAX_ARGS).min(LONGEST_ARGS)
    }

    fn checked_ring_size(&self) -> Result<u32> {
        let bytes = self.ring_size.unwrap_or(RING_SIZE);
        let least = page_size() as u32;
        if bytes.is_power_of_two() && bytes >= least {
            Ok(bytes)
        } else {
            Err(Error::RingSize { bytes, least })
        }
    }

    /// Opens, configures, loads and attaches the programs, then adds the
    /// processes that are alive.
    ///
    /// When it returns, every live process is in the table, and every further
    /// fork, exec and exit is seen.
    ///
    /// # Errors
    ///
    /// All that can go wrong does so here: missing capabilities
    /// ([`Error::MissingCapabilities`], [`Error::Denied`]), a PID namespace
    /// ([`Error::Namespace`]), a kernel that lacks
    /// something ([`Error::NoBtf`], [`Error::KernelTooOld`],
    /// [`Error::Rejected`]), a table that is too large
    /// ([`Error::TableRefused`]), a filter or a ring that cannot be
    /// ([`Error::FilterTooLong`], [`Error::RingSize`]). Nothing is left attached then.
    pub fn start(self) -> Result<Tracker> {
        requirements::check()?;
        let max_entries = match self.max_entries {
            Some(max_entries) => max_entries,
            None => default_max_entries()?,
        };
        let (started, log) = libbpf_log::capture(|| {
            let _blocked = Blocked::new();
            start(&self, max_entries)
        });
        started.map_err(|failure| match failure {
            Failure::Libbpf(action, source) => Error::from_libbpf(action, source, log, max_entries),
            Failure::Other(err) => err,
        })
    }
}

/// What a start fails with, before libbpf's log is looked at.
enum Failure {
    /// What was tried, and what libbpf said.
    Libbpf(&'static str, libbpf_rs::Error),
    Other(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(err: E) -> Self {
        Self::Other(err.into())
    }
}

fn failed_to(action: &'static str) -> impl FnOnce(libbpf_rs::Error) -> Failure {
    move |source| Failure::Libbpf(action, source)
}

fn start(builder: &Builder, max_entries: u32) -> Result<Tracker, Failure> {
    // The skeleton borrows this, so it ends with this function. What is kept of
    // it, links and file descriptors, stands alone.
    let mut storage = MaybeUninit::uninit();
    let mut open = KamapSkelBuilder::default()
        .open(&mut storage)
        .map_err(failed_to("open the BPF object"))?;
    configure(&mut open, builder, max_entries)?;
    let skel = open.load().map_err(failed_to("load the BPF programs"))?;

    let (maps, progs) = (&skel.maps, &skel.progs);
    let wanted = builder.events.wanted();
    if wanted.contains(Kinds::EXIT) {
        open_cpu_clocks(maps.cpu_clocks.as_fd()).map_err(|source| Error::System {
            action: "open the clock of a CPU",
            source,
        })?;
    }
    let events = if wanted == Kinds::default() {
        None
    } else {
        let ring = RingBuf::from_fd(duplicate(maps.events.as_fd())?).map_err(Error::from)?;
        let globals = Map::from_skeleton(&maps.bss)?;
        let max_args = builder.checked_max_args();
        Some(Events::new(
            ring,
            globals,
            builder.ancestors,
            max_args,
            wanted,
        ))
    };
    let mut links = Vec::new();
    let mut programs = Vec::new();
    // Exit first: else a process that starts and ends in between would stay.
    let mut hooks = vec![&progs.on_exit, &progs.on_exec, &progs.on_fork];
    if wanted.contains(Kinds::EXEC_FAILED) {
        hooks.push(&progs.on_exec_failed);
        if progs.on_prepare_exec.autoload() {
            hooks.push(&progs.on_prepare_exec);
        }
    }
    for program in hooks {
        links.push(program.attach().map_err(failed_to("attach a program"))?);
        programs.push(duplicate(program.as_fd())?);
    }
    let iterator = failed_to("attach a task iterator");
    let seed = progs.seed.attach().map_err(iterator)?;
    let iterator = failed_to("attach a task iterator");
    let tasks = progs.tasks.attach().map_err(iterator)?;
    let counters = Map::from_skeleton(&maps.counters)?;
    let globals = Map::from_skeleton(&maps.bss)?;
    let counts = Arc::new(Counts::new(programs, counters, globals));
    let table = Table::new(
        Map::from_skeleton(&maps.processes)?,
        Tasks::new(tasks),
        Seed::new(seed, Map::from_skeleton(&maps.given_args)?),
        Arc::clone(&counts),
    );
    table.seed()?;

    Ok(Tracker {
        links,
        table,
        events,
        counts,
        clock: Mutex::new(Clock::measure()),
    })
}

/// Fits the programs to this kernel and the table to its size.
fn configure(
    open: &mut OpenKamapSkel<'_>,
    builder: &Builder,
    max_entries: u32,
) -> Result<(), Failure> {
    let ring_size = builder.checked_ring_size()?;
    let wanted = builder.events.wanted();
    let rodata = open
        .maps
        .rodata_data
        .as_deref_mut()
        .expect("the object has read-only data");
    rodata.wanted_events = wanted.0;
    rodata.filter = builder.events.encode()?;
    rodata.max_args = builder.checked_max_args();
    rodata.max_ancestors = builder.ancestors;
    rodata.follow_child_of = builder.follow_child_of;
    rodata.wake_at = ring_size / WAKE_PARTS;
    let events = &mut open.maps.events;
    if wanted == Kinds::default() {
        events
            .set_autocreate(false)
            .map_err(failed_to("leave out the ring of events"))?;
    } else {
        events
            .set_max_entries(ring_size)
            .map_err(failed_to("set the size of the ring of events"))?;
    }
    let exec_failed = wanted.contains(Kinds::EXEC_FAILED);
    let prepare_exec = exec_failed && has_prepare_exec()?;
    open.progs.on_exec_failed.set_autoload(exec_failed);
    open.progs.on_prepare_exec.set_autoload(prepare_exec);
    for (map, is_wanted) in [
        (&mut open.maps.cpu_clocks, wanted.contains(Kinds::EXIT)),
        (&mut open.maps.clock_leads, wanted.contains(Kinds::EXIT)),
        (&mut open.maps.long_paths, wanted.contains(Kinds::EXEC)),
        (&mut open.maps.attempts, prepare_exec),
    ] {
        map.set_autocreate(is_wanted)
            .map_err(failed_to("leave out a map"))?;
    }
    for map in [&mut open.maps.processes, &mut open.maps.given_args] {
        map.set_max_entries(max_entries)
            .map_err(failed_to("set the size of the table"))?;
    }
    Ok(())
}

/// Whether the kernel has the tracepoint before the point of no return of an exec (since 6.10).
fn has_prepare_exec() -> Result<bool, Failure> {
    let types = Btf::from_vmlinux().map_err(failed_to("read the types of the kernel"))?;
    Ok(types
        .type_by_name::<BtfType<'_>>("btf_trace_sched_prepare_exec")
        .is_some())
}

/// As many entries as there can be PIDs, within reason.
fn default_max_entries() -> Result<u32> {
    const REASON: u32 = kamap_default::KAMAP_DEFAULT_CAPACITY.0;
    let action = "read /proc/sys/kernel/pid_max";
    let text = std::fs::read_to_string("/proc/sys/kernel/pid_max")
        .map_err(|source| Error::System { action, source })?;
    let pid_max = text.trim().parse::<u32>().map_err(|err| Error::System {
        action,
        source: io::Error::new(io::ErrorKind::InvalidData, err),
    })?;
    Ok(pid_max.min(REASON))
}

fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    fd.try_clone_to_owned().map_err(|source| Error::System {
        action: "duplicate a file descriptor",
        source,
    })
}

/// The running programs and what they write.
///
/// Dropping it detaches the programs and frees the maps; so does the end of the
/// process, however it ends.
#[derive(Debug)]
pub struct Tracker {
    /// What keeps the programs attached.
    links: Vec<Link>,
    table: Table,
    events: Option<Events>,
    counts: Arc<Counts>,
    clock: Mutex<Clock>,
}

impl Tracker {
    /// Sets up a tracker.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The live processes.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The reader of the stream of events, once: `None` after that, and if
    /// [`Builder::events`] asked for none.
    ///
    /// The stream begins when the programs are attached. What nobody reads waits in
    /// the ring as long as there is room; the table does not depend on it.
    pub fn take_events(&mut self) -> Option<Events> {
        self.events.take()
    }

    /// The number that the next event will have.
    ///
    /// A table that is read after this holds what all events before it did; apply
    /// those from it on, and you have the table of any later moment. What one of them
    /// did can be in the table already: a fork or an exec sets the row of its process,
    /// an exit removes it.
    ///
    /// # Errors
    ///
    /// [`Error::Map`], where the kernel does not tell.
    pub fn next_seq(&self) -> Result<u64> {
        self.counts.next_seq()
    }

    /// Detaches the programs: from now on nothing is recorded, and nothing removed. What
    /// waits in the ring of events can still be read, up to [`next_seq`](Self::next_seq).
    pub fn detach(&mut self) {
        self.links.clear();
    }

    /// Converts times since boot to the time of day, as the clock is set now. It is the same each time,
    /// unless the clock has been stepped meanwhile.
    pub fn clock(&self) -> Clock {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        *clock = clock.now();
        *clock
    }

    /// Adds the live processes that the table lacks because something was lost
    /// ([`losses`](Self::losses)), as far as there is room by now. Does nothing
    /// where nothing can be lacking; returns whether it had to look.
    ///
    /// Reading the table does the same ([`Table::snapshot`]). Who reads events alone calls it now and
    /// then, so that the ends of such processes are told.
    ///
    /// They get rows like those that were alive before the tracker
    /// ([`Origin::Seed`](crate::Origin::Seed)).
    ///
    /// # Errors
    ///
    /// [`Error::Map`] or [`Error::System`], where the kernel does not tell.
    pub fn refill(&self) -> Result<bool> {
        self.table.refill()
    }

    /// Compares the table with the kernel's own list of processes, looking again
    /// before anything is reported, so that a process that starts, execs or ends
    /// meanwhile is no difference.
    ///
    /// Compared are PID and start time, the number of execs (by the kernel's own
    /// count), and whether it is a thread of the kernel. All else can change while a
    /// process lives, and is read from the same list ([`Table::snapshot`]).
    ///
    /// # Errors
    ///
    /// [`Error::Map`] or [`Error::System`], where the kernel does not tell.
    pub fn verify(&self) -> Result<Verification> {
        let look = || -> Result<Look> {
            let before = self.table.rows()?;
            let tasks = self.table.tasks()?;
            let after = self.table.rows()?;
            Ok(Look::new(before, tasks, after))
        };
        verify(look, &WAITS)
    }

    /// What could not be recorded since the start.
    ///
    /// # Errors
    ///
    /// [`Error::Map`] or [`Error::System`], where the kernel does not tell.
    pub fn losses(&self) -> Result<Losses> {
        self.counts.losses()
    }

    /// What was seen since the start.
    ///
    /// # Errors
    ///
    /// [`Error::Map`], where the kernel does not tell.
    pub fn seen(&self) -> Result<Seen> {
        self.counts.seen()
    }
}
