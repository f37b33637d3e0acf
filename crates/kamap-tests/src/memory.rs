//! Groups of processes whose memory is bounded.

use std::fs;
use std::process::Command;

use crate::group::{Group, Version};

/// A memory cgroup of the test's own. Dropped, it is removed; what was in it must have ended.
#[derive(Debug)]
pub struct MemoryGroup(Group);

impl MemoryGroup {
    /// A new group without a limit.
    ///
    /// # Panics
    ///
    /// If this machine has no memory cgroups, or none can be made.
    #[track_caller]
    pub fn new() -> Self {
        Self(Group::new("memory"))
    }

    /// Bounds the memory of all in the group; tells whether the kernel agreed: it may
    /// be that more is in use already.
    pub fn limit(&self, bytes: u64) -> bool {
        let file = match self.0.version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        };
        fs::write(self.0.folder.join(file), bytes.to_string()).is_ok()
    }

    /// Lets `command` start in the group.
    pub fn hold<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        self.0.hold(command)
    }

    /// How often the kernel killed a process for the limit.
    ///
    /// # Panics
    ///
    /// If it does not tell.
    #[track_caller]
    pub fn kills(&self) -> u64 {
        let file = match self.0.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let text = fs::read_to_string(self.0.folder.join(file)).expect("it can be read");
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.expect("it is told").parse().expect("it is a number")
    }
}

impl Default for MemoryGroup {
    fn default() -> Self {
        Self::new()
    }
}
