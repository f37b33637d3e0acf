//! Waiting for a time or a signal, whichever comes first.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{ptr, slice};

use kamap::Clock;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::low_level::{emulate_default_handler, register};

/// How soon after a signal the same signal counts as the same request: timeout(1) sends it to the
/// process and to its group.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The deadline was reached.
    Time,
    /// The program should end.
    Quit,
    /// The program should stop until it is continued (Ctrl-Z).
    Stop,
    /// The screen has to be drawn again.
    Redraw,
    /// There is input to read.
    Input,
}

/// The signals that the program handles, from when this is made.
///
/// No thread waits for them: on a machine that is short of memory or processes there is none to be had.
pub(crate) struct Signals {
    /// Their numbers, a byte each, in the order in which they came.
    incoming: PipeReader,
}

impl Signals {
    /// Handles signals from now on. `screen`: also those of a terminal's screen.
    ///
    /// A signal that ends the program does so at once when it comes a second time, a while after the
    /// first, unless there is a screen to leave: the reader of the output may have stopped.
    pub(crate) fn new(screen: bool) -> io::Result<Self> {
        let mut quit = vec![SIGINT, SIGTERM, SIGQUIT];
        if !is_ignored(SIGHUP) {
            quit.push(SIGHUP);
        }
        let (signals, outgoing) = Self::pipe()?;
        for signal in quit {
            // When it first came, in nanoseconds since boot, or 0.
            let first = AtomicU64::new(0);
            handle(signal, &outgoing, move || {
                let now = Clock::since_boot();
                let first = first.compare_exchange(
                    0,
                    now.as_nanos() as u64,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
                if let Err(first) = first
                    && now.saturating_sub(Duration::from_nanos(first)) > AT_ONCE
                    && !screen
                {
                    // Fails for none of these.
                    let _ = emulate_default_handler(signal);
                }
            })?;
        }
        if screen {
            for signal in [SIGTSTP, SIGCONT, SIGWINCH] {
                handle(signal, &outgoing, || {})?;
            }
        }
        Ok(signals)
    }

    /// Handles these from now on, without a meaning of its own for any of them.
    pub(crate) fn of(handled: impl IntoIterator<Item = i32>) -> io::Result<Self> {
        let (signals, outgoing) = Self::pipe()?;
        for signal in handled {
            handle(signal, &outgoing, || {})?;
        }
        Ok(signals)
    }

    fn pipe() -> io::Result<(Self, Arc<PipeWriter>)> {
        let (incoming, outgoing) = io::pipe()?;
        // A handler must not wait, and whoever waits for signals does so with poll(2).
        do_not_block(&incoming)?;
        do_not_block(&outgoing)?;
        Ok((Self { incoming }, Arc::new(outgoing)))
    }

    /// The numbers of those that have come since the last call.
    pub(crate) fn pending(&self) -> impl Iterator<Item = i32> {
        std::iter::from_fn(|| {
            let mut signal = 0;
            // Fails if none has come.
            let read = (&self.incoming).read_exact(slice::from_mut(&mut signal));
            read.ok().map(|()| signal.into())
        })
    }

    /// Waits until `deadline` or for a signal.
    pub(crate) fn wait_until(&self, deadline: Instant) -> Event {
        self.wait_or(deadline, None)
    }

    /// Waits until `deadline`, for a signal, or until `input` can be read.
    pub(crate) fn wait_or(&self, deadline: Instant, input: Option<BorrowedFd<'_>>) -> Event {
        loop {
            if let Some(signal) = self.pending().next() {
                return match signal {
                    SIGTSTP => Event::Stop,
                    SIGCONT | SIGWINCH => Event::Redraw,
                    _ => Event::Quit,
                };
            }
            let timeout = deadline.saturating_duration_since(Instant::now());
            // Also where there is no time to wait.
            if self.poll(timeout, input) {
                return Event::Input;
            }
            if timeout.is_zero() {
                return Event::Time;
            }
        }
    }

    /// Waits until there is something to read or `timeout` is over; returns whether it is `input`. It may
    /// return earlier.
    fn poll(&self, timeout: Duration, input: Option<BorrowedFd<'_>>) -> bool {
        let readable = |fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        // A negative descriptor is ignored.
        let input = input.map_or(-1, |input| input.as_raw_fd());
        let mut waited = [self.incoming.as_raw_fd(), input].map(readable);
        // Rounded up, so that the last wait is not followed by many short ones.
        let milliseconds = timeout.as_micros().div_ceil(1000);
        let milliseconds = i32::try_from(milliseconds).unwrap_or(i32::MAX);
        // SAFETY: these are two entries, valid for reads and writes.
        let ready = unsafe { libc::poll(waited.as_mut_ptr(), 2, milliseconds) };
        // Signals go first.
        ready > 0 && waited[0].revents == 0
    }
}

/// Readable once one has come.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.incoming.as_fd()
    }
}

/// On `signal`, calls `first` and writes the number of the signal to `outgoing`. `first` must do
/// nothing that a signal handler must not do.
fn handle(
    signal: i32,
    outgoing: &Arc<PipeWriter>,
    first: impl Fn() + Send + Sync + 'static,
) -> io::Result<()> {
    let outgoing = Arc::clone(outgoing);
    let action = move || {
        first();
        // If the pipe is full, there are enough to read.
        let _ = (&*outgoing).write(&[signal as u8]);
    };
    // SAFETY: the handler calls write(2) and, before it, the closure of `new`: that reads a clock and
    // an atomic number, and may call `emulate_default_handler`, which handlers may call.
    unsafe { register(signal, action) }.map(drop)
}

fn do_not_block(file: &impl AsRawFd) -> io::Result<()> {
    let yes: libc::c_int = 1;
    // SAFETY: FIONBIO reads a number, to which the pointer is valid.
    match unsafe { libc::ioctl(file.as_raw_fd(), libc::FIONBIO, &raw const yes) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether this process was started with `signal` ignored, as under nohup(1): then it must stay
/// ignored.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action it only writes the current one, for which there is room.
    let failed = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } != 0;
    // SAFETY: it succeeded, so the action was written.
    !failed && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Stops this process as Ctrl-Z does; returns when it is continued.
pub(crate) fn stop() -> io::Result<()> {
    emulate_default_handler(SIGTSTP)
}
