//! Processes that were alive before the tracker.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kamap::{Origin, Tracker};
use kamap_tests::{Held, eventually, stat};

use crate::fixtures::{as_stat, compare_with_proc, nothing_lost, row, snapshot, tracker};
use crate::programs::{CROWD, Tiny, held};

#[test]
fn what_was_alive_before_is_seeded_and_leaves_like_any_other() {
    let before = Held::start(&mut held());
    let pid = before.pid();
    let tracker = tracker();
    let process = row(&tracker, pid).expect("it was alive");
    assert_eq!((process.origin, process.execs), (Origin::Seed, 0));
    let mut known = as_stat(&process);
    let mut expected = stat(pid).expect("it is alive");
    // A test of their own.
    (known.args, expected.args) = (Vec::new(), Vec::new());
    assert_eq!(known, expected);
    before.release();
    assert_eq!(row(&tracker, pid), None);
}

#[test]
fn the_arguments_of_what_was_alive_before_are_read() {
    let before = Held::start(held().args(["0", "some argument"]));
    let tracker = tracker();
    let process = row(&tracker, before.pid()).expect("it was alive");
    assert_eq!(
        process.args().skip(1).collect::<Vec<_>>(),
        ["0", "some argument"]
    );
    assert!(!process.args_cut);
}

#[test]
fn a_zombie_is_no_live_process() {
    let mut zombie = Command::new("true").spawn().expect("it starts");
    let pid = zombie.id();
    eventually("it has ended", || stat(pid).filter(|stat| stat.ended));
    let tracker = tracker();
    assert_eq!(row(&tracker, pid), None);
    zombie.wait().expect("it can be reaped");
}

#[test]
fn a_tracker_that_starts_amid_a_storm_is_exact() {
    let tiny = Tiny::new();
    let tiny = &tiny;
    let trackers_left = &AtomicUsize::new(5);
    let trackers: Vec<_> = thread::scope(|scope| {
        let storm = move || (0..20_000).take_while(|_| trackers_left.load(Ordering::Relaxed) > 0);
        for _ in 0..3 {
            scope.spawn(move || storm().for_each(|_| tiny.run()));
        }
        let start = |_| {
            let tracker = tracker();
            trackers_left.fetch_sub(1, Ordering::Relaxed);
            tracker
        };
        (0..5).map(start).collect()
    });
    for tracker in &trackers {
        compare_with_proc(tracker);
        assert_eq!(tracker.losses().expect("it can be read").total(), 0);
    }
}

/// What all children of a [`Crowd`] do at one moment.
#[derive(Clone, Copy, PartialEq)]
enum Do {
    End,
    Exec,
}

/// Children that wait to do something, all on one CPU and there before all else.
///
/// A tracker that seeds on that CPU is stopped for them wherever it is, and goes on
/// when all of them have done it: likely after it met one of them as it was.
struct Crowd {
    parent: Held,
    pids: Vec<u32>,
    cpu: usize,
}

impl Crowd {
    const SIZE: usize = 200;

    #[track_caller]
    fn start(tiny: &Tiny, what: Do) -> Self {
        // SAFETY: takes nothing.
        let cpu = unsafe { libc::sched_getcpu() } as usize;
        let mut command = Command::new(CROWD);
        command.args([Self::SIZE.to_string(), cpu.to_string()]);
        if what == Do::Exec {
            command.arg(tiny.path());
        }
        let parent = Held::start(&mut command);
        let pids = parent.said().split(' ').map(str::parse);
        let pids: Vec<_> = pids.collect::<Result<_, _>>().expect("they are PIDs");
        assert_eq!(pids.len(), Self::SIZE);
        Self { parent, pids, cpu }
    }

    /// Starts a tracker, and has the children do it `delay` after its programs were
    /// attached, which is when it begins to seed.
    #[track_caller]
    fn meet_tracker(&mut self, delay: Duration) -> Tracker {
        let cpu = self.cpu;
        thread::scope(|scope| {
            scope.spawn(|| {
                eventually("its programs are attached", || attached().then_some(()));
                let begun = Instant::now();
                while begun.elapsed() < delay {
                    std::hint::spin_loop();
                }
                self.parent.say("\n");
            });
            // In a thread, so that this one may run anywhere afterwards.
            let tracker = scope.spawn(move || {
                // SAFETY: a `cpu_set_t` is plain bits, of which none is set; then it
                // is valid for reading.
                let pinned = unsafe {
                    let mut set: libc::cpu_set_t = std::mem::zeroed();
                    libc::CPU_SET(cpu, &mut set);
                    libc::sched_setaffinity(0, size_of_val(&set), &set)
                };
                assert_eq!(pinned, 0, "this test may run on its own CPU");
                tracker()
            });
            tracker.join().expect("it starts")
        })
    }
}

/// Whether a tracker of this test, which has no other, has attached its programs.
fn attached() -> bool {
    let open = fs::read_dir("/proc/self/fd").expect("this test is alive");
    let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let links = targets.filter(|target| target == Path::new("anon_inode:bpf_link"));
    links.count() >= 3
}

#[test]
fn what_ends_while_a_tracker_seeds_never_stays() {
    let tiny = Tiny::new();
    for round in 0..20 {
        let mut crowd = Crowd::start(&tiny, Do::End);
        let tracker = crowd.meet_tracker(Duration::from_micros(round * 30));
        assert!(crowd.parent.release().success());
        let rows = snapshot(&tracker);
        let ghosts: Vec<_> = crowd.pids.iter().filter_map(|pid| rows.get(pid)).collect();
        assert!(ghosts.is_empty(), "round {round}: {ghosts:?}");
        nothing_lost(&tracker);
    }
}

#[test]
fn what_execs_while_a_tracker_seeds_is_not_overwritten() {
    let tiny = Tiny::new();
    for round in 0..20 {
        let mut crowd = Crowd::start(&tiny, Do::Exec);
        let tracker = crowd.meet_tracker(Duration::from_micros(round * 30));
        for _ in &crowd.pids {
            assert_eq!(crowd.parent.line(), "", "it has exec'd");
        }
        let rows = snapshot(&tracker);
        for pid in &crowd.pids {
            let process = rows.get(pid).expect("it is alive");
            assert_eq!(
                (process.origin, process.execs),
                (Origin::Exec, 1),
                "{process:?}"
            );
        }
        assert!(crowd.parent.release().success());
        let rows = snapshot(&tracker);
        assert!(crowd.pids.iter().all(|pid| !rows.contains_key(pid)));
        nothing_lost(&tracker);
    }
}

#[test]
fn the_table_holds_what_proc_holds() {
    compare_with_proc(&tracker());
}
