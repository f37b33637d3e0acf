//! Locking folders of pins.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// How long to wait for another one that attaches or detaches, and naps meanwhile.
const PATIENCE: Duration = Duration::from_secs(20);
const NAP: Duration = Duration::from_millis(5);

/// Keeps others from attaching and detaching beside `dir`, until it is dropped. After `PATIENCE` it goes
/// without: whoever may open the folder could lock it for ever.
pub(crate) fn lock(dir: &Path) -> Result<File> {
    let parent = dir.parent().unwrap_or(dir);
    let failed = |source| Error::NotPinned {
        path: parent.to_owned(),
        source,
    };
    let folder = File::open(parent).map_err(failed)?;
    wait_for_lock(&folder, PATIENCE).map_err(failed)?;
    Ok(folder)
}

/// Locks a file until it is closed, if nobody else has locked it for so long. Returns whether it is locked.
pub(crate) fn wait_for_lock(file: &File, patience: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + patience;
    loop {
        // SAFETY: takes numbers.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(true);
        }
        let err = io::Error::last_os_error();
        if err.kind() != io::ErrorKind::WouldBlock {
            return Err(err);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(NAP);
    }
}
