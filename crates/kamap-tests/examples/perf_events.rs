//! A perf event array: a program on the exec tracepoint sends the PID and a cookie
//! (`bpf_perf_event_output`), and this program receives them. Run as root:
//! `cargo run --example perf_events`.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use kamap_bpf::{MapData, PerfEventArray, Sample};
use libbpf_rs::skel::{OpenSkel, SkelBuilder};

#[allow(
    clippy::allow_attributes_without_reason,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    reason = "generated code"
)]
mod skel {
    include!(concat!(env!("OUT_DIR"), "/perf_events.skel.rs"));
}

/// The format of the samples: `struct event` in `bpf/perf_events.bpf.c`.
#[derive(Clone, Copy, MapData)]
#[repr(C)]
struct Event {
    pid: u64,
    cookie: u64,
}

const CHILDREN: usize = 5;

fn main() -> anyhow::Result<()> {
    let mut storage = MaybeUninit::uninit();
    let mut open = skel::PerfEventsSkelBuilder::default().open(&mut storage)?;
    let rodata = open.maps.rodata_data.as_deref_mut();
    rodata.context("the object has read-only data")?.parent = std::process::id();
    let skel = open.load()?;

    // Opens a buffer for each CPU and inserts it into the map before the program sends anything.
    // Every sample wakes this thread.
    let map = skel.maps.events.as_fd().try_clone_to_owned()?;
    let mut events = PerfEventArray::<Event>::from_fd(map, 64 * 1024, 1)?;
    println!("listening: {events:?}");
    let _link = skel.progs.on_exec.attach()?;

    let mut expected = BTreeSet::new();
    for _ in 0..CHILDREN {
        let mut child = Command::new("true").spawn()?;
        println!("started {}", child.id());
        expected.insert(u64::from(child.id()));
        child.wait()?;
    }

    let mut lost = 0;
    while !expected.is_empty() {
        ensure!(events.wait(Duration::from_secs(10))?, "no event came");
        while let Some(sample) = events.read()? {
            match sample {
                Sample::Event { cpu, event } => {
                    let Event { pid, cookie } = event;
                    println!("CPU {cpu}: pid {pid} has exec'd, cookie {cookie:#x}");
                    ensure!(expected.remove(&pid), "it is no child of this process");
                }
                Sample::Lost { cpu, count } => {
                    println!("CPU {cpu}: {count} lost");
                    lost += count;
                }
                // Later versions may return more.
                _ => {}
            }
        }
    }
    println!("all {CHILDREN} have been seen, {lost} lost");
    Ok(())
}
