//! Cgroups with limits.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::eventually;

/// A cgroup for the test, of the version that this machine has mounted for the controller. It is
/// removed on drop; the processes in it must have ended.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) folder: PathBuf,
    pub(crate) version: Version,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Version {
    One,
    Two,
}

impl Group {
    /// Creates a cgroup without a limit.
    ///
    /// # Panics
    ///
    /// If the machine does not have this controller, or a cgroup cannot be created.
    #[track_caller]
    pub(crate) fn new(controller: &str) -> Self {
        let one = format!("/sys/fs/cgroup/{controller}");
        let (above, version) = [
            (&*one, Version::One),
            ("/sys/fs/cgroup/unified", Version::Two),
            ("/sys/fs/cgroup", Version::Two),
        ]
        .into_iter()
        .find(|(mount, version)| match version {
            // A file that only version 1 has.
            Version::One => Path::new(mount).join("tasks").exists(),
            Version::Two => fs::read_to_string(Path::new(mount).join("cgroup.subtree_control"))
                .is_ok_and(|enabled| enabled.split_whitespace().any(|name| name == controller)),
        })
        .unwrap_or_else(|| {
            panic!("{controller} cgroups are mounted, and enabled in cgroup.subtree_control")
        });
        let folder = Path::new(above).join(format!("kamap-test-{}", std::process::id()));
        fs::create_dir(&folder).expect("a group can be made");
        Self { folder, version }
    }

    /// Makes `command` start in the cgroup.
    pub(crate) fn hold<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let procs = self.folder.join("cgroup.procs");
        let procs = fs::OpenOptions::new().write(true).open(procs);
        let procs = procs.expect("processes can be moved");
        // SAFETY: a write(2) of constant bytes to a descriptor that is open, and
        // nothing else.
        unsafe { command.pre_exec(move || io::Write::write_all(&mut &procs, b"0")) }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process leaves its cgroup a moment after it has ended.
        eventually("the group is empty", || {
            fs::remove_dir(&self.folder).is_ok().then_some(())
        });
    }
}
