//! What is left of processes that were killed, with their guards, while they attached.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{bpffs, lock, pin};

/// Folders beside `dir` that are left of a [`Builder::attach`](crate::Builder::attach) which was killed with the process
/// that guards it. Their programs may still run. The next one that attaches or [detaches](crate::detach) there
/// removes them.
///
/// Those of a process whose PID another one has by now are not known to be left. None are named while somebody
/// attaches or detaches there.
pub fn leftovers(dir: impl AsRef<Path>) -> Vec<PathBuf> {
    let dir = &bpffs::resolve(dir.as_ref());
    if !bpffs::is_below(dir) {
        return Vec::new();
    }
    let parent = dir.parent().map(File::open);
    let is_locked = parent.is_some_and(|parent| {
        parent.is_ok_and(|parent| {
            lock::wait_for_lock(&parent, Duration::ZERO).is_ok_and(|is_locked| is_locked)
        })
    });
    match is_locked {
        true => find(dir),
        false => Vec::new(),
    }
}

/// Removes them. `dir` is locked.
pub(crate) fn remove(dir: &Path) {
    for folder in find(dir) {
        let _ = pin::unpin(&folder);
    }
}

fn find(dir: &Path) -> Vec<PathBuf> {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let rest = file_name.as_bytes().strip_prefix(name.as_bytes());
        let pid = rest.and_then(|rest| {
            let rest = std::str::from_utf8(rest).ok()?;
            let pid = rest.strip_prefix("-new-").or(rest.strip_prefix("-old-"))?;
            pid.parse::<u32>().ok()
        });
        // Whoever has this PID now may be another process; then it is left for the next time.
        if let Some(pid) = pid
            && (pid == std::process::id() || !Path::new(&format!("/proc/{pid}")).exists())
        {
            found.push(entry.path());
        }
    }
    found
}
