//! Waiting for several things at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::{Error, Result};

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The ring, or the time is over.
    ByRing,
    /// A file descriptor that can be read, or a signal.
    ByOther,
}

/// What a wait ends for.
#[derive(Debug)]
pub(crate) struct Wakeups(Epoll);

const RING: u64 = 0;
const OTHER: u64 = 1;

impl Wakeups {
    pub(crate) fn new() -> Result<Self> {
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map(Self)
            .map_err(failed)
    }

    /// Ends each wait when programs wake the reader of this ring, not because it has records.
    pub(crate) fn add_ring(&self, ring: &impl AsFd) -> Result<()> {
        let edges = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        self.0
            .add(ring, EpollEvent::new(edges, RING))
            .map_err(failed)
    }

    /// Ends each wait while this can be read, until it is closed.
    pub(crate) fn add(&self, fd: &impl AsFd) -> Result<()> {
        self.0
            .add(fd, EpollEvent::new(EpollFlags::EPOLLIN, OTHER))
            .map_err(failed)
    }

    /// Waits for so long; `None`: as long as it takes. Times of less than a millisecond are rounded up.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Result<Woken> {
        let timeout = timeout.map_or(EpollTimeout::NONE, |timeout| {
            let milliseconds = timeout.as_micros().div_ceil(1000);
            // As long as there can be: whoever waits looks at the time again.
            EpollTimeout::try_from(milliseconds).unwrap_or(EpollTimeout::MAX)
        });
        let mut ready = [EpollEvent::empty(); 4];
        match self.0.wait(&mut ready, timeout) {
            Ok(count) if ready[..count].iter().any(|event| event.data() == OTHER) => {
                Ok(Woken::ByOther)
            }
            Ok(_) => Ok(Woken::ByRing),
            Err(Errno::EINTR) => Ok(Woken::ByOther),
            Err(err) => Err(failed(err)),
        }
    }
}

/// Readable when a wait would end.
impl AsFd for Wakeups {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

fn failed(err: Errno) -> Error {
    Error::System {
        action: "wait for events",
        source: io::Error::from(err),
    }
}
