//! The comparison of the table with the kernel's own list of processes.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kamap::{Kinds, Suspect, Tracker, Verification};
use kamap_tests::table::{row, snapshot, tracker};
use kamap_tests::{Held, Planted, SetOnDrop, Tiny, allow_many_files, elf, eventually, executable};
use rstest::rstest;
use serde_json::Value;

use crate::programs::{HOLDS, KAMAP, THREADS, held};

/// Offsets in `struct kamap_process`.
const START_TIME: usize = 0;
const EXEC_ID: usize = 40;

/// How many differences there are for `pid`: missing, stale, mismatched.
fn about(found: &Verification, pid: u32) -> (usize, usize, usize) {
    let count = |list: &[Suspect]| list.iter().filter(|process| process.pid == pid).count();
    let mismatched = found.mismatched.iter();
    (
        count(&found.missing),
        count(&found.stale),
        mismatched.filter(|found| found.process.pid == pid).count(),
    )
}

#[test]
fn a_table_is_exact_while_processes_start_and_exec_and_end() {
    let tiny = &Tiny::new();
    let tracker = &tracker();
    let ends = &AtomicBool::new(false);
    let storms = [
        || {
            Command::new("sh")
                .args(["-c", "exec sh -c 'exec true'"])
                .status()
        },
        || {
            Command::new(THREADS)
                .arg("together")
                .stdin(std::process::Stdio::null())
                .stdout(std::process::Stdio::null())
                .status()
        },
        || {
            Command::new(THREADS)
                .args(["exec", "/bin/true"])
                .stdin(std::process::Stdio::null())
                .stdout(std::process::Stdio::null())
                .status()
        },
    ];
    thread::scope(|scope| {
        let _ends = SetOnDrop(ends);
        for storm in storms {
            scope.spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    storm().expect("it starts");
                    tiny.run();
                }
            });
        }
        for i in 0..100 {
            let found = tracker.verify().expect("the kernel tells");
            assert!(
                found.is_exact() && found.checked >= 10,
                "look number {i}: {found:?}"
            );
        }
    });
    assert!(tracker.seen().expect("it can be read").exec > 20);
}

/// After an exec that fails past the point of no return, the process has other memory and another
/// exec count, but the kernel reports no exec.
#[rstest]
#[case::at_its_end("exit", Kinds::LIFE)]
#[case::where_its_call_returns("syscall", Kinds::LIFE)]
#[case::at_its_end_where_failed_execs_are_told("exit", Kinds::ALL)]
#[case::where_its_call_returns_and_failed_execs_are_told("syscall", Kinds::ALL)]
fn a_process_that_is_held_after_an_exec_that_failed_late_is_no_difference(
    #[case] held_at: &str,
    #[case] kinds: Kinds,
) {
    let tracker = Tracker::builder().events(kinds).start();
    let tracker = tracker.expect("the tracker starts");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let program = executable(folder.path(), "beyond", &elf::beyond_memory());
    let holds = Held::start(Command::new(HOLDS).arg(held_at).arg(program));
    let pid = holds.said().parse().expect("it prints a PID");
    for _ in 0..3 {
        let found = tracker.verify().expect("the kernel tells");
        assert_eq!(about(&found, pid), (0, 0, 0), "{found:?}");
        assert!(row(&tracker, pid).is_some());
    }
    // It is none for a tracker that starts later, either.
    let later = self::tracker();
    let found = later.verify().expect("the kernel tells");
    assert_eq!(about(&found, pid), (0, 0, 0), "{found:?}");
    assert!(holds.release().success());
    eventually("its row is gone", || {
        row(&tracker, pid).is_none().then_some(())
    });
}

#[test]
fn a_process_without_a_row_is_missing() {
    let tracker = tracker();
    let child = Held::start(&mut held());
    Planted::find().remove_row(child.pid());
    let found = tracker.verify().expect("the kernel tells");
    assert!(!found.is_exact());
    assert_eq!(about(&found, child.pid()), (1, 0, 0));
    let missing = found
        .missing
        .iter()
        .find(|process| process.pid == child.pid());
    assert_eq!(missing.expect("it is missing").comm(), "held");
}

#[test]
fn a_row_without_a_process_is_stale() {
    let tracker = tracker();
    let child = Held::start(&mut held());
    let pid = child.pid();
    let planted = Planted::find();
    let ghost = planted.row(pid);
    assert!(child.release().success());
    planted.put_row(pid, &ghost);
    let found = tracker.verify().expect("the kernel tells");
    assert_eq!(about(&found, pid), (0, 1, 0), "{found:?}");
}

#[test]
fn a_zombies_row_is_stale() {
    let tracker = tracker();
    let mut child = Held::start(&mut held());
    let pid = child.pid();
    let planted = Planted::find();
    let ghost = planted.row(pid);
    child.let_go();
    eventually("its row is gone", || {
        row(&tracker, pid).is_none().then_some(())
    });
    planted.put_row(pid, &ghost);
    let found = eventually("nothing of it is left but its status", || {
        let found = tracker.verify().expect("the kernel tells");
        (!found.is_exact()).then_some(found)
    });
    assert_eq!(about(&found, pid), (0, 1, 0), "{found:?}");
}

