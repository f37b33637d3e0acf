//! Executable files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Makes an executable file; returns its path.
///
/// # Panics
///
/// If it cannot.
#[track_caller]
pub fn executable(folder: &Path, name: impl AsRef<Path>, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).expect("it can be written");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("root may chmod");
    path
}
