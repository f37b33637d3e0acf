//! How processes start.

use std::process::Command;

use kamap::Origin;
use kamap_tests::{Held, allow_many_files, stat};
use rstest::rstest;

use crate::fixtures::{as_stat, row, snapshot, tracker};
use crate::programs::{FORKED, Tiny, held};

#[test]
fn a_pid_appears_on_exec_and_disappears_on_exit() {
    let tracker = tracker();
    let child = Held::start(held().arg("7"));
    let pid = child.pid();

    let process = row(&tracker, pid).expect("it has exec'd");
    assert_eq!(process.origin, Origin::Exec);
    assert_eq!(process.execs, 1);
    assert!(snapshot(&tracker).contains_key(&pid));

    assert_eq!(child.release().code(), Some(7));
    assert_eq!(row(&tracker, pid), None);
    assert!(!snapshot(&tracker).contains_key(&pid));
}

#[test]
fn a_fork_without_exec_is_a_row_of_its_own() {
    let tracker = tracker();
    let mut parent = Held::start(&mut Command::new(FORKED));
    let pid = parent.said().parse().expect("it prints a PID");

    let process = row(&tracker, pid).expect("it was forked");
    assert_eq!((process.origin, process.execs), (Origin::Fork, 0));
    assert_eq!(process.ppid, parent.pid());
    assert_eq!(
        (process.first_exec_time, process.last_exec_time),
        (None, None)
    );
    // What it inherited.
    assert_eq!(as_stat(&process), stat(pid).expect("it is alive"));

    parent.let_go();
    assert_eq!(parent.line(), "0", "the child has been waited for");
    assert_eq!(row(&tracker, pid), None);
    assert!(parent.release().success());
}

#[rstest]
#[case(1)]
#[case(10)]
#[case(1_000)]
fn children_at_once_are_all_seen_in_and_out(#[case] count: usize) {
    let tracker = tracker();
    allow_many_files();
    let tiny = Tiny::new();
    let children: Vec<_> = (0..count).map(|_| tiny.start()).collect();
    let pids: Vec<_> = children.iter().map(Held::pid).collect();

    let rows = snapshot(&tracker);
    for pid in &pids {
        let process = rows.get(pid).unwrap_or_else(|| panic!("{pid} is missing"));
        assert_eq!((process.origin, process.execs), (Origin::Exec, 1));
    }
    for child in children {
        assert!(child.release().success());
    }
    let rows = snapshot(&tracker);
    assert!(pids.iter().all(|pid| !rows.contains_key(pid)));
    assert_eq!(tracker.losses().expect("it can be read").total(), 0);
}

#[test]
fn twenty_thousand_children_in_sequence_are_all_seen_in_and_out() {
    const CHILDREN: u64 = 20_000;
    let tiny = Tiny::new();
    let tracker = tracker();
    for i in 0..CHILDREN {
        let child = tiny.start();
        let pid = child.pid();
        let process = row(&tracker, pid).unwrap_or_else(|| panic!("number {i}, {pid}, is missing"));
        assert_eq!(
            (process.origin, process.execs),
            (Origin::Exec, 1),
            "number {i}"
        );
        assert!(child.release().success());
        assert_eq!(row(&tracker, pid), None, "number {i} is still there");
    }
    let seen = tracker.seen().expect("it can be read");
    assert!(
        seen.fork >= CHILDREN && seen.exec >= CHILDREN && seen.exit >= CHILDREN,
        "{seen:?}"
    );
    assert_eq!(tracker.losses().expect("it can be read").total(), 0);
}
