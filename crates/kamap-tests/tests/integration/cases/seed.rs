//! Processes that were alive before the tracker.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use kamap::Origin;
use kamap_tests::{Held, eventually, stat};

use crate::fixtures::{as_stat, compare_with_proc, row, tracker};
use crate::programs::{Tiny, held};

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

#[test]
fn the_table_holds_what_proc_holds() {
    compare_with_proc(&tracker());
}
