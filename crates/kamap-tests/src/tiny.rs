//! Many small children.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Held;

/// A copy of [`TINY`](crate::TINY) in the folder of temporary files: in a guest many children start
/// much faster from there than from the folder of the build.
#[derive(Debug)]
pub struct Tiny {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Tiny {
    /// Makes the copy.
    ///
    /// # Panics
    ///
    /// If it cannot.
    #[track_caller]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("tiny");
        std::fs::copy(crate::TINY, &path).expect("it can be copied");
        Self {
            _folder: folder,
            path,
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs one to its end; returns the PID that it had.
    ///
    /// # Panics
    ///
    /// If it does not start or fails.
    #[track_caller]
    pub fn run(&self) -> u32 {
        let mut command = Command::new(&self.path);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        assert!(child.wait().expect("it can be waited for").success());
        child.id()
    }

    /// Starts one; it runs until it is released.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[track_caller]
    pub fn start(&self) -> Held {
        Held::start(&mut Command::new(&self.path))
    }
}

impl Default for Tiny {
    fn default() -> Self {
        Self::new()
    }
}
