//! Readers that are slow, stopped or killed.

use std::collections::HashMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use kamap::{Clock, Tracker};
use kamap_tests::command::{Tables, output, row, rows};
use kamap_tests::table::{compare_with_proc, snapshot, tracker};
use kamap_tests::{
    Held, Loaded, MemoryGroup, OnTerminal, SetOnDrop, Tiny, allow_many_files, eventually,
};
use rstest::rstest;
use serde_json::Value;

use crate::programs::{DROPPED, KAMAP, kamap};

#[test]
fn a_tracker_that_is_dropped_leaves_nothing_behind() {
    let mut child = Held::start(&mut Command::new(DROPPED));
    let loaded = Loaded::by(child.pid());
    assert_eq!(loaded.links.len(), Loaded::LINKS, "{loaded:?}");
    assert!(!loaded.is_gone());
    child.say("\n");
    assert_eq!(child.line(), "", "it has dropped the tracker");
    assert_eq!(Loaded::by(child.pid()), Loaded::default());
    assert_gone(&loaded);
    assert!(child.release().success());
}

/// Short-lived processes, as many as two threads can start.
struct Storm {
    /// When each was reaped, since boot, by PID.
    ended: Mutex<HashMap<u32, Duration>>,
    lived: AtomicU64,
}

impl Storm {
    /// Runs `work` meanwhile.
    fn during<T>(work: impl FnOnce(&Self) -> T) -> T {
        let (tiny, over) = (&Tiny::new(), &AtomicBool::new(false));
        let storm = &Self {
            ended: Mutex::default(),
            lived: AtomicU64::new(0),
        };
        thread::scope(|scope| {
            let _end = SetOnDrop(over);
            for _ in 0..2 {
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        storm.live(tiny);
                    }
                });
            }
            work(storm)
        })
    }

    fn live(&self, tiny: &Tiny) {
        let pid = tiny.run();
        let now = Clock::since_boot();
        let mut ended = self.ended.lock().expect("nobody has panicked");
        ended.insert(pid, now);
        self.lived.fetch_add(1, Ordering::Relaxed);
    }

    fn lived(&self) -> u64 {
        self.lived.load(Ordering::Relaxed)
    }

    /// Checks that no row of `table` is of a process that had ended before the table was read.
    #[track_caller]
    fn assert_no_ghosts(&self, table: &Value) {
        let ended = self.ended.lock().expect("nobody has panicked");
        let ago = |time: &Value| {
            let time = time
                .as_str()
                .expect("it is text")
                .parse::<jiff::Timestamp>();
            let ago = jiff::Timestamp::now().duration_since(time.expect("it is RFC 3339"));
            // A time in the future counts as now.
            Clock::since_boot().saturating_sub(ago.try_into().unwrap_or_default())
        };
        // With a margin for the conversion to the wall clock and back.
        let read = ago(&table["time"]) - Duration::from_millis(1);
        for row in rows(table) {
            let pid = row["pid"].as_u64().expect("it is a number") as u32;
            if let Some(&ended) = ended.get(&pid) {
                let started = ago(&row["start_time"]);
                assert!(
                    ended < started || ended > read,
                    "{ended:?}, {read:?}: {row}"
                );
            }
        }
    }
}

/// Starts and ends 5,000 processes, 100 of which exec.
#[track_caller]
fn five_thousand_lives() {
    let tiny = Tiny::new();
    let status = Command::new(tiny.path()).args(["lives", "4900"]).status();
    assert!(status.expect("it starts").success());
    for _ in 0..100 {
        tiny.run();
    }
}

#[track_caller]
fn assert_gone(loaded: &Loaded) {
    eventually("the kernel has freed all of it", || {
        loaded.is_gone().then_some(())
    });
}

/// Checks that nothing was lost, and compares the table with /proc.
#[track_caller]
fn assert_exact(tracker: &Tracker) {
    compare_with_proc(tracker);
    assert_eq!(tracker.losses().expect("it can be read").total(), 0);
}

