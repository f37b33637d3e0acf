//! Threads: none is a row, and any of them may leave or exec.

use std::process::Command;
use std::thread;

use kamap::Origin;
use kamap_tests::{Held, eventually, stat};

use crate::fixtures::{row, tracker};
use crate::programs::THREADS;

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
    // What was alive before is told apart in the same way.
    let later = self::tracker();
    assert_eq!(row(&later, pid).expect("it lives on").origin, Origin::Seed);

    child.let_go();
    // Of the first thread or the last: that depends on the kernel.
    assert!(matches!(child.release().code(), Some(3 | 5)));
    assert_eq!(row(&tracker, pid), None);
    assert_eq!(row(&later, pid), None);
    assert_eq!(tracker.losses().expect("it can be read").total(), 0);
}

#[test]
fn a_thread_that_execs_takes_its_process_along() {
    let tracker = tracker();
    let mut child = Held::start(Command::new(THREADS).args(["exec", "/bin/cat"]));
    let pid = child.pid();
    let start = row(&tracker, pid).expect("it has exec'd").start_time;
    child.let_go();
    // `cat` finds its input closed and ends, so catch it, or its end.
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
fn threads_that_leave_together_are_one_process() {
    let tracker = tracker();
    for _ in 0..200 {
        let child = Held::start(Command::new(THREADS).arg("together"));
        let pid = child.pid();
        assert!(row(&tracker, pid).is_some());
        assert!(child.release().code().is_some());
        assert_eq!(row(&tracker, pid), None);
    }
    assert_eq!(tracker.losses().expect("it can be read").total(), 0);
}
