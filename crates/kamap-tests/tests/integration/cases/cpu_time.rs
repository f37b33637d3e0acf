//! CPU time and memory of a process in its exit event, compared with wait4().

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use kamap::{Exit, Kinds, Tracker};
use kamap_tests::stream::{Stream, end, with};
use kamap_tests::{Held, Tiny, eventually, repetitions};
use rstest::rstest;

use crate::programs::SPINS;

#[track_caller]
fn exits() -> (Tracker, Stream) {
    with(Tracker::builder().events(Kinds::EXIT))
}

/// CPU time and memory according to the exit event and to wait4().
struct Both {
    end: Exit,
    time: Duration,
    max_rss: u64,
}

/// Makes a child use the CPU and end.
#[track_caller]
fn spin(spins: &mut Held, stream: &mut Stream, how: &str, duration: Duration) -> Both {
    spins.say(&format!("{how} {}\n", duration.as_nanos()));
    let line = spins.line();
    let numbers: Vec<u64> = line
        .split(' ')
        .map(|number| number.parse().expect("it is a number"))
        .collect();
    let [pid, micros, kib] = numbers[..] else {
        panic!("three numbers: {line}");
    };
    let exit = stream.life(pid as u32).pop().expect("it has ended");
    Both {
        end: end(&exit).expect("it is an exit"),
        time: Duration::from_micros(micros),
        max_rss: kib * 1024,
    }
}

#[rstest]
fn the_time_of_a_process_is_that_of_wait(
    #[values("alone", "unnoticed")] how: &str,
    #[values(200, 1_000, 2_000, 8_000, 30_000)] micros: u64,
) {
    const TIMES: usize = 20;
    let duration = Duration::from_micros(micros);
    let (_tracker, mut stream) = exits();
    let mut spins = Held::start(&mut Command::new(SPINS));
    let mut differences: Vec<_> = (0..TIMES)
        .map(|_| {
            let Both { end, time, .. } = spin(&mut spins, &mut stream, how, duration);
            (time.abs_diff(end.cpu_time), time)
        })
        .collect();
    differences.sort();
    // An interrupt can prolong the end of a few processes, and wait4() can return before the kernel
    // has added the last slice.
    let (most, time) = differences[TIMES * 9 / 10 - 1];
    let bound = Duration::from_micros(300).max(time / 10);
    assert!(most <= bound, "{most:?} from {time:?}");
}

#[test]
fn the_time_of_short_programs_adds_up_to_that_of_wait() {
    let (_tracker, mut stream) = exits();
    let tiny = Tiny::new();
    let waited: HashMap<u32, Duration> = (0..200).map(|_| wait4(&tiny)).collect();
    let ends = eventually("all have ended", || {
        stream.read();
        let ends: HashMap<_, _> = stream
            .all
            .iter()
            .filter(|exit| waited.contains_key(&exit.process.pid) && exit.process.comm() == "tiny")
            .filter_map(|exit| Some((exit.process.pid, end(exit)?.cpu_time)))
            .collect();
        (ends.len() == waited.len()).then_some(ends)
    });
    let told: Duration = ends.values().sum();
    let time: Duration = waited.values().sum();
    let share = told.as_secs_f64() / time.as_secs_f64();
    assert!((0.85..=1.02).contains(&share), "{told:?} of {time:?}");
}

/// Runs one to its end; returns its PID and CPU time.
fn wait4(tiny: &Tiny) -> (u32, Duration) {
    let mut command = Command::new(tiny.path());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let pid = command.spawn().expect("it starts").id();
    // SAFETY: plain bits, all 0.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let mut status = 0;
    // SAFETY: both are valid for writing.
    let waited = unsafe { libc::wait4(pid.cast_signed(), &mut status, 0, &mut usage) };
    assert_eq!((waited.cast_unsigned(), status), (pid, 0));
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    (pid, time(usage.ru_utime) + time(usage.ru_stime))
}

#[rstest]
#[case::together("together")]
#[case::leader_first("leader-first")]
#[case::leader_last("leader-last")]
#[case::ended("ended")]
fn the_time_of_threads_that_leave_in_any_order_adds_up_to_that_of_wait(#[case] how: &str) {
    let (_tracker, mut stream) = exits();
    let mut spins = Held::start(&mut Command::new(SPINS));
    let (mut told, mut waited) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..repetitions(50) {
        let both = spin(&mut spins, &mut stream, how, Duration::from_millis(2));
        told += both.end.cpu_time;
        waited += both.time;
    }
    assert!(
        told.abs_diff(waited) * 10 <= waited,
        "{told:?} of {waited:?}"
    );
}

#[rstest]
#[case::alone("alone")]
#[case::together("together")]
#[case::leader_first("leader-first")]
#[case::ended("ended")]
fn the_memory_of_threads_that_leave_in_any_order_is_that_of_wait(#[case] how: &str) {
    let (_tracker, mut stream) = exits();
    let mut spins = Held::start(&mut Command::new(SPINS));
    for number in 0..repetitions(500) {
        let both = spin(&mut spins, &mut stream, how, Duration::ZERO);
        assert!(both.max_rss > 0);
        assert_eq!(both.end.max_rss, both.max_rss, "number {number}");
    }
}
