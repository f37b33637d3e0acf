//! Waiting for a time or a signal, whichever comes first.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::Signals as Incoming;

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
pub(crate) struct Signals {
    events: Receiver<Event>,
}

impl Signals {
    /// Handles signals from now on. `screen`: also those of a terminal's screen.
    ///
    /// The second time that the same one is to end the program, a while after the first, it
    /// does so at once, where there is no screen to clear up: whoever reads the output may
    /// have stopped.
    pub(crate) fn new(screen: bool) -> io::Result<Self> {
        let mut signals = vec![SIGINT, SIGTERM, SIGQUIT];
        if !is_ignored(SIGHUP) {
            signals.push(SIGHUP);
        }
        if screen {
            signals.extend([SIGTSTP, SIGCONT, SIGWINCH]);
        }
        let mut incoming = Incoming::new(signals)?;
        let (sender, events) = channel();
        thread::spawn(move || {
            let mut came = HashMap::new();
            for signal in incoming.forever() {
                let event = match signal {
                    SIGTSTP => Event::Stop,
                    SIGCONT | SIGWINCH => Event::Redraw,
                    _ => {
                        let first = *came.entry(signal).or_insert_with(Instant::now);
                        if first.elapsed() > AT_ONCE && !screen {
                            // Fails for none of these.
                            let _ = signal_hook::low_level::emulate_default_handler(signal);
                        }
                        Event::Quit
                    }
                };
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Ok(Self { events })
    }

    /// Waits until `deadline` or for a signal.
    pub(crate) fn wait_until(&self, deadline: Instant) -> Event {
        let timeout = deadline.saturating_duration_since(Instant::now());
        match self.events.recv_timeout(timeout) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => Event::Time,
            // The thread never ends before this does.
            Err(RecvTimeoutError::Disconnected) => Event::Quit,
        }
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
    signal_hook::low_level::emulate_default_handler(SIGTSTP)
}
