//! A file system that never answers.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Held;

/// A FUSE file system with one file. Whoever reads that waits until this is dropped; so a process that
/// does so has to be dropped later.
#[derive(Debug)]
pub struct Never {
    server: Option<Held>,
    folder: tempfile::TempDir,
}

impl Never {
    /// Mounts it. `program` is the suite's `arguments`, which serves it.
    ///
    /// # Panics
    ///
    /// If it cannot.
    #[track_caller]
    pub fn mount(program: impl AsRef<Path>) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut command = Command::new(program.as_ref());
        let server = Held::start(command.arg("serve").arg(folder.path()));
        Self {
            server: Some(server),
            folder,
        }
    }

    /// The file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("file")
    }
}

impl Drop for Never {
    fn drop(&mut self) {
        // Nobody waits for one that has gone.
        drop(self.server.take());
        let folder = CString::new(self.folder.path().as_os_str().as_bytes());
        let folder = folder.expect("paths have no NUL");
        // SAFETY: it is terminated.
        unsafe { libc::umount2(folder.as_ptr(), libc::MNT_DETACH) };
    }
}
