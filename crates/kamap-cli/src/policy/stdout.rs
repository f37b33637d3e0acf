//! Whether standard output can be written.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::errors::OutputError;

static USABLE: AtomicBool = AtomicBool::new(true);

/// Fails if kamap was started with a standard output that is closed (`>&-`) or open only for reading.
/// The standard library treats writes to it as successful.
pub(crate) fn check() -> Result<(), OutputError> {
    match USABLE.load(Ordering::Relaxed) {
        true => Ok(()),
        false => Err(OutputError(io::Error::from_raw_os_error(libc::EBADF))),
    }
}

/// Prints a line, or several.
pub(crate) fn line(text: &str) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(OutputError)
}

/// Runs before Rust's runtime, which opens /dev/null in place of a closed stream. Later that cannot be
/// distinguished from a /dev/null that was passed on purpose: the runtime opens it for reading and
/// writing, as do Python's `subprocess.DEVNULL` and daemon(3).
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = look;

/// Does not call Rust's runtime, which has not started yet.
extern "C" fn look() {
    // SAFETY: takes numbers only.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFL) };
    let usable = flags >= 0 && flags & libc::O_ACCMODE != libc::O_RDONLY;
    USABLE.store(usable, Ordering::Relaxed);
}
