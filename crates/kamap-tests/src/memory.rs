//! Cgroups with a memory limit.

use std::fs;
use std::process::Command;

use crate::group::{Group, Version};

/// A memory cgroup for the test. It is removed on drop; the processes in it must have ended.
#[derive(Debug)]
pub struct MemoryGroup(Group);

impl MemoryGroup {
    /// Creates a cgroup without a limit.
    ///
    /// # Panics
    ///
    /// If the machine has no memory cgroups, or one cannot be created.
    #[track_caller]
    pub fn new() -> Self {
        Self(Group::new("memory"))
    }

    /// Sets the limit. Returns whether the kernel accepted it: it refuses if more memory is in use
    /// already.
    pub fn limit(&self, bytes: u64) -> bool {
        let file = match self.0.version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        };
        fs::write(self.0.folder.join(file), bytes.to_string()).is_ok()
    }

    /// Makes `command` start in the cgroup.
    pub fn hold<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        self.0.hold(command)
    }

    /// How many processes the kernel has killed because of the limit.
    ///
    /// # Panics
    ///
    /// If the kernel does not report it.
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
