//! Samples of a perf event array in a tokio runtime: a program on the exec tracepoint sends the PID of
//! each child, and a task waits for them. Run as root:
//! `cargo run --example async_events`.

use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use kamap_bpf::{PerfEventArray, Sample};
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use tokio::io::unix::AsyncFd;

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

/// PID and cookie, as the program sends them.
type Event = [u64; 2];

const CHILDREN: usize = 5;

fn main() -> anyhow::Result<()> {
    let mut storage = MaybeUninit::uninit();
    let mut open = skel::PerfEventsSkelBuilder::default().open(&mut storage)?;
    let rodata = open.maps.rodata_data.as_deref_mut();
    rodata.context("the object has read-only data")?.parent = std::process::id();
    let skel = open.load()?;
    let events = PerfEventArray::<Event>::from_skeleton(&skel.maps.events, 64 * 1024, 1)?;
    let _link = skel.progs.on_exec.attach()?;

    let mut expected = BTreeSet::new();
    for _ in 0..CHILDREN {
        let mut child = Command::new("true").spawn()?;
        expected.insert(u64::from(child.id()));
        child.wait()?;
    }

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let seen = tokio::time::timeout(Duration::from_secs(10), see(events, expected));
        seen.await.context("no event came")?
    })?;
    println!("all {CHILDREN} have been seen");
    Ok(())
}

/// Reads until all expected PIDs have been seen.
async fn see(events: PerfEventArray<Event>, mut expected: BTreeSet<u64>) -> anyhow::Result<()> {
    // SAFETY: the array has the same open file descriptor as long as it lives.
    let mut events = unsafe { AsyncFd::register(events) }.map_err(io::Error::from)?;
    loop {
        // Read before waiting, because a wake-up before the registration may have been lost.
        while let Some(sample) = events.get_mut().read()? {
            if let Sample::Event { cpu, event } = sample {
                let [pid, _cookie] = event;
                println!("CPU {cpu}: pid {pid} has exec'd");
                ensure!(expected.remove(&pid), "it is no child of this process");
            }
        }
        if expected.is_empty() {
            return Ok(());
        }
        events.readable_mut().await?.clear_ready();
    }
}
