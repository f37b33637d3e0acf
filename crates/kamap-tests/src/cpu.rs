//! CPU and priority of a thread, and numbers of repetitions.

use std::{fs, io};

/// Pins the calling thread to `cpu`.
///
/// # Panics
///
/// If it cannot.
#[track_caller]
pub fn run_on(cpu: usize) {
    // SAFETY: a `cpu_set_t` is plain bits, of which none is set; then it is valid
    // for reading.
    let set = unsafe {
        let mut cpus: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut cpus);
        libc::sched_setaffinity(0, size_of_val(&cpus), &cpus)
    };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

/// Makes the calling thread run before all others that have not called this, whenever it is
/// runnable.
///
/// # Panics
///
/// If it cannot.
#[track_caller]
pub fn run_first() {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: `priority` is valid for reading.
    let set = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &priority) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

/// `times`, or a tenth of it if QEMU emulates the CPU, which is about twenty times slower. Use it
/// to repeat what is the same each time, not what depends on chance.
///
/// # Panics
///
/// If the type of the CPU cannot be read.
#[track_caller]
pub fn repetitions(times: u64) -> u64 {
    let cpus = fs::read_to_string("/proc/cpuinfo").expect("/proc is mounted");
    // The name of QEMU's emulated CPU.
    let emulated = cpus.lines().any(|line| line.contains("QEMU TCG CPU"));
    if emulated { times / 10 } else { times }
}

/// How many CPUs the machine can have.
///
/// # Panics
///
/// If the kernel does not report it.
#[track_caller]
pub fn possible_cpus() -> usize {
    libbpf_rs::num_possible_cpus().expect("it can be counted")
}
