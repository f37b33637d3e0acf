//! The programs that the tests start.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kamap_tests::Held;

/// Runs until its standard input is closed.
pub(crate) const HELD: &str = env!("CARGO_BIN_EXE_held");

/// Forks without exec.
pub(crate) const FORKED: &str = env!("CARGO_BIN_EXE_forked");

/// Starts a tracker and drops it.
pub(crate) const DROPPED: &str = env!("CARGO_BIN_EXE_dropped");

/// Has threads that leave or exec.
pub(crate) const THREADS: &str = env!("CARGO_BIN_EXE_threads");

/// The command `kamap`.
pub(crate) const KAMAP: &str = env!("CARGO_BIN_EXE_kamap-under-test");

pub(crate) fn held() -> Command {
    Command::new(HELD)
}

/// Like `held`, for when there are many of it: small, and where files are fast.
pub(crate) struct Tiny {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Tiny {
    #[track_caller]
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("tiny");
        std::fs::copy(kamap_tests::TINY, &path).expect("it can be copied");
        Self {
            _folder: folder,
            path,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs one to its end.
    #[track_caller]
    pub(crate) fn run(&self) {
        let mut command = Command::new(&self.path);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        assert!(command.status().expect("it starts").success());
    }

    /// Starts one; it runs until it is released.
    #[track_caller]
    pub(crate) fn start(&self) -> Held {
        Held::start(&mut Command::new(&self.path))
    }
}
