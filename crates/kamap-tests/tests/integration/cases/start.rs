//! How processes start.

use std::fs;
use std::process::Command;

use kamap::{Origin, Tracker};
use kamap_tests::table::{as_stat, children, nothing_lost, row, snapshot, tracker};
use kamap_tests::{Held, Tiny, allow_many_files, eventually, repetitions, stat};
use rstest::rstest;

use crate::programs::{FORKED, HELD, STARTS, held};

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
    // Its fields are inherited.
    assert_eq!(as_stat(&process), stat(pid).expect("it is alive"));

    parent.let_go();
    assert_eq!(parent.line(), "0", "the child has been waited for");
    assert_eq!(row(&tracker, pid), None);
    assert!(parent.release().success());
}

/// Makes a child of `starts` exec, checks its row before and after, and lets it end.
#[track_caller]
fn forks_and_execs(tracker: &Tracker, child: &mut Held, pid: u32, ppid: u32) {
    let forked = row(tracker, pid).expect("it was forked");
    assert_eq!((forked.origin, forked.execs), (Origin::Fork, 0));
    assert_eq!(forked.ppid, ppid);
    assert_eq!(as_stat(&forked), stat(pid).expect("it is alive"));

    child.say("\n");
    assert_eq!(child.line(), "", "it has exec'd");
    let process = row(tracker, pid).expect("it has exec'd");
    assert_eq!((process.origin, process.execs), (Origin::Exec, 1));
    assert_eq!(
        (process.ppid, process.start_time),
        (ppid, forked.start_time)
    );
    assert_eq!(process.file(), Some(HELD.as_ref()));
    assert_eq!(as_stat(&process), stat(pid).expect("it is alive"));
    assert!(process.first_exec_time > Some(process.start_time));
    child.let_go();
}

#[test]
fn a_child_that_suspends_its_parent_is_a_row_before_it_execs() {
    let tracker = tracker();
    let mut parent = Held::start(Command::new(STARTS).args(["vfork", HELD]));
    let (pid, ppid) = (
        parent.said().parse().expect("it prints a PID"),
        parent.pid(),
    );
    eventually("its parent is suspended", || {
        let stat = fs::read_to_string(format!("/proc/{ppid}/stat")).expect("it is alive");
        stat.contains(") D ").then_some(())
    });
    forks_and_execs(&tracker, &mut parent, pid, ppid);
    assert!(parent.release().success());
    assert_eq!((row(&tracker, pid), row(&tracker, ppid)), (None, None));
    nothing_lost(&tracker);
}

#[test]
fn a_spawned_child_is_a_row_of_its_own() {
    let tracker = tracker();
    let parent = Held::start(Command::new(STARTS).args(["spawn", HELD]));
    let rows = children(&tracker, parent.pid());
    let [process] = &rows[..] else {
        panic!("not one child: {rows:?}");
    };
    assert_eq!((process.origin, process.execs), (Origin::Exec, 1));
    assert_eq!(process.file(), Some(HELD.as_ref()));
    assert_eq!(as_stat(process), stat(process.pid).expect("it is alive"));
    assert!(process.first_exec_time > Some(process.start_time));
    assert!(parent.release().success());
    assert_eq!(row(&tracker, process.pid), None);
    nothing_lost(&tracker);
}

#[test]
fn a_child_can_be_its_parents_sibling() {
    let tracker = tracker();
    let mut other = Held::start(Command::new(STARTS).args(["clone-parent", HELD]));
    let pid = other.said().parse().expect("it prints a PID");
    forks_and_execs(&tracker, &mut other, pid, std::process::id());
    assert_eq!(children(&tracker, other.pid()), []);
    let mut status = 0;
    // SAFETY: `status` is valid for writing.
    let waited = unsafe { libc::waitpid(pid.cast_signed(), &mut status, 0) };
    assert_eq!((waited.cast_unsigned(), status), (pid, 0));
    assert_eq!(row(&tracker, pid), None);
    assert!(row(&tracker, other.pid()).is_some());
    nothing_lost(&tracker);
}

#[test]
fn in_a_pid_namespace_a_process_has_the_pid_of_the_machine() {
    let tracker = tracker();
    let init = row(&tracker, 1).expect("it never ends");
    let mut parent = Held::start(Command::new(STARTS).args(["pid-namespace", HELD]));
    assert_eq!(parent.said(), "1");
    let rows = children(&tracker, parent.pid());
    let [process] = &rows[..] else {
        panic!("not one child: {rows:?}");
    };
    let pid = process.pid;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is alive");
    assert!(status.contains(&format!("NSpid:\t{pid}\t1\n")), "{status}");
    let ppid = parent.pid();
    forks_and_execs(&tracker, &mut parent, pid, ppid);
    assert!(parent.release().success());
    assert_eq!(row(&tracker, pid), None);
    assert_eq!(row(&tracker, 1), Some(init));
    nothing_lost(&tracker);
}

#[test]
fn all_that_runs_in_a_pid_namespace_ends_with_its_first_process() {
    let tracker = tracker();
    // The first process starts one that never ends on its own.
    let script = "sh -c 'echo; while :; do read x; done' <$1 & wait";
    let fifo = tempfile::tempdir().expect("a folder can be made");
    let path = fifo.path().join("fifo");
    duct::cmd!("mkfifo", &path).run().expect("it can be made");
    let open = fs::File::options().read(true).write(true).open(&path);
    let _open = open.expect("it is there");
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "sh", "-c", script, "sh"]);
    let parent = Held::start(command.arg(&path));
    let rows = children(&tracker, parent.pid());
    let [first] = &rows[..] else {
        panic!("not one child: {rows:?}");
    };
    let rows = children(&tracker, first.pid);
    let [second] = &rows[..] else {
        panic!("not one grandchild: {rows:?}");
    };
    assert_eq!((second.origin, second.execs), (Origin::Exec, 1));
    assert_eq!(as_stat(second), stat(second.pid).expect("it is alive"));
    // SAFETY: its parent has not waited for it, so the PID is its own.
    unsafe { libc::kill(first.pid.cast_signed(), libc::SIGKILL) };
    assert!(!parent.release().success());
    assert_eq!(row(&tracker, first.pid), None);
    assert_eq!(row(&tracker, second.pid), None);
    nothing_lost(&tracker);
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
fn thousands_of_children_in_sequence_are_all_seen_in_and_out() {
    let count = repetitions(20_000);
    let tiny = Tiny::new();
    let tracker = tracker();
    for i in 0..count {
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
        seen.fork >= count && seen.exec >= count && seen.exit >= count,
        "{seen:?}"
    );
    assert_eq!(tracker.losses().expect("it can be read").total(), 0);
}
