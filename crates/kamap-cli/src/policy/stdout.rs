//! Whether standard output can be written at all.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::errors::OutputError;

static USABLE: AtomicBool = AtomicBool::new(true);

/// Fails where kamap was started with a standard output that is closed (`>&-`) or only open
/// for reading. The standard library takes what is written there for written.
pub(crate) fn check() -> Result<(), OutputError> {
    match USABLE.load(Ordering::Relaxed) {
        true => Ok(()),
        false => Err(OutputError(io::Error::from_raw_os_error(libc::EBADF))),
    }
}

/// Runs before Rust's runtime, which opens /dev/null in place of a closed stream. Later nothing
/// tells that from a /dev/null that was handed over on purpose: the runtime opens it for reading
/// and writing, but so do Python's `subprocess.DEVNULL` and daemon(3).
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = look;

/// The runtime is not there yet: calls nothing of it.
extern "C" fn look() {
    // SAFETY: takes numbers alone.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFL) };
    let usable = flags >= 0 && flags & libc::O_ACCMODE != libc::O_RDONLY;
    USABLE.store(usable, Ordering::Relaxed);
}
