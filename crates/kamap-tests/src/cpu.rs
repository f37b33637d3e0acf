//! Where, and before what, a thread runs, and how often it may repeat something.

use std::{fs, io};

/// Has the calling thread run on `cpu` alone.
///
/// # Panics
///
/// If it may not.
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

/// Has the calling thread run before all others that have not called this, as soon
/// as there is something for it to do.
///
/// # Panics
///
/// If it may not.
#[track_caller]
pub fn run_first() {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: `priority` is valid for reading.
    let set = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &priority) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

/// `times`, or a tenth of it where QEMU emulates the CPU: there all takes twenty times as
/// long. For what is the same each time; what depends on chance is not to have less of it.
///
/// # Panics
///
/// If it is not known what the CPU is.
#[track_caller]
pub fn repetitions(times: u64) -> u64 {
    let cpus = fs::read_to_string("/proc/cpuinfo").expect("/proc is mounted");
    // The name that QEMU gives to its own.
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
