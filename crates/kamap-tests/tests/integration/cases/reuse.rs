//! PIDs that are reused.

use std::process::Command;
use std::time::Duration;

use kamap::Origin;
use kamap_tests::table::{as_stat, children, nothing_lost, row, snapshot, tracker};
use kamap_tests::{Held, Tiny, stat};

use crate::programs::SUCCESSORS;

#[test]
fn a_pid_that_is_used_again_is_another_process() {
    const PROCESSES: usize = 200;
    let tiny = Tiny::new();
    let tracker = tracker();
    let mut parent = Held::start(Command::new(SUCCESSORS).arg(tiny.path()));
    let (mut pid, mut start) = (None, Duration::ZERO);
    for number in 0..PROCESSES {
        // One in three only forks: its row must have nothing of those that exec'd.
        let execs = u32::from(number % 3 != 2);
        let argument = format!("number {number}");
        parent.say(&match execs {
            0 => "fork\n".to_owned(),
            _ => format!("exec {argument}\n"),
        });
        let this = parent.line().parse().expect("it prints a PID");
        assert_eq!(*pid.get_or_insert(this), this, "number {number}");

        let process = row(&tracker, this).unwrap_or_else(|| panic!("{number} is missing"));
        assert_eq!(as_stat(&process), stat(this).expect("it is alive"));
        assert_eq!((process.execs, process.ppid), (execs, parent.pid()));
        assert!(process.start_time > start, "{start:?}, {process:?}");
        start = process.start_time;
        if execs == 0 {
            // It has its parent's.
            let file = Some(SUCCESSORS.as_ref());
            assert_eq!((process.origin, process.file()), (Origin::Fork, file));
            assert_eq!(
                (process.first_exec_time, process.last_exec_time),
                (None, None)
            );
        } else {
            assert_eq!(
                (process.origin, process.file()),
                (Origin::Exec, Some(tiny.path()))
            );
            assert_eq!(process.first_exec_time, process.last_exec_time);
            assert!(process.first_exec_time > Some(start));
            assert!(
                process
                    .args()
                    .eq([tiny.path().as_os_str(), argument.as_ref()])
            );
        }

        parent.say("\n");
        assert_eq!(parent.line(), "0", "it has been waited for");
        assert_eq!(row(&tracker, this), None, "number {number} is still there");
    }
    assert_eq!(children(&tracker, parent.pid()), []);
    assert!(parent.release().success());
    nothing_lost(&tracker);
}

#[test]
fn a_pid_that_was_seeded_is_another_process_when_it_is_used_again() {
    let tiny = Tiny::new();
    let mut parent = Held::start(Command::new(SUCCESSORS).arg(tiny.path()));
    for _ in 0..5 {
        parent.say("exec first\n");
        let pid = parent.line().parse().expect("it prints a PID");
        let tracker = tracker();
        let first = row(&tracker, pid).expect("it was alive");
        assert_eq!((first.origin, first.execs), (Origin::Seed, 0));
        parent.say("\n");
        assert_eq!(parent.line(), "0", "it has been waited for");

        parent.say("exec second\n");
        assert_eq!(parent.line().parse(), Ok(pid));
        let second = snapshot(&tracker).remove(&pid).expect("it is alive");
        assert_eq!((second.origin, second.execs), (Origin::Exec, 1));
        assert!(second.start_time > first.start_time);
        assert_eq!(as_stat(&second), stat(pid).expect("it is alive"));
        parent.say("\n");
        assert_eq!(parent.line(), "0", "it has been waited for");
        assert_eq!(row(&tracker, pid), None);
    }
    assert!(parent.release().success());
}
