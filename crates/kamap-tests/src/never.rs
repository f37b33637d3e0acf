//! A file system that does not answer.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Held;

/// A FUSE file system with one file. Readers of the file wait until this is dropped, so drop
/// processes that read it later.
#[derive(Debug)]
pub struct Never {
    server: Option<Held>,
    folder: tempfile::TempDir,
}

impl Never {
    /// Mounts it. `program` is the suite's `arguments`, which serves the file system.
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
        // When the server is gone, nothing waits for it any more.
        drop(self.server.take());
        let folder = CString::new(self.folder.path().as_os_str().as_bytes());
        let folder = folder.expect("paths have no NUL");
        // SAFETY: it is terminated.
        unsafe { libc::umount2(folder.as_ptr(), libc::MNT_DETACH) };
    }
}
