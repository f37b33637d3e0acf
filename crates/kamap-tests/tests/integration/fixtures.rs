//! What the tests of the table have in common.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kamap::{Clock, Process, Tracker};
use kamap_tests::{Stat, processes, ticks};

/// A tracker of this test alone.
#[track_caller]
pub(crate) fn tracker() -> Tracker {
    Tracker::builder().start().expect("the tracker starts")
}

/// The row of one process.
#[track_caller]
pub(crate) fn row(tracker: &Tracker, pid: u32) -> Option<Process> {
    tracker.table().get(pid).expect("the table can be read")
}

/// The rows of the children of this test, by PID.
#[track_caller]
pub(crate) fn snapshot(tracker: &Tracker) -> HashMap<u32, Process> {
    let snapshot = tracker.table().snapshot().expect("the table can be read");
    let mut rows = HashMap::new();
    for process in snapshot {
        let twice = rows.insert(process.pid, process);
        assert!(twice.is_none(), "a PID came twice: {twice:?}");
    }
    rows
}

/// The rows of the children of a process.
#[track_caller]
pub(crate) fn children(tracker: &Tracker, pid: u32) -> Vec<Process> {
    let snapshot = tracker.table().snapshot().expect("the table can be read");
    snapshot
        .into_iter()
        .filter(|process| process.ppid == pid)
        .collect()
}

/// Makes a file that can be executed; returns its path.
#[track_caller]
pub(crate) fn executable(folder: &Path, name: impl AsRef<Path>, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).expect("it can be written");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("root may chmod");
    path
}

/// Nothing that started since the tracker did has been lost.
#[track_caller]
pub(crate) fn nothing_lost(tracker: &Tracker) {
    assert_eq!(tracker.losses().expect("it can be read").total(), 0);
}

/// What /proc says of a process, from its row.
pub(crate) fn as_stat(process: &Process) -> Stat {
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

/// Both directions: what lives throughout is in the table, and what is in the
/// table lives, or started meanwhile.
#[track_caller]
pub(crate) fn compare_with_proc(tracker: &Tracker) {
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
