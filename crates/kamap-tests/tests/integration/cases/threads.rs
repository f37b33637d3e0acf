//! Threads: none of them has a row, and any of them can end or exec.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::thread;

use kamap::Origin;
use kamap_tests::table::{as_stat, children, nothing_lost, row, tracker};
use kamap_tests::{Held, eventually, executable, stat};

use crate::programs::{HELD, THREADS};

#[test]
fn threads_are_no_rows() {
    let tracker = tracker();
    let (tid, told) = std::sync::mpsc::channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        // SAFETY: takes nothing and cannot fail.
        tid.send(unsafe { libc::gettid() })
            .expect("somebody listens");
        ends.recv().ok();
    });
    let tid = told.recv().expect("it tells").cast_unsigned();
    assert_ne!(tid, std::process::id());
    assert_eq!(row(&tracker, tid), None);
    drop(end);
    thread.join().expect("it ends");
    assert!(
        row(&tracker, std::process::id()).is_some(),
        "its process lives on"
    );
}

#[test]
fn a_process_whose_main_thread_leaves_first_lives_on() {
    let tracker = tracker();
    let mut child = Held::start(Command::new(THREADS).arg("leader-first"));
    let pid = child.pid();
    eventually("its main thread has left", || {
        stat(pid).filter(|stat| stat.ended)
    });
    let process = row(&tracker, pid).expect("it lives on");
    assert_eq!((process.origin, process.execs), (Origin::Exec, 1));
    // For a tracker that starts later, the result is the same.
    let later = self::tracker();
    assert_eq!(row(&later, pid).expect("it lives on").origin, Origin::Seed);

    child.let_go();
    // The status is that of the first or the last thread, depending on the kernel.
    assert!(matches!(child.release().code(), Some(3 | 5)));
    assert_eq!(row(&tracker, pid), None);
    assert_eq!(row(&later, pid), None);
    nothing_lost(&tracker);
}

#[test]
fn a_thread_that_execs_takes_its_process_along() {
    let tracker = tracker();
    let mut child = Held::start(Command::new(THREADS).args(["exec", "/bin/cat"]));
    let pid = child.pid();
    let start = row(&tracker, pid).expect("it has exec'd").start_time;
    child.let_go();
    // `cat` finds its input closed and ends, so this reads its row or its end.
    let execs = eventually("it has exec'd", || match row(&tracker, pid) {
        Some(process) if process.execs == 1 => None,
        row => Some(row),
    });
    if let Some(process) = execs {
        assert_eq!((process.execs, process.start_time), (2, start));
        assert_eq!(process.comm(), "cat");
    }
    assert!(child.release().success());
    assert_eq!(row(&tracker, pid), None);
}

#[test]
fn a_thread_that_execs_after_the_main_one_has_left_is_still_its_process() {
    let tracker = tracker();
    let mut child = Held::start(Command::new(THREADS).args(["exec-without-leader", HELD]));
    let pid = child.pid();
    eventually("its main thread has left", || {
        stat(pid).filter(|stat| stat.ended)
    });
    let before = row(&tracker, pid).expect("it lives on");
    let later = self::tracker();

    child.say("\n");
    assert_eq!(child.line(), "", "it has exec'd");
    let process = row(&tracker, pid).expect("it lives on");
    assert_eq!((process.origin, process.execs), (Origin::Exec, 2));
    assert_eq!(process.start_time, before.start_time);
    assert_eq!(process.first_exec_time, before.first_exec_time);
    assert!(process.last_exec_time > before.last_exec_time);
    assert_eq!(as_stat(&process), stat(pid).expect("it is alive"));
    // The same for a tracker that started after the main thread had ended.
    let seeded = row(&later, pid).expect("it lives on");
    assert_eq!((seeded.origin, seeded.execs), (Origin::Exec, 1));
    assert_eq!(as_stat(&seeded), as_stat(&process));

    assert!(child.release().success());
    assert_eq!(row(&tracker, pid), None);
    assert_eq!(row(&later, pid), None);
    nothing_lost(&tracker);
}

#[test]
fn a_thread_that_execs_while_others_run_is_one_exec() {
    let tracker = tracker();
    // It cannot wait for its input, which is closed, so it stops itself until it has been seen.
    let script = "#!/bin/sh\necho; kill -STOP $$\n";
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = executable(folder.path(), "stops", script.as_bytes());
    for _ in 0..20 {
        let mut child = Held::start(Command::new(THREADS).arg("exec").arg(&path));
        let pid = child.pid();
        let before = row(&tracker, pid).expect("it has exec'd");
        child.let_go();
        assert_eq!(child.line(), "", "it has exec'd");
        let process = row(&tracker, pid).expect("it lives on");
        assert_eq!((process.origin, process.execs), (Origin::Exec, 2));
        assert_eq!(process.start_time, before.start_time);
        assert_eq!(as_stat(&process), stat(pid).expect("it is alive"));
        assert_eq!(child.kill().signal(), Some(libc::SIGKILL));
        assert_eq!(row(&tracker, pid), None);
    }
    nothing_lost(&tracker);
}

#[test]
fn threads_that_leave_together_are_one_process() {
    const PROCESSES: usize = 2_000;
    let tracker = tracker();
    let count = PROCESSES.to_string();
    let mut parent = Held::start(Command::new(THREADS).args(["many-together", &count]));
    for number in 0..PROCESSES {
        let pid = parent.line().parse().expect("it prints a PID");
        let process = row(&tracker, pid).unwrap_or_else(|| panic!("{number} is missing"));
        assert_eq!((process.origin, process.ppid), (Origin::Fork, parent.pid()));
        parent.say("\n");
        let status = parent.line().parse().expect("it prints a status");
        assert!(libc::WIFEXITED(status), "number {number}: {status}");
        assert_eq!(row(&tracker, pid), None, "number {number} is still there");
    }
    assert_eq!(children(&tracker, parent.pid()), []);
    assert!(parent.release().success());
    nothing_lost(&tracker);
}
