//! Arguments of processes that were alive before the tracker, or that changed their arguments.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use kamap::{Event, Kinds, Origin, Process, Tracker};
use kamap_tests::stream::{Stream, kinds, with};
use kamap_tests::table::{nothing_lost, row, snapshot, tracker};
use kamap_tests::{Held, eventually, stat, ticks};

use crate::programs::{ARGUMENTS, HELD, THREADS};

/// The content of `/proc/PID/cmdline`.
fn cmdline(pid: u32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/cmdline")).ok()
}

/// The arguments of a row, each with a NUL after it.
fn bytes(process: &Process) -> Vec<u8> {
    let args = process.args();
    args.flat_map(|arg| [arg.as_bytes(), b"\0"].concat())
        .collect()
}

/// Checks that a row has the arguments of /proc or, if it says that they are truncated, their
/// beginning.
#[track_caller]
fn assert_same(process: &Process, right: &[u8]) {
    let told = bytes(process);
    let told = told.strip_suffix(b"\0").unwrap_or(&told);
    let whole = right.strip_suffix(b"\0").unwrap_or(right);
    if process.args_cut {
        assert!(
            whole.starts_with(told) && (told.len() > 100 || whole.is_empty()),
            "{process:?} of {whole:?}"
        );
    } else {
        assert_eq!(told, whole, "{process:?}");
    }
}

#[test]
fn a_title_over_arguments_and_environment_is_the_arguments_of_a_seeded_row() {
    let title = format!("worker: a title that is longer than {}", "x".repeat(200));
    let mut command = Command::new(ARGUMENTS);
    let child = Held::start(command.arg("title").env("TITLE", &title));
    let right = cmdline(child.pid()).expect("it is alive");
    assert!(right.starts_with(title.as_bytes()), "{right:?}");
    assert!(!right.starts_with(ARGUMENTS.as_bytes()));
    let tracker = tracker();
    let process = row(&tracker, child.pid()).expect("it is alive");
    assert!(!process.args_cut, "{process:?}");
    assert_same(&process, &right);
}

#[test]
fn the_first_process_has_its_arguments() {
    let tracker = tracker();
    let process = row(&tracker, 1).expect("it never ends");
    let right = cmdline(1).expect("it never ends");
    assert!(!right.is_empty());
    assert_same(&process, &right);
}

#[test]
fn every_process_that_was_there_has_the_arguments_that_proc_shows() {
    let all = || -> HashMap<_, _> {
        let stats = kamap_tests::processes().into_iter();
        let alive = stats.filter(|stat| !stat.ended && stat.exe.is_some());
        alive
            .filter_map(|stat| Some(((stat.pid, stat.start), cmdline(stat.pid)?)))
            .collect()
    };
    let known = Held::start(Command::new(HELD).args(["0", "two words", "", "end"]));
    let before = all();
    let tracker = tracker();
    let rows = snapshot(&tracker);
    let after = all();
    let mut compared = 0;
    for (identity, right) in &before {
        if after.get(identity) != Some(right) {
            continue;
        }
        let process = rows.get(&identity.0).expect("it lives throughout");
        assert_eq!(ticks(process.start_time), identity.1);
        if process.origin == Origin::Seed {
            assert_same(process, right);
            assert!(!process.args_cut || right.len() > 100, "{process:?}");
            compared += 1;
        }
    }
    assert!(compared >= 2, "only {compared} were compared");
    let process = &rows[&known.pid()];
    assert!(process.args().eq([HELD, "0", "two words", "", "end"]));
    assert!(!process.args_cut);
}

#[test]
fn a_process_that_was_there_without_its_main_thread_has_cut_arguments() {
    let child = Held::start(Command::new(THREADS).arg("leader-first"));
    let pid = child.pid();
    eventually("its main thread has left", || {
        stat(pid).filter(|stat| stat.ended)
    });
    let tracker = tracker();
    let process = row(&tracker, pid).expect("its other thread lives");
    assert_eq!((process.origin, process.args().count()), (Origin::Seed, 0));
    assert!(process.args_cut);
    assert!(!process.kernel_thread);
}

/// A process that claims to have 4 GiB and 10 bytes of arguments.
#[track_caller]
fn beyond() -> Held {
    let child = Held::start(Command::new(ARGUMENTS).arg("beyond"));
    let right = cmdline(child.pid()).expect("it is alive");
    assert!(right.starts_with(b"xxx"), "{right:?}");
    child
}

#[track_caller]
fn assert_cut(process: &Process) {
    assert!(process.args_cut, "{process:?}");
    let told = bytes(process);
    let told = told.strip_suffix(b"\0").unwrap_or(&told);
    assert!(told.iter().all(|&byte| byte == b'x'), "{process:?}");
}

#[test]
fn arguments_of_more_than_4_gib_are_cut_in_rows_and_in_events() {
    let mut child = beyond();
    let (tracker, mut stream) = with(Tracker::builder().events(Kinds::LIFE));
    let process = row(&tracker, child.pid()).expect("it is alive");
    assert_eq!(process.args().count(), 1);
    assert_cut(&process);
    let life = forks(&mut child, &mut stream);
    assert_eq!(kinds(&life), ["fork", "exit"]);
    for event in &life {
        assert_cut(&event.process);
    }
    nothing_lost(&tracker);

    // They are truncated until it execs something else.
    let pid = child.pid();
    assert!(child.release().success());
    let exit = stream.life(pid).pop().expect("it has ended");
    assert_cut(&exit.process);
}

/// Makes it fork; returns the events of its child.
#[track_caller]
fn forks(child: &mut Held, stream: &mut Stream) -> Vec<Event> {
    child.say("\n");
    let pid = child.line().parse().expect("it prints a PID");
    stream.life(pid)
}

#[test]
fn arguments_of_more_than_4_gib_are_cut_where_the_table_has_no_room() {
    let mut child = beyond();
    let full = Tracker::builder().events(Kinds::FORK).max_entries(1);
    let (_tracker, mut stream) = with(full);
    child.say("\n");
    let pid: u32 = child.line().parse().expect("it prints a PID");
    let fork = eventually("its fork is told", || {
        stream.read();
        let of_pid = |event: &&Event| event.process.pid == pid;
        stream.all.iter().find(of_pid).cloned()
    });
    assert_eq!(fork.process.args().count(), 1);
    assert_cut(&fork.process);
}
