//! A tracker, its rows, and the comparison of both with /proc.

use std::collections::HashMap;

use kamap::{Clock, Process, Tracker};

use crate::{Stat, processes, ticks};

/// Starts a tracker.
///
/// # Panics
///
/// If it does not start.
#[track_caller]
pub fn tracker() -> Tracker {
    Tracker::builder().start().expect("the tracker starts")
}

/// The row of the process `pid`.
///
/// # Panics
///
/// If the table cannot be read.
#[track_caller]
pub fn row(tracker: &Tracker, pid: u32) -> Option<Process> {
    tracker.table().get(pid).expect("the table can be read")
}

/// All rows, by PID.
///
/// # Panics
///
/// If the table cannot be read, or has two rows of one PID.
#[track_caller]
pub fn snapshot(tracker: &Tracker) -> HashMap<u32, Process> {
    let snapshot = tracker.table().snapshot().expect("the table can be read");
    let mut rows = HashMap::new();
    for process in snapshot {
        let twice = rows.insert(process.pid, process);
        assert!(twice.is_none(), "a PID came twice: {twice:?}");
    }
    rows
}

/// The rows of the children of the process `pid`.
///
/// # Panics
///
/// If the table cannot be read.
#[track_caller]
pub fn children(tracker: &Tracker, pid: u32) -> Vec<Process> {
    let snapshot = tracker.table().snapshot().expect("the table can be read");
    snapshot
        .into_iter()
        .filter(|process| process.ppid == pid)
        .collect()
}

/// Checks that the table has lost nothing.
///
/// # Panics
///
/// If it has.
#[track_caller]
pub fn nothing_lost(tracker: &Tracker) {
    assert_eq!(tracker.losses().expect("it can be read").total(), 0);
}

/// What a row says of its process, to be compared with [`stat`](crate::stat).
pub fn as_stat(process: &Process) -> Stat {
    let lossy = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
    Stat {
        pid: process.pid,
        start: ticks(process.start_time),
        ppid: process.ppid,
        uid: process.uid,
        gid: process.gid,
        comm: process.comm().into_owned(),
        exe: process.exe().map(|exe| lossy(exe.as_os_str())),
        args: process.args().map(lossy).collect(),
        ended: false,
    }
}

/// Compares the table with /proc in both directions: each process that lives throughout
/// has a row, and each row is of a process that lives or started meanwhile.
///
/// # Panics
///
/// If they differ.
#[track_caller]
pub fn compare_with_proc(tracker: &Tracker) {
    let begun = ticks(Clock::since_boot());
    let before = processes();
    let rows = snapshot(tracker);
    let after = processes();

    let identity = |stat: &Stat| (stat.pid, stat.start);
    let mut compared = 0;
    for stat in before.iter().filter(|stat| !stat.ended) {
        let Some(later) = after.iter().find(|later| identity(later) == identity(stat)) else {
            continue;
        };
        if later.ended {
            continue;
        }
        let process = rows
            .get(&stat.pid)
            .unwrap_or_else(|| panic!("missing: {stat:?}"));
        assert_eq!(ticks(process.start_time), stat.start);
        compared += 1;
    }
    assert!(compared > 10, "only {compared} processes were compared");
    for process in rows.values() {
        let known = |stat: &&Stat| identity(stat) == (process.pid, ticks(process.start_time));
        assert!(
            before.iter().chain(&after).any(|stat| known(&stat))
                || ticks(process.start_time) >= begun,
            "a ghost: {process:?}"
        );
    }
}
