//! Following a command and all that descends from it.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use crate::follow_switch::FollowSwitch;
use crate::wakeups::Wakeups;
use crate::{
    Error, Event, EventKind, Events, Item, Kinds, Losses, Pinned, Reader, Result, Tracker,
};

/// A running command, and the events of it and its descendants, see
/// [`Builder::follow`](crate::Builder::follow).
///
/// A descendant stays one when its parent has ended, and whatever it does with
/// sessions, process groups and namespaces. The kernel marks it, in its row, when it is
/// forked. One that found no room in the table
/// ([`Losses::table_full`](crate::Losses::table_full)) is told by its ancestors, and
/// gets a row as soon as there is room; if there is none before it ends, no event says so.
///
/// Dropping it does not end the command, nor its descendants.
///
/// ```no_run
/// use std::process::Command;
/// use std::time::Duration;
/// use kamap::{Item, ProcessTree, Tracker};
///
/// let mut follow = Tracker::builder().follow(Command::new("make").arg("-j2"))?;
/// let mut tree = ProcessTree::default();
/// let status = loop {
///     let status = follow.read(Duration::from_secs(1), |item| {
///         if let Item::Event(event) = item {
///             tree.add(&event).expect("nothing contradicts it");
///         }
///     })?;
///     if let Some(status) = status {
///         break status;
///     }
/// };
/// println!("{status}, {} processes", tree.len());
/// # Ok::<(), kamap::Error>(())
/// ```
#[derive(Debug)]
pub struct Follow {
    source: Source,
    /// What was lost before the command.
    lost_before: Losses,
    events: Option<Events>,
    child: Child,
    /// How the command has ended, once it has been waited for.
    status: Option<ExitStatus>,
    /// The number of the first event after that.
    after_end: Option<u64>,
    /// Readable when the ring has woken its reader, and when the command has ended.
    wakeups: Wakeups,
    /// Of the command, until it has been waited for: it could be read from then on.
    pidfd: Option<OwnedFd>,
}

/// A tracker that waits for the command that it is to follow, see
/// [`Builder::follower`](crate::Builder::follower).
#[derive(Debug)]
pub struct Follower {
    source: Source,
    events: Option<Events>,
    /// What tells programs that are attached.
    switch: Option<FollowSwitch>,
    lost_before: Losses,
    /// The kernel waits for a child of this very thread.
    not_send: PhantomData<*const ()>,
}

impl Pinned {
    /// The first half of following a command ([`Builder::follow`](crate::Builder::follow)) by what is attached:
    /// this process becomes the reader of its events, as in [`events`](Self::events), and leaves out all that are
    /// there by now. Of the events that the ring gets, those of the command and its descendants are handed out,
    /// replacements too; the others are read and dropped. `kinds` are those to get at least, beside
    /// [`Kinds::LIFE`].
    ///
    /// # Errors
    ///
    /// [`Error::NotEveryProcess`] if the ring does not get such events of every process, and as of
    /// [`events`](Self::events).
    pub fn follower(&self, kinds: Kinds, steal: bool) -> Result<Follower> {
        let kinds = kinds | Kinds::LIFE;
        let known = self.description();
        if !known.events.contains(kinds) || known.is_filtered {
            return Err(Error::NotEveryProcess {
                dir: self.dir().to_owned(),
                kinds,
            });
        }
        let mut events = self.events(steal)?;
        let switch = FollowSwitch::new(&self.globals()?)?;
        events.follow(switch.id);
        events.drain(|_| {})?;
        Follower::attached(self.reader()?, events, switch)
    }
}

impl Follower {
    pub(crate) fn new(mut tracker: Tracker) -> Self {
        Self {
            events: tracker.take_events(),
            source: Source::Own(Box::new(tracker)),
            switch: None,
            lost_before: Losses::default(),
            not_send: PhantomData,
        }
    }

    /// By programs that are attached.
    fn attached(reader: Reader, events: Events, switch: FollowSwitch) -> Result<Self> {
        Ok(Self {
            events: Some(events),
            switch: Some(switch),
            lost_before: reader.losses()?,
            source: Source::Attached(Box::new(reader)),
            not_send: PhantomData,
        })
    }

    /// Runs `command` and follows it, from its first instruction.
    ///
    /// # Errors
    ///
    /// [`Error::Spawn`] if it cannot be started.
    pub fn run(self, command: &mut Command) -> Result<Follow> {
        let child = match &self.switch {
            Some(switch) => switch.follow(|| command.spawn()),
            None => command.spawn(),
        };
        let child = child.map_err(|source| Error::Spawn {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
        let pidfd = pidfd(&child).map_err(|source| Error::System {
            action: "prepare to wait for the command",
            source,
        })?;
        let wakeups = Wakeups::new()?;
        wakeups.add(&pidfd)?;
        if let Some(events) = &self.events {
            events.wake_on(&pidfd)?;
            wakeups.add(events)?;
        }
        Ok(Follow {
            events: self.events,
            wakeups,
            pidfd: Some(pidfd),
            source: self.source,
            lost_before: self.lost_before,
            child,
            status: None,
            after_end: None,
        })
    }
}

/// Where the table and the counters are.
#[derive(Debug)]
enum Source {
    Own(Box<Tracker>),
    /// Somebody has attached it.
    Attached(Box<Reader>),
}

impl Follow {
    /// The process of the command.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the command has ended, if it has; does not wait, and reads no events. For whoever
    /// waits for the command though [`read`](Self::read) has failed.
    ///
    /// # Errors
    ///
    /// [`Error::System`] if the command cannot be waited for.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait().map_err(not_waited_for)?;
            if self.status.is_some() {
                self.pidfd = None;
            }
        }
        Ok(self.status)
    }

