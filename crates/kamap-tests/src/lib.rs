//! Fixtures of the integration suite, by subject. What makes something removes it when it is dropped.
//! All of them panic at the caller's place.
//!
//! | subject | fixtures |
//! |---|---|
//! | children | [`Held`] waits until it is released, [`Tiny`] is for many, [`OnTerminal`] has a terminal |
//! | executables | [`TINY`], [`elf`], [`executable`] |
//! | a tracker | [`table`] has its rows, [`stream`] its events; [`Planted`] writes into its maps |
//! | the command | [`command`] has its tables, its events and its output |
//! | /proc | [`stat`], [`processes`], [`ticks`] |
//! | BPF objects | [`Loaded`], [`Program`], [`typed`], [`Congestion`], [`maps`], [`BpfFs`], [`bpftool`] |
//! | groups | [`Cgroups`], [`MemoryGroup`], [`FullGroup`] |
//! | time and CPUs | [`eventually`], [`repetitions`], [`run_on`], [`run_first`], [`possible_cpus`], [`SetOnDrop`] |
//! | limits and faults | [`allow_many_files`], [`Never`] |

/// The module of the skeleton that `build.rs` generates of `bpf/NAME.bpf.c`, with the same name.
#[macro_export]
macro_rules! skeleton {
    ($name:ident) => {
        #[allow(
            clippy::allow_attributes_without_reason,
            clippy::undocumented_unsafe_blocks,
            clippy::unwrap_used,
            missing_debug_implementations,
            unreachable_pub,
            reason = "generated code"
        )]
        mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".skel.rs"));
        }
    };
}

mod bpffs;
mod cgroups;
pub mod command;
mod congestion;
mod cpu;
pub mod elf;
mod files;
mod flag;
mod group;
mod held;
mod loaded;
pub mod maps;
mod memory;
mod never;
mod pids;
mod planted;
mod proc;
mod program;
pub mod stream;
pub mod table;
mod terminal;
mod tiny;
pub mod typed;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

pub use bpffs::BpfFs;
pub use cgroups::Cgroups;
pub use congestion::Congestion;
pub use cpu::{possible_cpus, repetitions, run_first, run_on};
pub use files::executable;
pub use flag::SetOnDrop;
pub use held::Held;
pub use loaded::Loaded;
pub use memory::MemoryGroup;
pub use never::Never;
pub use pids::FullGroup;
pub use planted::Planted;
pub use proc::{Stat, processes, stat, ticks};
pub use program::Program;
pub use terminal::OnTerminal;
pub use tiny::Tiny;

/// How long to wait for anything that should happen soon.
const PATIENCE: Duration = Duration::from_secs(60);

/// Path of a statically linked program that behaves like `held`.
pub const TINY: &str = env!("TINY");

/// The path of bpftool. On Ubuntu, `bpftool` can be a wrapper that only works for the kernel it
/// came with.
///
/// # Panics
///
/// If it is not installed.
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

/// Waits until `ready` returns a value, for at most a minute.
///
/// # Panics
///
/// If it does not.
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

/// Raises the limit of open files as far as possible. Each [`Held`] needs two.
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
