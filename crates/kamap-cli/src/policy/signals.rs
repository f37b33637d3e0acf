//! Waiting for a time or a signal, whichever comes first.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{ptr, slice};

use kamap::Clock;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::low_level::{emulate_default_handler, register};

/// How soon after a signal the same one counts as one with it: timeout(1) sends it to the
/// process and to its group.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The time has come.
    Time,
    /// The program is to end.
    Quit,
    /// The program is to stop for a while (Ctrl-Z).
    Stop,
    /// What is on the screen has to be drawn anew.
    Redraw,
}

/// The signals that the program handles, from when this was made.
///
/// No thread waits for them: a machine that is short of memory or processes has none to give.
pub(crate) struct Signals {
    /// The number of each, a byte, in the order in which they came.
    incoming: PipeReader,
}

impl Signals {
    /// Handles signals from now on. `screen`: also those of a terminal's screen.
    ///
    /// The second time that the same one is to end the program, a while after the first, it
    /// does so at once, where there is no screen to clear up: whoever reads the output may
    /// have stopped.
    pub(crate) fn new(screen: bool) -> io::Result<Self> {
        let mut quit = vec![SIGINT, SIGTERM, SIGQUIT];
        if !is_ignored(SIGHUP) {
            quit.push(SIGHUP);
        }
        let (incoming, outgoing) = io::pipe()?;
        // A handler must not wait, and `wait_until` knows when to.
        do_not_block(&incoming)?;
        do_not_block(&outgoing)?;
        let outgoing = Arc::new(outgoing);
        for signal in quit {
            // When it came first, in nanoseconds since boot; 0 before.
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
        Ok(Self { incoming })
    }

    /// Waits until `deadline` or for a signal.
    pub(crate) fn wait_until(&self, deadline: Instant) -> Event {
        loop {
            let mut signal = 0;
            // Fails where none has come.
            if (&self.incoming)
                .read_exact(slice::from_mut(&mut signal))
                .is_ok()
            {
                return match i32::from(signal) {
                    SIGTSTP => Event::Stop,
                    SIGCONT | SIGWINCH => Event::Redraw,
                    _ => Event::Quit,
                };
            }
            let timeout = deadline.saturating_duration_since(Instant::now());
            if timeout.is_zero() {
                return Event::Time;
            }
            self.poll(timeout);
        }
    }

    /// Waits until there is something to read, or `timeout` is over, or for less.
    fn poll(&self, timeout: Duration) {
        let mut incoming = libc::pollfd {
            fd: self.incoming.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // Rounded up, so that the last wait is not one of many.
        let milliseconds = timeout.as_micros().div_ceil(1000);
        let milliseconds = i32::try_from(milliseconds).unwrap_or(i32::MAX);
        // SAFETY: `incoming` is valid for reads and writes, and is one.
        unsafe { libc::poll(&mut incoming, 1, milliseconds) };
    }
}

/// On `signal`, does `first` and writes its number to `outgoing`. `first` must do nothing that a
/// signal handler must not.
fn handle(
    signal: i32,
    outgoing: &Arc<PipeWriter>,
    first: impl Fn() + Send + Sync + 'static,
) -> io::Result<()> {
    let outgoing = Arc::clone(outgoing);
    let action = move || {
        first();
        // Where there is no room, there are enough to read.
        let _ = (&*outgoing).write(&[signal as u8]);
    };
    // SAFETY: a write(2), and before it what `new` gives: it reads a clock and an atomic
    // number, and may call `emulate_default_handler`, which is made for handlers.
    unsafe { register(signal, action) }.map(drop)
}

fn do_not_block(file: &impl AsRawFd) -> io::Result<()> {
    let yes: libc::c_int = 1;
    // SAFETY: FIONBIO reads a number, which is there.
    match unsafe { libc::ioctl(file.as_raw_fd(), libc::FIONBIO, &raw const yes) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether this process was started with `signal` ignored, as under nohup(1): then it is to
/// stay so.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action it only writes the one in force, for which there is room.
    let failed = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } != 0;
    // SAFETY: it has not failed, so the action was written.
    !failed && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Stops this process as Ctrl-Z does; returns when it is continued.
pub(crate) fn stop() -> io::Result<()> {
    emulate_default_handler(SIGTSTP)
}
