//! Processes that try to delay kamap, by making it wait for their arguments.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kamap_tests::command::{Tables, output, row};
use kamap_tests::{Held, Never, eventually};
use rstest::rstest;
use serde_json::Value;

use crate::programs::{ARGUMENTS, HELD, held, kamap};

/// The longest delay by a process whose arguments cannot be read, also on an emulated machine.
const BOUND: Duration = Duration::from_secs(10);

/// Another user than that of these processes.
const OTHER: u32 = 4712;

/// A process whose arguments cannot be read, and two others.
struct Stalled {
    // Dropped first, because processes that wait for its file cannot end before.
    never: Option<Never>,
    stalled: Held,
    others: [Held; 2],
}

impl Stalled {
    #[track_caller]
    fn start(how: &str) -> Self {
        let never = (how != "userfault").then(|| Never::mount(ARGUMENTS));
        let file = never.as_ref().map_or_else(PathBuf::new, Never::file);
        let others = [0, OTHER].map(|uid| {
            let mut command = held();
            Held::start(command.args(["0", "some argument"]).uid(uid))
        });
        let stalled = Held::start(Command::new(ARGUMENTS).arg(how).arg(file));
        Self {
            never,
            stalled,
            others,
        }
    }

    /// All have rows, and those of the others have their arguments.
    #[track_caller]
    fn compare(&self, table: &Value) {
        let stalled = row(table, self.stalled.pid()).expect("it is alive");
        assert_eq!(stalled["args_cut"], true, "{stalled}");
        assert_eq!(stalled["uid"], 4711);
        for other in &self.others {
            let other = row(table, other.pid()).expect("it is alive");
            let args = serde_json::json!([HELD, "0", "some argument"]);
            assert_eq!((&other["args"], &other["args_cut"]), (&args, &false.into()));
        }
    }
}

/// Runs kamap to its end, within the bound; returns its table.
#[track_caller]
fn once() -> Value {
    let begun = Instant::now();
    let table = output(kamap(&["--once", "--all", "--json"]));
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    serde_json::from_str(&table).expect("it is JSON")
}

#[test]
fn arguments_that_wait_for_a_userfault_are_cut_and_delay_nobody() {
    let stalled = Stalled::start("userfault");
    stalled.compare(&once());
    ends_at_once(libc::SIGTERM);
}

#[rstest]
#[case::all_of_them("file")]
#[case::all_but_the_first("after")]
fn arguments_in_a_file_that_nobody_can_read_are_cut_and_delay_nobody(#[case] how: &str) {
    let stalled = Stalled::start(how);
    let table = once();
    stalled.compare(&table);
    let row = row(&table, stalled.stalled.pid()).expect("it is alive");
    let args = match how {
        "after" => serde_json::json!(["x".repeat(100)]),
        _ => serde_json::json!([]),
    };
    assert_eq!(row["args"], args);
    ends_at_once(libc::SIGTERM);
}

#[rstest]
#[case::terminated(libc::SIGTERM)]
#[case::killed(libc::SIGKILL)]
fn a_process_that_holds_the_lock_of_its_memory_for_ever_delays_nobody(#[case] signal: i32) {
    let stalled = Stalled::start("lock");
    let pid = stalled.stalled.pid();
    // Whoever holds the lock for a moment only is running.
    let mut looks = 0;
    eventually(
        "a thread waits for the lock, and the one that holds it sleeps",
        || {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it is alive");
            let states = threads.flatten().filter_map(|thread| {
                let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
                stat.rsplit_once(") ")?.1.chars().next()
            });
            let states: String = states.collect();
            let is_held = states.contains('D') && !states.contains('R');
            // The states of the threads are not of the same moment.
            looks = if is_held { looks + 1 } else { 0 };
            (looks == 2).then_some(())
        },
    );
    // Other readers wait for the lock.
    let mut reader = Command::new("cat")
        .arg(format!("/proc/{pid}/cmdline"))
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    stalled.compare(&once());
    assert_eq!(reader.try_wait().expect("it is a child"), None);
    ends_at_once(signal);
    reader.kill().expect("it can be killed");
    reader.wait().expect("it can be waited for");

    // Rows of other processes of this user may lack arguments, but they exist.
    let mut command = held();
    let same = Held::start(command.uid(4711).gid(4711));
    assert!(row(&once(), same.pid()).is_some());
    drop(stalled.never);
    assert!(stalled.stalled.kill().code().is_none());
}

/// Checks that a running kamap ends as soon as it is signalled.
#[track_caller]
fn ends_at_once(signal: i32) {
    let kamap = Tables::start(kamap(&["--all"]));
    let begun = Instant::now();
    let (status, _) = kamap.end(signal);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let killed = signal == libc::SIGKILL;
    assert_eq!(status.code(), (!killed).then_some(0));
}
