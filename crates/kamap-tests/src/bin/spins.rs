//! For each line `HOW NANOSECONDS` of its standard input, forks a child that uses the CPU, waits
//! for it, and prints its PID and what wait4(2) returns: the CPU time in microseconds and the
//! largest memory in KiB. `HOW` is:
//!
//! - `alone`: the child has one thread.
//! - `unnoticed`: the same, but it does not read its CPU time, because reading updates it.
//! - `together`: nine threads use this much CPU time each and end at the same moment.
//! - `leader-first`: the main thread uses its time and ends, then eight others do, at the same moment.
//! - `leader-last`: eight threads end one after the other, then the main thread.
//! - `ended`: the main thread ends the process, while eight others that have used their time wait.

use std::io;
use std::sync::Barrier;
use std::time::Duration;
use std::{ptr, thread};

const THREADS: usize = 8;

/// The CPU time of this process or thread.
fn time(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for writing.
    unsafe { libc::clock_gettime(clock, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn spin(clock: libc::clockid_t, until: Duration) {
    while time(clock) < until {}
}

fn spin_thread(duration: Duration) {
    spin(libc::CLOCK_THREAD_CPUTIME_ID, duration);
}

/// Ends the calling thread only.
fn leave() -> ! {
    // SAFETY: exit(2) takes one integer. It runs no destructor, and nothing here
    // relies on one.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("exit(2) does not return")
}

fn barrier(threads: usize) -> &'static Barrier {
    Box::leak(Box::new(Barrier::new(threads)))
}

fn child(how: &str, duration: Duration) -> ! {
    match how {
        "alone" => spin(libc::CLOCK_PROCESS_CPUTIME_ID, duration),
        "unnoticed" => {
            let clock = libc::CLOCK_MONOTONIC;
            spin(clock, time(clock) + duration);
        }
        "together" => {
            let barrier = barrier(THREADS + 1);
            for _ in 0..THREADS {
                thread::spawn(move || {
                    spin_thread(duration);
                    barrier.wait();
                    leave();
                });
            }
            spin_thread(duration);
            barrier.wait();
            leave();
        }
        "leader-first" => {
            let barrier = barrier(THREADS);
            // SAFETY: takes nothing and cannot fail.
            let leader = unsafe { libc::getpid() };
            for _ in 0..THREADS {
                thread::spawn(move || {
                    // While the main thread runs, polling is the only way to wait for it.
                    let stat = format!("/proc/self/task/{leader}/stat");
                    while !std::fs::read_to_string(&stat)
                        .expect("it is there until the process ends")
                        .contains(") Z ")
                    {
                        thread::yield_now();
                    }
                    spin_thread(duration);
                    barrier.wait();
                    leave();
                });
            }
            spin_thread(duration);
            leave();
        }
        "leader-last" => {
            for _ in 0..THREADS {
                let spins = thread::spawn(move || spin_thread(duration));
                spins.join().expect("it ends");
            }
            spin_thread(duration);
        }
        "ended" => {
            let barrier = barrier(THREADS + 1);
            for _ in 0..THREADS {
                thread::spawn(move || {
                    spin_thread(duration);
                    barrier.wait();
                    loop {
                        thread::park();
                    }
                });
            }
            spin_thread(duration);
            barrier.wait();
        }
        other => panic!("unknown word {other:?}"),
    }
    // SAFETY: ends the process, and runs nothing before.
    unsafe { libc::_exit(0) }
}

fn main() -> io::Result<()> {
    println!();
    for line in io::stdin().lines() {
        let line = line?;
        let (how, duration) = line.split_once(' ').expect("there are two words");
        let duration = Duration::from_nanos(duration.parse().expect("it is a number"));
        // SAFETY: this program has one thread.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            child(how, duration);
        }
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: plain bits, all 0.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: `usage` is valid for writing, and no status is asked for.
        if unsafe { libc::wait4(pid, ptr::null_mut(), 0, &mut usage) } != pid {
            return Err(io::Error::last_os_error());
        }
        let micros = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
        println!(
            "{pid} {} {}",
            micros(usage.ru_utime) + micros(usage.ru_stime),
            usage.ru_maxrss
        );
    }
    Ok(())
}
