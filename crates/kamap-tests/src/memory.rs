//! Groups of processes whose memory is bounded.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::eventually;

/// A memory cgroup of the test's own, of whichever version this machine has mounted.
/// Dropped, it is removed; what was in it must have ended.
#[derive(Debug)]
pub struct MemoryGroup {
    folder: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug)]
enum Version {
    One,
    Two,
}

impl MemoryGroup {
    /// A new group without a limit.
    ///
    /// # Panics
    ///
    /// If this machine has no memory cgroups, or none can be made.
    #[track_caller]
    pub fn new() -> Self {
        let (above, version) = [
            ("/sys/fs/cgroup/memory", Version::One),
            ("/sys/fs/cgroup/unified", Version::Two),
            ("/sys/fs/cgroup", Version::Two),
        ]
        .into_iter()
        .find(|(mount, version)| match version {
            Version::One => Path::new(mount).join("memory.limit_in_bytes").exists(),
            Version::Two => fs::read_to_string(Path::new(mount).join("cgroup.subtree_control"))
                .is_ok_and(|enabled| enabled.split_whitespace().any(|name| name == "memory")),
        })
        .expect("memory cgroups are mounted, and enabled in cgroup.subtree_control");
        let folder = Path::new(above).join(format!("kamap-test-{}", std::process::id()));
        fs::create_dir(&folder).expect("a group can be made");
        Self { folder, version }
    }

    /// Bounds the memory of all in the group; tells whether the kernel agreed: it may
    /// be that more is in use already.
    pub fn limit(&self, bytes: u64) -> bool {
        let file = match self.version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        };
        fs::write(self.folder.join(file), bytes.to_string()).is_ok()
    }

    /// Lets `command` start in the group.
    pub fn hold<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let procs = self.folder.join("cgroup.procs");
        let procs = fs::OpenOptions::new().write(true).open(procs);
        let procs = procs.expect("processes can be moved");
        // SAFETY: a write(2) of constant bytes to a descriptor that is open, and
        // nothing else.
        unsafe { command.pre_exec(move || io::Write::write_all(&mut &procs, b"0")) }
    }

    /// How often the kernel killed a process for the limit.
    ///
    /// # Panics
    ///
    /// If it does not tell.
    #[track_caller]
    pub fn kills(&self) -> u64 {
        let file = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let text = fs::read_to_string(self.folder.join(file)).expect("it can be read");
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.expect("it is told").parse().expect("it is a number")
    }
}

impl Default for MemoryGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // What has ended leaves its group a moment later.
        eventually("the group is empty", || {
            fs::remove_dir(&self.folder).is_ok().then_some(())
        });
    }
}
