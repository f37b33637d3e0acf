//! Stopping a reader from another thread.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::raw::{Operation, RawMap};
use crate::{Result, sys};

/// Stops a reader that [runs](crate::RingBuf::run), from any thread. All clones stop the same
/// readers.
#[derive(Clone, Debug)]
pub struct Stop {
    event: Arc<OwnedFd>,
}

impl Stop {
    /// Creates one.
    ///
    /// # Errors
    ///
    /// If too many files are open.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            event: Arc::new(sys::event()?),
        })
    }

    /// Stops every reader that runs with it, now or later. It does not wait for them.
    pub fn stop(&self) {
        sys::signal(self.event.as_fd());
    }

    /// Whether [`stop`](Self::stop) has been called.
    pub fn is_stopped(&self) -> bool {
        // Waiting for an open file descriptor cannot fail.
        sys::wait([self.event.as_fd()], Some(Duration::ZERO)).unwrap_or(false)
    }
}

/// Readable once [`Stop::stop`] has been called.
impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Waits until one of `fds` is readable, for a reader of `map`. See [`sys::wait`].
pub(super) fn wait<const N: usize>(
    map: &RawMap,
    fds: [BorrowedFd<'_>; N],
    timeout: Option<Duration>,
) -> Result<bool> {
    sys::wait(fds, timeout).map_err(|err| map.error(Operation::other("wait"), &[], err))
}

/// Alternates between `read`, which passes on everything that is there, and `wait`, until `read`
/// breaks or `stop` is used. After a stop it reads once more.
pub(super) fn run<R, B>(
    reader: &mut R,
    stop: &Stop,
    mut read: impl FnMut(&mut R) -> Result<ControlFlow<B>>,
    wait: impl Fn(&R) -> Result<bool>,
) -> Result<ControlFlow<B>> {
    loop {
        // Checked before reading, so that records from before the stop are read.
        let is_stopped = stop.is_stopped();
        if let ControlFlow::Break(broken) = read(reader)? {
            return Ok(ControlFlow::Break(broken));
        }
        if is_stopped {
            return Ok(ControlFlow::Continue(()));
        }
        wait(reader)?;
    }
}
