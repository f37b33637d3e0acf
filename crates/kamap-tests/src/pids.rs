//! Groups in which no process or thread can be started.

use std::fs;
use std::process::Command;

use crate::group::Group;

/// A pids cgroup that has room for one process with one thread. Dropped, it is removed; what
/// was in it must have ended.
#[derive(Debug)]
pub struct FullGroup(Group);

impl FullGroup {
    /// A new group.
    ///
    /// # Panics
    ///
    /// If this machine has no pids cgroups, or none can be made.
    #[track_caller]
    pub fn new() -> Self {
        let group = Group::new("pids");
        fs::write(group.folder.join("pids.max"), "1").expect("it can be bounded");
        Self(group)
    }

    /// Lets `command` start in the group.
    pub fn hold<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        self.0.hold(command)
    }
}

impl Default for FullGroup {
    fn default() -> Self {
        Self::new()
    }
}