/// The same for a kamap that prints all processes.
#[track_caller]
fn assert_prints_exactly(kamap: &mut Tables) {
    kamap_tests::command::compare_with_proc(|| {
        let table = kamap.fresh_table();
        assert_nothing_lost(&table);
        table
    });
}

#[track_caller]
fn assert_nothing_lost(table: &Value) {
    let losses = &table["losses"];
    assert_eq!(
        (&losses["table_full"], &losses["missed_runs"]),
        (&0.into(), &0.into())
    );
}

/// How many forks, execs and exits a table reports.
#[track_caller]
fn seen(table: &Value) -> [u64; 3] {
    ["fork", "exec", "exit"].map(|what| table["seen"][what].as_u64().expect("it is a number"))
}

#[test]
fn what_is_killed_amid_a_storm_leaves_nothing_behind() {
    let other = tracker();
    Storm::during(|storm| {
        for _ in 0..2 {
            let kamap = Tables::start(kamap(&["--all"]));
            let tracker = Held::start(&mut Command::new(DROPPED));
            let both = [Loaded::by(kamap.pid()), Loaded::by(tracker.pid())];
            for loaded in &both {
                assert_eq!(loaded.links.len(), Loaded::LINKS, "{loaded:?}");
                assert!(!loaded.is_gone());
            }
            let until = storm.lived() + 100;
            eventually("they have seen some of it", || {
                (storm.lived() > until).then_some(())
            });
            let (status, _) = kamap.end(libc::SIGKILL);
            assert_eq!(status.signal(), Some(libc::SIGKILL));
            assert_eq!(tracker.kill().signal(), Some(libc::SIGKILL));
            both.iter().for_each(assert_gone);
        }
    });
    assert_exact(&other);
}

#[test]
fn a_kamap_that_was_stopped_has_missed_nothing() {
    let mut kamap = Tables::start(kamap(&["--all"]));
    let before = kamap.fresh_table();
    kamap.signal(libc::SIGSTOP);
    eventually("it is stopped", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", kamap.pid()));
        stat.expect("it is alive").contains(") T ").then_some(())
    });
    five_thousand_lives();
    let child = Tiny::new().start();
    kamap.signal(libc::SIGCONT);

    assert_prints_exactly(&mut kamap);
    let table = kamap.fresh_table();
    assert!(row(&table, child.pid()).is_some());
    let (before, after) = (seen(&before), seen(&table));
    let [forks, execs, exits] = [0, 1, 2].map(|i| after[i] - before[i]);
    assert!(
        forks > 5_000 && execs > 100 && exits > 5_000,
        "{forks} {execs} {exits}"
    );
}

#[test]
fn a_kamap_whose_output_was_blocked_has_missed_nothing() {
    let mut kamap = Tables::start(kamap(&["--all"]));
    let before = kamap.fresh_table();
    // How much a full pipe holds depends on how it was filled.
    let writes = format!("{} 0x1 ", libc::SYS_write);
    eventually("it waits for the pipe to be read", || {
        let syscall = std::fs::read_to_string(format!("/proc/{}/syscall", kamap.pid()));
        let syscall = syscall.expect("it is alive");
        syscall.starts_with(&writes).then_some(())
    });
    five_thousand_lives();
    let child = Tiny::new().start();

    assert_prints_exactly(&mut kamap);
    let table = kamap.fresh_table();
    assert!(row(&table, child.pid()).is_some());
    let (before, after) = (seen(&before), seen(&table));
    assert!(
        after[0] > before[0] + 5_000 && after[2] > before[2] + 5_000,
        "{after:?}"
    );
    let (status, _) = kamap.end(libc::SIGTERM);
    assert_eq!(status.code(), Some(0));
}

