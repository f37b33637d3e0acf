//! Cgroups in which no process or thread can be started.

use std::fs;
use std::process::Command;

use crate::group::Group;

/// A pids cgroup with room for one process of one thread. It is removed on drop; the process in it
/// must have ended.
#[derive(Debug)]
pub struct FullGroup(Group);

impl FullGroup {
    /// Creates a cgroup.
    ///
    /// # Panics
    ///
    /// If the machine has no pids cgroups, or one cannot be created.
    #[track_caller]
    pub fn new() -> Self {
        let group = Group::new("pids");
        fs::write(group.folder.join("pids.max"), "1").expect("it can be bounded");
        Self(group)
    }

    /// Makes `command` start in the cgroup.
    pub fn hold<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        self.0.hold(command)
    }
}

impl Default for FullGroup {
    fn default() -> Self {
        Self::new()
    }
}
