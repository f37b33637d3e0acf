//! What the programs count.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libbpf_rs::libbpf_sys;

use crate::maps::{Array, Map, PerCpuArray};
use crate::skel::types::{bss, kamap_counters};
use crate::{Error, Losses, Result, Seen};

/// The programs, and what they count.
#[derive(Debug)]
pub(crate) struct Counts {
    /// The programs of the tracepoints.
    programs: Vec<OwnedFd>,
    counters: Map<PerCpuArray<kamap_counters>>,
    globals: Map<Array<bss>>,
}

impl Counts {
    pub(crate) fn new(
        programs: Vec<OwnedFd>,
        counters: Map<PerCpuArray<kamap_counters>>,
        globals: Map<Array<bss>>,
    ) -> Self {
        Self {
            programs,
            counters,
            globals,
        }
    }

    /// How many writes to the table have come to nothing.
    pub(crate) fn refused(&self) -> Result<u64> {
        Ok(self.counters()?.refused + self.recursion_misses()?)
    }

    pub(crate) fn next_seq(&self) -> Result<u64> {
        Ok(self.globals.get(&0)?.map_or(0, |bss| bss.events_put))
    }

    pub(crate) fn losses(&self) -> Result<Losses> {
        let globals = self.globals.get(&0)?;
        let refused = globals.map_or(0, |bss| bss.first_refused);
        let counters = self.counters()?;
        Ok(Losses {
            table_full: counters.table_full,
            first_refused_pid: (refused != 0).then_some(refused),
            ring_full: globals.map_or(0, |bss| bss.events_lost),
            missed_runs: counters.skipped + self.recursion_misses()?,
            args_cut: counters.args_cut,
            event_args_cut: counters.event_args_cut,
        })
    }

    pub(crate) fn seen(&self) -> Result<Seen> {
        let counters = self.counters()?;
        Ok(Seen {
            fork: counters.forks,
            exec: counters.execs,
            exit: counters.exits,
        })
    }

    /// Runs of the programs that the kernel skipped.
    fn recursion_misses(&self) -> Result<u64> {
        let programs = self.programs.iter();
        programs
            .map(|program| recursion_misses(program.as_fd()))
            .sum()
    }

    /// The sum over all CPUs.
    fn counters(&self) -> Result<kamap_counters> {
        let mut sum = kamap_counters::default();
        for cpu in self.counters.get(&0)?.iter().flat_map(|cpus| cpus.iter()) {
            sum.forks += cpu.forks;
            sum.execs += cpu.execs;
            sum.exits += cpu.exits;
            sum.table_full += cpu.table_full;
            sum.args_cut += cpu.args_cut;
            sum.event_args_cut += cpu.event_args_cut;
            sum.skipped += cpu.skipped;
            sum.refused += cpu.refused;
        }
        Ok(sum)
    }
}

/// How often the kernel skipped a program to avoid recursion (since 5.12).
fn recursion_misses(program: BorrowedFd<'_>) -> Result<u64> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut len = size_of_val(&info) as u32;
    // SAFETY: `info` is valid for writes of `len` bytes, and all 0 it asks for
    // nothing that would need a buffer.
    let ret =
        unsafe { libbpf_sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &mut info, &mut len) };
    if ret < 0 {
        return Err(Error::System {
            action: "ask for a program's statistics",
            source: io::Error::from_raw_os_error(-ret),
        });
    }
    Ok(info.recursion_misses)
}
