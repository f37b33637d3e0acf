//! Fixtures of the integration suite: children that wait to be released, waits
//! with a bound, and what the kernel says by other ways than kamap's.
//!
//! All of them panic at the caller's place.

mod bpffs;
mod cgroups;
mod cpu;
mod flag;
mod group;
mod held;
mod loaded;
mod memory;
mod never;
mod pids;
mod planted;
mod proc;
mod terminal;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

pub use bpffs::BpfFs;
pub use cgroups::Cgroups;
pub use cpu::{repetitions, run_first, run_on};
pub use flag::SetOnDrop;
pub use held::Held;
pub use loaded::Loaded;
pub use memory::MemoryGroup;
pub use never::Never;
pub use pids::FullGroup;
pub use planted::Planted;
pub use proc::{Stat, processes, stat, ticks};
pub use terminal::OnTerminal;

/// How long anything may take that does not depend on load alone.
const PATIENCE: Duration = Duration::from_secs(60);

/// Path of a program that does what `held` does, linked statically.
pub const TINY: &str = env!("TINY");

/// Where bpftool is. What Ubuntu has in its place may know the running kernel's only.
///
/// # Panics
///
/// If there is none.
#[track_caller]
pub fn bpftool() -> PathBuf {
    let folders = ["/usr/lib/linux-tools", "/usr/lib"].into_iter();
    let versions = folders.filter_map(|folder| std::fs::read_dir(folder).ok());
    let kernels = versions
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bpftool")));
    let mut programs = std::iter::once(PathBuf::from("bpftool")).chain(kernels);
    let runs = |program: &PathBuf| {
        let output = Command::new(program).arg("version").output();
        output.is_ok_and(|output| output.status.success())
    };
    programs
        .find(runs)
        .expect("bpftool is installed: `ci/setup test`")
}

/// Waits until `ready` gives something.
///
/// # Panics
///
/// If it does not within a minute.
#[track_caller]
pub fn eventually<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

/// Lets this process have as many open files as it may: each [`Held`] takes two.
///
/// # Panics
///
/// If it cannot.
#[track_caller]
pub fn allow_many_files() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for writing, then for reading.
    let set = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit)
    };
    assert_eq!(set, 0, "the limit of open files can be raised");
}
