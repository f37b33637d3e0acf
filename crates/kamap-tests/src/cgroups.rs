//! The cgroup v2 hierarchy, mounted for one test.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The hierarchy, and a group of its own in it. Dropped, both are gone.
#[derive(Debug)]
pub struct Cgroups {
    folder: tempfile::TempDir,
    group: PathBuf,
}

impl Cgroups {
    /// Mounts the hierarchy and makes the group.
    ///
    /// # Panics
    ///
    /// If that is not possible.
    #[track_caller]
    pub fn mount() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        duct::cmd!("mount", "-t", "cgroup2", "none", folder.path())
            .run()
            .expect("it can be mounted");
        let group = folder.path().join(format!("test-{}", std::process::id()));
        fs::create_dir(&group).expect("a group can be made");
        Self { folder, group }
    }

    /// The folder of the hierarchy's root.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the group.
    pub fn group(&self) -> &Path {
        &self.group
    }

    /// Makes a group below the group; returns its folder.
    ///
    /// # Panics
    ///
    /// If that is not possible.
    #[track_caller]
    pub fn below(&self, name: &str) -> PathBuf {
        let folder = self.group.join(name);
        fs::create_dir(&folder).expect("a group can be made");
        folder
    }

    /// Lets `command` start in the group.
    ///
    /// # Panics
    ///
    /// If processes cannot be moved there.
    #[track_caller]
    pub fn hold<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let procs = self.group.join("cgroup.procs");
        let procs = fs::OpenOptions::new().write(true).open(procs);
        let procs = procs.expect("processes can be moved");
        // SAFETY: a write(2) of constant bytes to a descriptor that is open, and
        // nothing else.
        unsafe { command.pre_exec(move || io::Write::write_all(&mut &procs, b"0")) }
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        // Their processes have ended, if the test has come to its end.
        for entry in fs::read_dir(&self.group).into_iter().flatten().flatten() {
            // It fails for files.
            let _ = fs::remove_dir(entry.path());
        }
        let _ = fs::remove_dir(&self.group);
        let _ = duct::cmd!("umount", self.folder.path()).run();
    }
}
