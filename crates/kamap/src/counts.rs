//! What the programs count.

use crate::iterator::BpfIterator;
use crate::maps::{Array, Map};
use crate::programs::Programs;
use crate::skel::take;
use crate::skel::types::{bss, kamap_counters, kamap_printed_status};
use crate::{Error, Losses, Result, Seen};

/// Where the counts are.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a reader has one")]
pub(crate) enum Counts {
    Maps {
        programs: Programs,
        counters: Map<Array<kamap_counters>>,
        globals: Map<Array<bss>>,
    },
    /// An iterator prints them.
    Printed(BpfIterator),
}

/// All counts at one time.
#[derive(Clone, Copy, Debug, Default)]
struct Read {
    /// The sum over all CPUs.
    counters: kamap_counters,
    /// Runs of the programs that the kernel skipped.
    missed_runs: u64,
    events_put: u64,
    events_lost: u64,
    first_refused: u32,
}

impl Counts {
    /// How many writes to the table have come to nothing.
    pub(crate) fn refused(&self) -> Result<u64> {
        let read = self.read()?;
        Ok(read.counters.refused + read.missed_runs)
    }

    pub(crate) fn next_seq(&self) -> Result<u64> {
        match self {
            Self::Maps { globals, .. } => Ok(globals.get(&0)?.map_or(0, |bss| bss.events_put)),
            Self::Printed(_) => Ok(self.read()?.events_put),
        }
    }

    pub(crate) fn losses(&self) -> Result<Losses> {
        let read = self.read()?;
        let (counters, first_refused) = (read.counters, read.first_refused);
        Ok(Losses {
            table_full: counters.table_full,
            first_refused_pid: (first_refused != 0).then_some(first_refused),
            ring_full: read.events_lost,
            missed_runs: counters.skipped + read.missed_runs,
            args_cut: counters.args_cut,
            event_args_cut: counters.event_args_cut,
        })
    }

    pub(crate) fn seen(&self) -> Result<Seen> {
        let counters = self.read()?.counters;
        Ok(Seen {
            fork: counters.forks,
            exec: counters.execs,
            exit: counters.exits,
        })
    }

    fn read(&self) -> Result<Read> {
        let (programs, counters, globals) = match self {
            Self::Maps {
                programs,
                counters,
                globals,
            } => (programs, counters, globals),
            Self::Printed(iterator) => {
                let (status, cpus) = printed_status(iterator)?;
                return Ok(Read {
                    counters: sum(cpus),
                    // Of those that are attached, only who may open a program is told.
                    missed_runs: status.description.missed_before,
                    events_put: status.events_put,
                    events_lost: status.events_lost,
                    first_refused: status.first_refused,
                });
            }
        };
        let globals = globals.get(&0)?;
        let cpus = counters.values().collect::<Result<Vec<_>, _>>()?;
        Ok(Read {
            counters: sum(cpus),
            missed_runs: programs.missed_runs()?,
            events_put: globals.map_or(0, |bss| bss.events_put),
            events_lost: globals.map_or(0, |bss| bss.events_lost),
            first_refused: globals.map_or(0, |bss| bss.first_refused),
        })
    }
}

/// What the iterator `status` prints: the description and some counts, then the counters of each CPU.
pub(crate) fn printed_status(
    iterator: &BpfIterator,
) -> Result<(kamap_printed_status, Vec<kamap_counters>)> {
    let printed = iterator.run()?;
    let Some((status, mut rest)) = take::<kamap_printed_status>(&printed) else {
        return Err(Error::Record { len: printed.len() });
    };
    let mut cpus = Vec::new();
    while let Some((cpu, others)) = take(rest) {
        cpus.push(cpu);
        rest = others;
    }
    Ok((status, cpus))
}

fn sum(cpus: impl IntoIterator<Item = kamap_counters>) -> kamap_counters {
    let mut sum = kamap_counters::default();
    for cpu in cpus {
        sum.forks += cpu.forks;
        sum.execs += cpu.execs;
        sum.exits += cpu.exits;
        sum.table_full += cpu.table_full;
        sum.args_cut += cpu.args_cut;
        sum.event_args_cut += cpu.event_args_cut;
        sum.skipped += cpu.skipped;
        sum.refused += cpu.refused;
    }
    sum
}
