//! A map that the kernel writes and this program reads: programs on exec and exit keep the processes
//! that have exec'd in it. They are printed twice a second until Ctrl-C. Run as root:
//! `cargo run --example kernel_and_user_map`.
//!
//! `kamap` began like this. What it takes to be exact is in `bpf/`.

use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kamap_bpf::{Hash, Map, MapData};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};

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
    include!(concat!(env!("OUT_DIR"), "/kernel_and_user_map.skel.rs"));
}

/// The format of the entries: `struct process` in `bpf/kernel_and_user_map.bpf.c`. When the map is
/// opened, both are compared field by field. Reading the map's BTF needs `CAP_SYS_ADMIN`; without
/// it, only the sizes are compared.
#[derive(Clone, Copy, Debug, MapData)]
#[repr(C)]
struct Process {
    exec_time: u64,
    ppid: u32,
    comm: [i8; 16],
}

fn main() -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&stop))?;

    let mut storage = MaybeUninit::uninit();
    let open = skel::KernelAndUserMapSkelBuilder::default().open(&mut storage)?;
    let mut skel = open.load()?;
    let processes = Map::<Hash<u32, Process>>::from_skeleton(&skel.maps.processes)?;
    skel.attach()?;
    println!("watching; end with Ctrl-C");

    while !stop.load(Ordering::Relaxed) {
        println!("{:>7} {:>7} {:>10}  NAME", "PID", "PPID", "EXEC'D");
        let mut count = 0;
        for entry in &processes {
            let (pid, process) = entry?;
            let name = process.comm.iter().map(|byte| byte.cast_unsigned());
            let name: Vec<u8> = name.take_while(|&byte| byte != 0).collect();
            let time = Duration::from_nanos(process.exec_time).as_secs_f64();
            println!(
                "{pid:>7} {:>7} {time:>9.3}s  {}",
                process.ppid,
                name.escape_ascii()
            );
            count += 1;
        }
        println!("{count} alive\n");
        thread::sleep(Duration::from_millis(500));
    }
    println!("detached; the map goes with its last handle");
    Ok(())
}