#[rstest]
#[case::drawing("xterm")]
#[case::printing("dumb")]
fn a_kamap_whose_terminal_is_closed_ends(#[case] term: &str) {
    let mut kamap = Command::new(KAMAP);
    kamap.args(["--interval", "20ms"]).env("TERM", term);
    let mut terminal = OnTerminal::start(24, 80, &mut kamap);
    terminal.shows("its programs are attached", |text| {
        text.contains("live ").then_some(())
    });
    let loaded = Loaded::by(terminal.pid());
    assert_eq!(loaded.links.len(), Loaded::LINKS, "{loaded:?}");
    terminal.hang_up();
    let status = terminal.ended();
    assert!(
        status.success() || status.signal() == Some(libc::SIGHUP),
        "{status:?}"
    );
    assert_gone(&loaded);
}

#[test]
fn several_at_once_are_exact_and_do_not_disturb_each_other() {
    let (mut one, mut two) = (
        Tables::start(kamap(&["--all"])),
        Tables::start(kamap(&["--all"])),
    );
    let (first, second) = (tracker(), tracker());
    let tiny = Tiny::new();
    let child = tiny.start();
    for kamap in [&mut one, &mut two] {
        assert_prints_exactly(kamap);
        assert!(row(&kamap.fresh_table(), child.pid()).is_some());
    }
    for tracker in [&first, &second] {
        assert_exact(tracker);
        assert!(snapshot(tracker).contains_key(&child.pid()));
    }

    // One of each ends.
    let (gone, theirs) = (Loaded::by(one.pid()), Loaded::by(two.pid()));
    let (status, _) = one.end(libc::SIGTERM);
    assert_eq!(status.code(), Some(0));
    assert_gone(&gone);
    drop(first);
    assert!(!theirs.is_gone());
    assert_eq!(Loaded::by(two.pid()), theirs);

    let later = tiny.start();
    let pid = child.pid();
    assert!(child.release().success());
    assert_prints_exactly(&mut two);
    let table = two.fresh_table();
    assert!(row(&table, later.pid()).is_some() && row(&table, pid).is_none());
    assert_exact(&second);
    let rows = snapshot(&second);
    assert!(rows.contains_key(&later.pid()) && !rows.contains_key(&pid));
}

#[test]
fn a_kamap_that_starts_amid_a_storm_is_exact() {
    let tiny = Tiny::new();
    let children: Vec<_> = (0..20).map(|_| tiny.start()).collect();
    Storm::during(|storm| {
        let mut starts = 0;
        while starts < 3 || storm.lived() < 2_000 {
            kamap_tests::command::compare_with_proc(|| {
                let table = output(kamap(&["--all", "--once", "--json"]));
                let table = serde_json::from_str(&table).expect("it is JSON");
                assert_nothing_lost(&table);
                storm.assert_no_ghosts(&table);
                for child in &children {
                    assert!(row(&table, child.pid()).is_some(), "{}", child.pid());
                }
                table
            });
            starts += 1;
        }
    });
}

#[test]
fn a_table_far_too_small_stays_readable_amid_a_storm() {
    const ROOM: u32 = 16;
    let tracker = Tracker::builder()
        .max_entries(ROOM)
        .start()
        .expect("the tracker starts");
    let max_entries = ROOM.to_string();
    let mut kamap = Tables::start(kamap(&["--all", "--max-entries", &max_entries]));
    let mut read = 0;
    Storm::during(|storm| {
        while read < 20 || storm.lived() < 300 {
            // `snapshot` and `compare_with_proc` check that no process is in it twice.
            let rows = snapshot(&tracker);
            assert!(!rows.is_empty() && rows.len() <= ROOM as usize, "{rows:?}");
            let table = kamap.table();
            assert!(
                (1..=ROOM as usize).contains(&self::rows(&table).len()),
                "{table}"
            );
            read += 1;
        }
    });
    let losses = tracker.losses().expect("it can be read");
    assert!(
        losses.table_full > 0 && losses.first_refused_pid.is_some(),
        "{losses:?}"
    );
    assert_eq!(losses.missed_runs, 0);
    let table = kamap.fresh_table();
    assert!(table["losses"]["table_full"].as_u64() > Some(0), "{table}");
    // The rows that exist are right, although most processes have none.
    for row in snapshot(&tracker).values() {
        let stat = kamap_tests::stat(row.pid);
        assert!(stat.is_none_or(|stat| stat.start == kamap_tests::ticks(row.start_time)));
    }
}

