//! Loading and attaching the programs: the only module that drives libbpf.

use std::fs::{self, File};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::slice;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{AsRawLibbpf, OpenObject, ProgramMut};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::attached::{Attached, Link, Shared, duplicate};
use crate::kernel_types::Btf;
use crate::maps::{Map, open_cpu_clocks};
use crate::options::Options;
use crate::signals::Blocked;
use crate::skel::types::{kamap_default, kamap_type_ids};
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
    let kernel = fs::read(KERNEL_TYPES).map_err(types_not_read)?;
    let kernel =
        Btf::parse(&kernel).ok_or_else(|| types_not_read(io::ErrorKind::InvalidData.into()))?;
    let types = memfd_create("kamap-types", MFdFlags::MFD_CLOEXEC);
    let mut types = File::from(types.map_err(|err| types_not_read(err.into()))?);
    let mut builder = KamapSkelBuilder::default();
    builder
        .object_builder_mut()
        .btf_custom_path(format!("/proc/self/fd/{}", types.as_raw_fd()))
        .map_err(failed_to("open the BPF object"))?;
    let mut open = builder
        .open(&mut storage)
        .map_err(failed_to("open the BPF object"))?;
    let reduced = types_of(open.open_object()).and_then(|of| kernel.reduced(&of.names()));
    let written = match reduced {
        Some(reduced) => types.write_all(&reduced),
        None => Err(io::ErrorKind::InvalidData.into()),
    };
    written.map_err(types_not_read)?;
    configure(&mut open, options, &kernel, max_entries)?;
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

const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";

fn types_not_read(source: io::Error) -> Error {
    Error::System {
        action: "read the types of the kernel",
        source,
    }
}

/// The types of an object and its programs.
fn types_of(object: &OpenObject) -> Option<Btf<'_>> {
    let mut len = 0;
    // SAFETY: the object is valid, so what it returns is its BTF or null, and lives as long. That has its
    // data in one piece, of the length that is written to `len`, and nobody changes it.
    let data = unsafe {
        let btf = libbpf_sys::bpf_object__btf(object.as_libbpf_object().as_ptr());
        if btf.is_null() {
            return None;
        }
        let data = libbpf_sys::btf__raw_data(btf, &raw mut len);
        if data.is_null() {
            return None;
        }
        slice::from_raw_parts(data.cast::<u8>(), len as usize)
    };
    Btf::parse(data)
}

/// Fits the programs to this kernel and the table to its size.
fn configure(
    open: &mut OpenKamapSkel<'_>,
    options: &Options,
    kernel: &Btf<'_>,
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
    let type_id = |name| {
        let missing = || types_not_read(io::ErrorKind::NotFound.into());
        kernel.find_struct(name).ok_or_else(missing)
    };
    rodata.type_ids = kamap_type_ids {
        task_struct: type_id("task_struct")?,
        dentry: type_id("dentry")?,
        mount: type_id("mount")?,
    };
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
    let prepare_exec = exec_failed && kernel.has_typedef("btf_trace_sched_prepare_exec");
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

fn possible_cpus() -> Result<u32, Failure> {
    let count = libbpf_rs::num_possible_cpus();
    Ok(count.map_err(failed_to("count the possible CPUs"))? as u32)
}
