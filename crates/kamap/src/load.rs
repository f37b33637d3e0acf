//! Loading and attaching the programs: the only module that drives libbpf.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use libbpf_rs::ProgramMut;
use libbpf_rs::btf::{Btf, BtfType};
use libbpf_rs::skel::{OpenSkel, SkelBuilder};

use crate::attached::{Attached, Link, Shared, duplicate};
use crate::maps::{Map, open_cpu_clocks};
use crate::options::Options;
use crate::signals::Blocked;
use crate::skel::types::kamap_default;
use crate::skel::{KamapSkelBuilder, OpenKamapSkel};
use crate::{Error, Kinds, Result, libbpf_log};

/// Loads the programs and attaches them as `options` say.
pub(crate) fn load(options: &Options) -> Result<Attached> {
    let max_entries = options.checked_max_entries()?;
    let (loaded, log) = libbpf_log::capture(|| {
        let _blocked = Blocked::new();
        load_logged(options, max_entries)
    });
    loaded.map_err(|failure| match failure {
        Failure::Libbpf(action, source) => Error::from_libbpf(action, source, log, max_entries),
        Failure::Other(err) => err,
    })
}

/// What a start fails with, before libbpf's log is looked at.
enum Failure {
    /// What was tried, and what libbpf said.
    Libbpf(&'static str, libbpf_rs::Error),
    Other(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(err: E) -> Self {
        Self::Other(err.into())
    }
}

fn failed_to(action: &'static str) -> impl FnOnce(libbpf_rs::Error) -> Failure {
    move |source| Failure::Libbpf(action, source)
}

fn load_logged(options: &Options, max_entries: u32) -> Result<Attached, Failure> {
    // The skeleton borrows this, so it ends with this function. What is kept of it are
    // file descriptors of their own.
    let mut storage = MaybeUninit::uninit();
    let mut open = KamapSkelBuilder::default()
        .open(&mut storage)
        .map_err(failed_to("open the BPF object"))?;
    configure(&mut open, options, max_entries)?;
    let skel = open.load().map_err(failed_to("load the BPF programs"))?;

    let (maps, progs) = (&skel.maps, &skel.progs);
    let wanted = options.events.wanted();
    if wanted.contains(Kinds::EXIT) {
        open_cpu_clocks(maps.cpu_clocks.as_fd()).map_err(|source| Error::System {
            action: "open the clock of a CPU",
            source,
        })?;
    }
    let ring = match wanted == Kinds::default() {
        true => None,
        false => Some(duplicate(maps.events.as_fd())?),
    };
    // Exit first: else a process that starts and ends in between would stay.
    let mut hooks = vec![
        ("on_exit", &progs.on_exit),
        ("on_exec", &progs.on_exec),
        ("on_fork", &progs.on_fork),
    ];
    if wanted.contains(Kinds::EXEC_FAILED) {
        hooks.push(("on_exec_failed", &progs.on_exec_failed));
        if progs.on_prepare_exec.autoload() {
            hooks.push(("on_prepare_exec", &progs.on_prepare_exec));
        }
    }
    let (mut links, mut programs) = (Vec::new(), Vec::new());
    for (name, program) in hooks {
        let link = program.attach().map_err(failed_to("attach a program"))?;
        links.push(Link {
            program: name,
            fd: duplicate(link.as_fd())?,
        });
        programs.push(duplicate(program.as_fd())?);
    }
    let iterator = failed_to("attach a task iterator");
    let seed = progs.seed.attach().map_err(iterator)?;
    let iterator = failed_to("attach a task iterator");
    let tasks = progs.tasks.attach().map_err(iterator)?;
    let shared = match &options.shared {
        Some(_) => {
            let iterator = |program: &ProgramMut<'_>| -> Result<_, Failure> {
                let link = program.attach().map_err(failed_to("attach an iterator"))?;
                Ok(duplicate(link.as_fd())?)
            };
            Some(Shared {
                description: Map::from_skeleton(&maps.description)?,
                reader: duplicate(maps.reader.as_fd())?,
                table: iterator(&progs.table)?,
                rows: iterator(&progs.rows)?,
                status: iterator(&progs.status)?,
                failed_execs: match wanted.contains(Kinds::EXEC_FAILED) {
                    true => Some(duplicate(maps.failed_execs.as_fd())?),
                    false => None,
                },
                mark: match ring {
                    Some(_) => Some(duplicate(progs.mark.as_fd())?),
                    None => None,
                },
            })
        }
        None => None,
    };
    Ok(Attached {
        links,
        programs,
        rows: Map::from_skeleton(&maps.processes)?,
        given_args: Map::from_skeleton(&maps.given_args)?,
        counters: Map::from_skeleton(&maps.counters)?,
        globals: Map::from_skeleton(&maps.bss)?,
        seed: duplicate(seed.as_fd())?,
        tasks: duplicate(tasks.as_fd())?,
        ring,
        shared,
    })
}

/// Fits the programs to this kernel and the table to its size.
fn configure(
    open: &mut OpenKamapSkel<'_>,
    options: &Options,
    max_entries: u32,
) -> Result<(), Failure> {
    let ring_size = options.checked_ring_size()?;
    let wanted = options.events.wanted();
    let rodata = open
        .maps
        .rodata_data
        .as_deref_mut()
        .expect("the object has read-only data");
    rodata.wanted_events = wanted.0;
    rodata.filter = options.events.encode()?;
    rodata.max_args = options.checked_max_args();
    rodata.max_ancestors = options.ancestors;
    rodata.follow_child_of = options.follow_child_of;
    rodata.wake_at = ring_size / kamap_default::KAMAP_DEFAULT_WAKE_PARTS.0;
    let cpus = possible_cpus()?;
    rodata.possible_cpus = cpus;
    if let Some(shared) = &options.shared {
        rodata.is_shared = 1;
        rodata.generation = shared.generation;
        rodata.replaces = u32::from(shared.generation > 0);
        let takes_over_ring = shared.maps.iter().any(|(name, _)| *name == "events");
        rodata.takes_over_ring = takes_over_ring.into();
    }
    let events = &mut open.maps.events;
    if wanted == Kinds::default() {
        events
            .set_autocreate(false)
            .map_err(failed_to("leave out the ring of events"))?;
    } else {
        events
            .set_max_entries(ring_size)
            .map_err(failed_to("set the size of the ring of events"))?;
    }
    let exec_failed = wanted.contains(Kinds::EXEC_FAILED);
    let prepare_exec = exec_failed && has_prepare_exec()?;
    open.progs.on_exec_failed.set_autoload(exec_failed);
    open.progs.on_prepare_exec.set_autoload(prepare_exec);
    let has_ring = wanted != Kinds::default();
    open.progs
        .mark
        .set_autoload(has_ring && options.shared.is_some());
    for program in [
        &mut open.progs.table,
        &mut open.progs.rows,
        &mut open.progs.status,
    ] {
        program.set_autoload(options.shared.is_some());
    }
    for (map, is_wanted) in [
        (&mut open.maps.description, options.shared.is_some()),
        (&mut open.maps.reader, options.shared.is_some()),
        (
            &mut open.maps.failed_execs,
            exec_failed && options.shared.is_some(),
        ),
        (&mut open.maps.cpu_clocks, wanted.contains(Kinds::EXIT)),
        (&mut open.maps.clock_leads, wanted.contains(Kinds::EXIT)),
        (&mut open.maps.long_paths, wanted.contains(Kinds::EXEC)),
        (&mut open.maps.attempts, prepare_exec),
    ] {
        map.set_autocreate(is_wanted)
            .map_err(failed_to("leave out a map"))?;
    }
    open.maps
        .counters
        .set_max_entries(cpus)
        .map_err(failed_to("set the number of counters"))?;
    for map in [&mut open.maps.processes, &mut open.maps.given_args] {
        map.set_max_entries(max_entries)
            .map_err(failed_to("set the size of the table"))?;
    }
    take_over(open, options)
}

/// Takes the maps of the tracker that this one replaces.
fn take_over(open: &mut OpenKamapSkel<'_>, options: &Options) -> Result<(), Failure> {
    let maps = options.shared.iter().flat_map(|shared| &shared.maps);
    for (name, fd) in maps {
        let map = match *name {
            "processes" => &mut open.maps.processes,
            "given_args" => &mut open.maps.given_args,
            "counters" => &mut open.maps.counters,
            "globals" => &mut open.maps.bss,
            "reader" => &mut open.maps.reader,
            "events" => &mut open.maps.events,
            "failed_execs" => &mut open.maps.failed_execs,
            _ => continue,
        };
        if map.autocreate() {
            map.reuse_fd(fd.as_fd())
                .map_err(failed_to("take over a map"))?;
        }
    }
    Ok(())
}

/// Whether the kernel has the tracepoint before the point of no return of an exec (since 6.10).
fn has_prepare_exec() -> Result<bool, Failure> {
    let types = Btf::from_vmlinux().map_err(failed_to("read the types of the kernel"))?;
    Ok(types
        .type_by_name::<BtfType<'_>>("btf_trace_sched_prepare_exec")
        .is_some())
}

fn possible_cpus() -> Result<u32, Failure> {
    let count = libbpf_rs::num_possible_cpus();
    Ok(count.map_err(failed_to("count the possible CPUs"))? as u32)
}