/// Starts `kamap` in a cgroup that may use `mebibytes`; returns its status and errors.
#[track_caller]
fn start_within(group: &MemoryGroup, kamap: &Path, mebibytes: u64) -> (ExitStatus, String) {
    assert!(group.limit(mebibytes << 20), "nobody is in it");
    let mut kamap = Command::new(kamap);
    let output = group.hold(kamap.arg("--once")).output().expect("it starts");
    let stderr = String::from_utf8(output.stderr).expect("it is UTF-8");
    (output.status, stderr)
}

#[test]
fn a_start_without_enough_memory_ends_by_its_error_or_is_killed_and_leaves_nothing_behind() {
    let other = tracker();
    let group = MemoryGroup::new();
    // A copy: its pages count for this test, which wrote them. Those of a file that is
    // not in memory count for the group, and where they do not fit they come and go without end.
    let folder = tempfile::tempdir().expect("a folder can be made");
    let copy = folder.path().join("kamap");
    fs::copy(KAMAP, &copy).expect("it can be copied");
    let mut failed = 0;
    for mebibytes in [1, 2, 8, 20, 28] {
        let kills = group.kills();
        let (status, stderr) = start_within(&group, &copy, mebibytes);
        if status.signal() == Some(libc::SIGKILL) {
            assert!(group.kills() > kills);
        } else if !status.success() {
            assert_eq!(status.code(), Some(1), "{stderr}");
            assert!(
                stderr.starts_with("kamap: ") && stderr.lines().count() == 1,
                "{stderr}"
            );
            assert!(stderr.contains("the kernel refused a table of"), "{stderr}");
        }
        failed += u32::from(!status.success());
    }
    assert!(failed >= 2, "{failed}");
    // Killed at once, because even its exec exceeds the limit.
    eventually("nothing is loaded that nobody holds", || {
        Loaded::orphans().is_empty().then_some(())
    });
    let (status, stderr) = start_within(&group, &copy, 256);
    assert!(status.success(), "{stderr}");
    assert_exact(&other);
}

/// A child that is killed even if the test fails.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // Both fail if it has ended already, which is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_kamap_that_is_killed_for_its_memory_leaves_nothing_behind() {
    let (other, tiny, group) = (tracker(), Tiny::new(), MemoryGroup::new());
    let mut command = Command::new(KAMAP);
    command.args(["--all", "--json", "--interval", "20ms"]);
    let kamap = group.hold(command.stdout(Stdio::null())).spawn();
    let mut kamap = Ending(kamap.expect("it starts"));
    let loaded = eventually("its programs are attached", || {
        let loaded = Loaded::by(kamap.0.id());
        (loaded.links.len() == Loaded::LINKS).then_some(loaded)
    });

    // The lowest limit that can be set while it runs; then it grows with the table.
    let mut limit = 48 << 20;
    while limit > 0 && group.kills() == 0 && group.limit(limit) {
        limit -= 64 << 10;
    }
    allow_many_files();
    let argument = "x".repeat(600);
    let mut children = Vec::new();
    let status = eventually("it is killed", || {
        children.push(Held::start(Command::new(tiny.path()).arg(&argument)));
        kamap.0.try_wait().expect("it can be waited for")
    });
    assert_eq!(status.signal(), Some(libc::SIGKILL));
    assert!(group.kills() > 0);
    assert_gone(&loaded);
    assert_exact(&other);
}
