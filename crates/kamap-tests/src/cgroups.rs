//! The cgroup v2 hierarchy, mounted for one test.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The hierarchy, and a cgroup in it for the test. Both are removed on drop.
#[derive(Debug)]
pub struct Cgroups {
    folder: tempfile::TempDir,
    group: PathBuf,
}

impl Cgroups {
    /// Mounts the hierarchy and creates the cgroup.
    ///
    /// # Panics
    ///
    /// If it cannot.
    #[track_caller]
    pub fn mount() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        duct::cmd!("mount", "-t", "cgroup2", "none", folder.path())
            .run()
            .expect("it can be mounted");
        // All mounts show the same groups, also those of tests that were killed.
        let name = folder.path().file_name().expect("it has a name");
        let group = folder.path().join(format!("test-{}", name.display()));
        fs::create_dir(&group).expect("a group can be made");
        Self { folder, group }
    }

    /// The folder of the hierarchy's root.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the cgroup.
    pub fn group(&self) -> &Path {
        &self.group
    }

    /// Creates a cgroup below the test's own; returns its folder.
    ///
    /// # Panics
    ///
    /// If it cannot.
    #[track_caller]
    pub fn below(&self, name: &str) -> PathBuf {
        let folder = self.group.join(name);
        fs::create_dir(&folder).expect("a group can be made");
        folder
    }

    /// Makes `command` start in the cgroup.
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
        // The processes in it have ended, unless the test failed.
        for entry in fs::read_dir(&self.group).into_iter().flatten().flatten() {
            // Fails for files, which is fine.
            let _ = fs::remove_dir(entry.path());
        }
        let _ = fs::remove_dir(&self.group);
        let _ = duct::cmd!("umount", self.folder.path()).run();
    }
}