#[test]
fn the_row_of_an_earlier_process_of_the_same_pid_is_stale_and_the_process_is_missing() {
    let tracker = tracker();
    let child = Held::start(&mut held());
    let planted = Planted::find();
    let mut earlier = planted.row(child.pid());
    earlier[START_TIME + 7] ^= 1;
    planted.put_row(child.pid(), &earlier);
    let found = tracker.verify().expect("the kernel tells");
    assert_eq!(about(&found, child.pid()), (1, 1, 0), "{found:?}");
}

#[test]
fn a_row_that_missed_an_exec_is_mismatched() {
    let tracker = tracker();
    let child = Held::start(&mut held());
    let planted = Planted::find();
    let mut before = planted.row(child.pid());
    let exec_id = u64::from(before[EXEC_ID]);
    before[EXEC_ID] -= 1;
    planted.put_row(child.pid(), &before);
    let found = tracker.verify().expect("the kernel tells");
    assert_eq!(about(&found, child.pid()), (0, 0, 1), "{found:?}");
    let mut mismatched = found.mismatched.iter();
    let mismatch = mismatched.find(|found| found.process.pid == child.pid());
    let [field] = mismatch.expect("it is mismatched").fields[..] else {
        panic!("one field: {mismatch:?}");
    };
    assert_eq!((field.name, field.table + 1), ("exec_id", field.kernel));
    assert_eq!(field.kernel & 0xff, exec_id);
}

/// Runs `kamap verify` to its end; returns its exit status and its output.
#[track_caller]
fn verify(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(KAMAP)
        .arg("verify")
        .args(arguments)
        .output()
        .expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.is_empty(), "{stderr}");
    (
        output.status.code(),
        String::from_utf8(output.stdout).expect("it is UTF-8"),
    )
}

#[test]
fn the_command_succeeds_where_the_table_is_exact() {
    let (status, json) = verify(&["--json", "--strict", "--count", "3", "--interval", "1ms"]);
    assert_eq!(status, Some(0), "{json}");
    assert_eq!(json.lines().count(), 3);
    for line in json.lines() {
        let line: Value = serde_json::from_str(line).expect("it is JSON");
        assert_eq!((&line["v"], &line["type"]), (&1.into(), &"verify".into()));
        assert_eq!(line["exact"], true);
        assert!(line["checked"].as_u64() > Some(10), "{line}");
        assert_eq!(line["losses"]["table_full"], 0);
    }
}

#[test]
fn the_command_fails_where_the_table_is_not_exact() {
    let (status, text) = verify(&["--max-entries", "1"]);
    assert_eq!(status, Some(1), "{text}");
    let (differences, sum) = text.trim_end().rsplit_once('\n').expect("there are some");
    let header: Vec<_> = differences
        .lines()
        .next()
        .expect("there is one")
        .split_whitespace()
        .collect();
    assert_eq!(header, ["FOUND", "PID", "STARTED", "COMM", "DIFFERENCE"]);
    let missing = differences
        .lines()
        .skip(1)
        .filter(|line| line.starts_with("missing "));
    assert!(
        sum.contains(&format!(": {} missing, 0 stale", missing.count())),
        "{text}"
    );
    assert!(sum.contains("found the table full"), "{text}");
}

/// Both comparisons are exact, but something was lost between them.
#[rstest]
#[case::is_told(false, 0)]
#[case::is_not_to_be(true, 3)]
fn what_was_lost_between_two_comparisons(#[case] strict: bool, #[case] status: i32) {
    const ROOM: usize = 50;
    allow_many_files();
    let tiny = Tiny::new();
    let code = eventually("nobody else takes the room, or leaves any", || {
        let alive = snapshot(&tracker()).len();
        let entries = (alive + ROOM).to_string();
        let mut command = Command::new(KAMAP);
        command.args([
            "verify",
            "--json",
            "--interval",
            "1h",
            "--max-entries",
            &entries,
        ]);
        let mut kamap = Held::start(command.args(strict.then_some("--strict")));
        let first: Value = serde_json::from_str(kamap.said()).expect("it is JSON");
        let children: Vec<_> = (0..2 * ROOM).map(|_| tiny.start()).collect();
        for child in children {
            assert!(child.release().success());
        }
        // SAFETY: the child has not been waited for, so the PID is its own.
        unsafe { libc::kill(kamap.pid().cast_signed(), libc::SIGINT) };
        let last: Value = serde_json::from_str(&kamap.line()).expect("it is JSON");
        let code = kamap.release().code();
        let lost = last["losses"]["table_full"].as_u64() > Some(0);
        (lost && first["exact"] == true && last["exact"] == true).then_some(code)
    });
    assert_eq!(code, Some(status));
}
