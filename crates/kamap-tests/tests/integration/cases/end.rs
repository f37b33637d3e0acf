//! How processes end.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use kamap::Origin;
use kamap_tests::table::{as_stat, children, nothing_lost, row, tracker};
use kamap_tests::{Held, stat};
use rstest::rstest;

use crate::programs::{ABORTS, HELD, TRACES, held};

#[test]
fn a_killed_process_disappears() {
    let tracker = tracker();
    let child = Held::start(&mut held());
    let pid = child.pid();
    assert!(row(&tracker, pid).is_some());
    assert_eq!(child.kill().signal(), Some(libc::SIGKILL));
    assert_eq!(row(&tracker, pid), None);
}

#[rstest]
#[case(0)]
#[case(1)]
#[case(255)]
fn a_process_that_exits_disappears_whatever_its_status(#[case] status: i32) {
    let tracker = tracker();
    let child = Held::start(held().arg(status.to_string()));
    let pid = child.pid();
    assert!(row(&tracker, pid).is_some());
    assert_eq!(child.release().code(), Some(status));
    assert_eq!(row(&tracker, pid), None);
}

#[rstest]
#[case::with_a_core(None)]
// Less than any core dump has. With 0, a program that handles the core would still get it.
#[case::without_a_core(Some("1"))]
fn a_process_that_aborts_disappears(#[case] limit: Option<&str>) {
    let tracker = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut command = Command::new(ABORTS);
    let child = Held::start(command.args(limit).current_dir(folder.path()));
    let pid = child.pid();
    assert!(row(&tracker, pid).is_some());
    let status = child.release();
    assert_eq!(status.signal(), Some(libc::SIGABRT));
    assert_eq!(status.core_dumped(), limit.is_none());
    assert_eq!(row(&tracker, pid), None);
    nothing_lost(&tracker);
}

#[test]
fn what_is_traced_is_as_it_is_without() {
    let tracker = tracker();
    let script = "echo; read x; sh -c 'echo; read x'; exec \"$0\" 9";
    let mut child = Held::start(Command::new("sh").args(["-c", script, HELD]));
    let pid = child.pid();
    let traces = Held::start(Command::new(TRACES).arg(pid.to_string()));

    child.say("\n");
    assert_eq!(child.line(), "", "its child has exec'd");
    assert_eq!(children(&tracker, traces.pid()), []);
    let rows = children(&tracker, pid);
    let [traced] = &rows[..] else {
        panic!("not one child: {rows:?}");
    };
    assert_eq!((traced.origin, traced.execs), (Origin::Exec, 1));
    assert_eq!(as_stat(traced), stat(traced.pid).expect("it is alive"));

    child.say("\n");
    assert_eq!(child.line(), "", "it has exec'd itself");
    assert_eq!(row(&tracker, traced.pid), None);
    let process = row(&tracker, pid).expect("it is alive");
    assert_eq!((process.ppid, process.execs), (std::process::id(), 2));
    assert_eq!(as_stat(&process), stat(pid).expect("it is alive"));

    assert_eq!(child.release().code(), Some(9));
    assert_eq!(row(&tracker, pid), None);
    assert!(traces.release().success());
    nothing_lost(&tracker);
}
