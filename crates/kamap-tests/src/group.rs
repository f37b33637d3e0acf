//! Groups of processes that a controller bounds.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::eventually;

/// A cgroup of the test's own, of whichever version this machine has mounted for the
/// controller. Dropped, it is removed; what was in it must have ended.
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
    /// A new group without a limit.
    ///
    /// # Panics
    ///
    /// If this machine has no such controller, or no group can be made.
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
            // What only the first version has.
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

    /// Lets `command` start in the group.
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
        // What has ended leaves its group a moment later.
        eventually("the group is empty", || {
            fs::remove_dir(&self.folder).is_ok().then_some(())
        });
    }
}