    /// Sends a signal to the command, unless it has ended and been waited for.
    pub fn signal(&self, signal: i32) {
        if self.status.is_none() {
            // SAFETY: takes numbers only. The PID is the child's, as it has not been
            // waited for.
            unsafe { libc::kill(self.pid().cast_signed(), signal) };
        }
    }

    /// Ends each wait of [`read`](Self::read) while `fd` can be read, see [`Events::wake_on`].
    ///
    /// # Errors
    ///
    /// As of [`Events::wake_on`].
    pub fn wake_on(&self, fd: &impl AsFd) -> Result<()> {
        match &self.events {
            Some(events) => events.wake_on(fd),
            None => self.wakeups.add(fd),
        }
    }

    /// What has the table of all processes of the machine, and counts what was lost and seen: since it was
    /// attached, if the command is followed by what is attached ([`Pinned::follower`](crate::Pinned::follower)).
    pub fn reader(&self) -> &Reader {
        match &self.source {
            Source::Own(tracker) => tracker,
            Source::Attached(reader) => reader,
        }
    }

    /// What could not be recorded since the command was about to start, of the whole machine.
    ///
    /// # Errors
    ///
    /// As of [`Reader::losses`].
    pub fn losses(&self) -> Result<Losses> {
        Ok(self.reader().losses()?.without(&self.lost_before))
    }

    /// Waits until there is something to read or `timeout` is over, and hands all that
    /// is there to `read`. A signal ends the wait. Then processes that the table lacks get
    /// their rows ([`Reader::refill`](crate::Reader::refill)).
    ///
    /// Returns how the command has ended once it has, and once all events up to its end
    /// were read. Descendants may still run then.
    ///
    /// # Errors
    ///
    /// As of [`Events::read`] and [`Reader::refill`](crate::Reader::refill), and [`Error::System`] if the command
    /// cannot be waited for. The command goes on; [`try_wait`](Self::try_wait) tells its end.
    pub fn read(
        &mut self,
        timeout: Duration,
        mut read: impl FnMut(Item),
    ) -> Result<Option<ExitStatus>> {
        self.try_wait()?;
        self.note_end()?;
        let pid = self.pid();
        let mut leaving = false;
        if let Some(events) = &mut self.events {
            // All was read that there is to wait for.
            let timeout = match self.after_end {
                Some(seq) if seq <= events.next_seq() => Duration::ZERO,
                _ => timeout,
            };
            events.read(timeout, |item| {
                leaving |= is_end_of(pid, &item);
                read(item);
            })?;
        } else {
            self.wakeups.wait(Some(timeout))?;
        }
        if leaving && self.status.is_none() {
            // It has told of its end, and is waited for a moment later.
            self.status = Some(self.child.wait().map_err(not_waited_for)?);
            self.pidfd = None;
            self.note_end()?;
        }
        self.reader().refill()?;
        let read_up_to = self.events.as_ref().map_or(u64::MAX, Events::next_seq);
        let all_read = self.after_end.is_some_and(|seq| seq <= read_up_to);
        if all_read && let Some(events) = &mut self.events {
            // Nobody follows this command again.
            events.acknowledge()?;
        }
        Ok(self.status.filter(|_| all_read))
    }

    /// The same once the command has ended: reads what its descendants do that still run, until there is something
    /// to read or `timeout` is over.
    ///
    /// # Errors
    ///
    /// As of [`read`](Self::read).
    pub fn read_on(&mut self, timeout: Duration, read: impl FnMut(Item)) -> Result<()> {
        if let Some(events) = &mut self.events {
            events.read(timeout, read)?;
            events.acknowledge()?;
        } else {
            self.wakeups.wait(Some(timeout))?;
        }
        self.reader().refill()?;
        Ok(())
    }

    /// Once the command has been waited for, finds out which events come after that.
    fn note_end(&mut self) -> Result<()> {
        if self.status.is_some() && self.after_end.is_none() {
            self.after_end = Some(self.reader().next_seq()?);
        }
        Ok(())
    }
}

/// For `epoll` and async runtimes: readable when the ring has woken its reader (see [`Events`]), and
/// from when the command has ended. Then [`read`](Follow::read) without a timeout.
impl AsFd for Follow {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakeups.as_fd()
    }
}

impl AsRawFd for Follow {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// A file descriptor that can be read once the child has ended.
fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers; returns -1 or a new file descriptor, which closes itself at an exec.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    if pidfd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is new, so nobody else closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(pidfd as RawFd) })
}

fn not_waited_for(source: io::Error) -> Error {
    Error::System {
        action: "wait for the command",
        source,
    }
}

fn is_end_of(pid: u32, item: &Item) -> bool {
    matches!(
        item,
        Item::Event(Event { process, kind: EventKind::Exit(_), .. }) if process.pid == pid
    )
}
