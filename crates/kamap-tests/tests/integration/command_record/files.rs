//! The files of a history: who may read them, how many there are, and a disk that is full.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kamap_tests::{Held, eventually};
use serde_json::{Value, json};

use super::load::{Load, Ran, compare, has_mark, status};
use super::{Folder, gaps, rows, text};
use crate::programs::{KAMAP, held};

fn mode(path: &Path) -> (u32, u32) {
    let metadata = fs::metadata(path).expect("it is there");
    (metadata.permissions().mode() & 0o7777, metadata.gid())
}

#[test]
fn only_root_can_read_unless_a_group_may() {
    let folder = Folder::new();
    let mut recording = folder.record(&[]);
    folder.catch_up(&mut recording);
    assert_eq!(mode(&folder.history()), (0o700, 0));
    let files = folder.all_files();
    assert!(files.len() >= 4, "{files:?}");
    for file in &files {
        assert_eq!(mode(file), (0o600, 0), "{}", file.display());
    }
    recording.kill();

    // Also the files that were there before.
    let mut recording = folder.record(&["--group", "4711"]);
    let ran = Ran::words(&["sh", "-c", "exit 5"]);
    folder.catch_up(&mut recording);
    assert_eq!(mode(&folder.history()), (0o750, 4711));
    for file in folder.all_files() {
        let expected = match file.ends_with("lock") {
            true => (0o600, 0),
            false => (0o640, 4711),
        };
        assert_eq!(mode(&file), expected, "{}", file.display());
    }
    fs::set_permissions(folder.dir.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let as_member = |group: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "4712", "--regid", group, "--clear-groups", KAMAP]);
        command
            .args(["history", "--json", "--dir"])
            .arg(folder.history());
        command.output().expect("it runs")
    };
    let reads = |what: &str| {
        let output = as_member("4711");
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success() && err.is_empty(), "{what}: {err}");
        let lives = kamap_tests::command::json(&out);
        let life = lives.iter().find(|life| life["pid"] == ran.pid);
        assert_eq!(life.and_then(status), Some(5 << 8), "{what}");
    };
    reads("while it records");
    let output = as_member("4712");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    recording.kill();
    reads("after it was killed");
    folder.record(&["--group", "4711"]).end();
    reads("after it has ended");
}

/// The sum of the sizes of all files.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()))
        .sum()
}

#[test]
fn the_files_never_use_more_than_was_allowed_and_lives_go_on_from_one_to_the_next() {
    const MOST: u64 = 8 << 20;
    let folder = Folder::new();
    let mut recording = folder.record(&["--max-size", "8MiB"]);
    let mut command = Command::new("sh");
    let long = Held::start(command.args([
        "-c",
        "exec env nice \"$0\" long-lived",
        crate::programs::HELD,
    ]));
    let (stop, most) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let watch = std::thread::spawn({
        let (stop, most, dir) = (Arc::clone(&stop), Arc::clone(&most), folder.history());
        move || {
            while !stop.load(Ordering::Relaxed) {
                most.fetch_max(size(&dir), Ordering::Relaxed);
            }
        }
    });
    let tiny = folder.tiny.path().to_str().expect("it is UTF-8").to_owned();
    let newest = || {
        let path = folder.files().pop().expect("there is one");
        let name = path.file_name().expect("it has one").to_string_lossy();
        name.split('-')
            .nth(1)
            .and_then(|number| number.parse::<u32>().ok())
            .expect("it is one")
    };
    let mut ran = Vec::new();
    let mut fill = |recording: &mut super::Recording, files| {
        while newest() < files {
            let (tiny, first) = (tiny.clone(), ran.len());
            ran.extend(Load::some(150, move |number| {
                let number = first + number as usize;
                let long = "x".repeat(4000);
                vec![
                    tiny.clone(),
                    format!("{number}-{long}"),
                    format!("rotated-{number}"),
                ]
            }));
            folder.catch_up(recording);
        }
    };
    fill(&mut recording, 2);
    assert!(folder.files()[0].to_string_lossy().contains("000001"));
    let long_lived = folder.lives_of(long.pid());
    assert_eq!(long_lived.len(), 1, "{long_lived:?}");
    let why = folder.says(&["why", &long.pid().to_string(), "--json"]);
    let why: Value = serde_json::from_str(&why).expect("it is JSON");
    let execs = why["chain"][0]["execs"].as_array().expect("it is a list");
    let first: Vec<_> = execs.iter().map(|exec| &exec["args"][0]).collect();
    assert_eq!(
        first,
        [
            &json!("sh"),
            &json!("env"),
            &json!("nice"),
            &json!(crate::programs::HELD)
        ]
    );
    assert_eq!(why["chain"][1]["pid"], std::process::id());
    // Until the oldest are removed.
    fill(&mut recording, 9);
    let pid = long.pid();
    assert!(long.release().success());
    folder.catch_up(&mut recording);
    let lines = folder.lines();
    assert_eq!(gaps(&lines), [&Value::Null; 0]);
    let lives: Vec<_> = lines.iter().filter(|line| line["pid"] == pid).collect();
    assert_eq!(lives.len(), 1, "{lives:?}");
    assert_eq!(status(lives[0]), Some(0));
    recording.end();
    stop.store(true, Ordering::Relaxed);
    watch.join().expect("it looks");
    let most = most.load(Ordering::Relaxed);
    assert!(most <= MOST, "{most}");
    assert!(most > MOST / 2, "{most}");
    assert!(!folder.files()[0].to_string_lossy().contains("000001"));
    // Each once, up to the last one: those are missing that were removed.
    let first = lines
        .iter()
        .filter(|line| has_mark("rotated")(line))
        .map(|line| {
            let mark = line["args"][2].as_str().expect("it is text");
            mark["rotated-".len()..]
                .parse::<usize>()
                .expect("it is a number")
        });
    let first = first.min().expect("there are some");
    assert!(first > 0);
    // Two workers: the order in which they end is not that of their numbers.
    let is_left = |mark: &str| {
        let number = mark["rotated-".len()..]
            .parse::<usize>()
            .expect("it is a number");
        number > first + 2
    };
    ran.retain(|ran| is_left(&ran.args[2]));
    compare(&lines, &ran, |line| {
        has_mark("rotated")(line) && is_left(line["args"][2].as_str().expect("it is text"))
    });
}

#[test]
fn what_is_too_old_is_removed() {
    let folder = Folder::new();
    folder.record(&[]).end();
    let first = folder.files().remove(0);
    for (number, age) in [(2, "2 hours ago"), (3, "now")] {
        let path = folder
            .history()
            .join(format!("kamap-00000{number}-2020-01-01.sqlite"));
        fs::copy(&first, &path).expect("it can be copied");
        super::change(&path, "UPDATE boots SET boot_id = 'another'");
        touch(&path, age);
    }
    touch(&first, "3 days ago");
    let mut recording = folder.record(&["--keep", "1h"]);
    folder.catch_up(&mut recording);
    let names: Vec<_> = folder
        .files()
        .iter()
        .map(|path| path.file_name().expect("it has one").to_string_lossy()[..12].to_owned())
        .collect();
    assert_eq!(names, ["kamap-000003", "kamap-000004"]);
    recording.end();
}

fn touch(path: &Path, age: &str) {
    let touched = Command::new("touch").args(["-d", age]).arg(path).status();
    assert!(touched.expect("it runs").success());
}

/// A small file system. Dropped, it is unmounted.
struct Disk(PathBuf);

impl Disk {
    #[track_caller]
    fn mount(path: PathBuf, options: &str) -> Self {
        fs::create_dir(&path).expect("it can be made");
        duct::cmd!("mount", "-t", "tmpfs", "-o", options, "none", &path)
            .run()
            .expect("it can be mounted");
        Self(path)
    }

    /// Leaves no room.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = fs::File::create(&path).expect("a file can be made");
        for size in [1 << 16, 1] {
            while std::io::Write::write_all(&mut file, &vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let path = CString::new(self.0.as_os_str().as_bytes()).expect("paths have no NUL");
        // SAFETY: a C string.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
}

/// Resident memory in KiB.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let words = line.and_then(|line| line.split_whitespace().nth(1));
    words
        .expect("it has memory")
        .parse()
        .expect("it is a number")
}

#[test]
fn on_a_full_disk_the_recorder_waits_for_room_and_loses_nothing_that_the_ring_holds() {
    let folder = Folder::new();
    let disk = Disk::mount(folder.history(), "size=16m");
    let mut recording = folder.record(&[]);
    let filler = disk.fill();
    let load = Load::of(folder.tiny.path(), "full");
    eventually("it says so", || {
        recording.assert_runs();
        recording.said().contains("no room").then_some(())
    });
    load.go_on(300);
    let ran = load.end();
    fs::remove_file(filler).expect("it is there");
    folder.catch_up(&mut recording);
    let said = recording.said();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].contains("no room"), "{said}");
    assert!(lines[1].contains("there is room again"), "{said}");
    let lines = folder.lines();
    compare(&lines, &ran, has_mark("full"));
    assert_eq!(gaps(&lines), [&Value::Null; 0]);
    recording.end();
}

#[test]
fn on_a_disk_that_stays_full_memory_stays_bounded_and_the_gap_is_shown() {
    let folder = Folder::new();
    let disk = Disk::mount(folder.history(), "size=16m");
    let mut recording = folder.record(&["--ring-size", "262144"]);
    let ends = Held::start(&mut held());
    folder.catch_up(&mut recording);
    let filler = disk.fill();
    let load = Load::of(folder.tiny.path(), "full");
    eventually("it says so", || {
        recording.assert_runs();
        recording.said().contains("no room").then_some(())
    });
    let before = memory(recording.child.id());
    load.go_on(500);
    let pid = ends.pid();
    assert!(ends.release().success());
    load.go_on(500);
    let after = memory(recording.child.id());
    assert!(after < before + (4 << 10), "{before} {after}");
    load.end();
    fs::remove_file(filler).expect("it is there");
    folder.go_on(&mut recording);
    let said = recording.said();
    assert_eq!(said.lines().count(), 2, "{said}");
    folder.until_ended(pid);
    let lines = folder.lines();
    let gaps = gaps(&lines);
    // More than one where others start so many processes that the small ring is full again.
    let is_of_ring = |gap: &&Value| gap["lost"]["ring_full"].as_u64() > Some(0);
    assert!(!gaps.is_empty() && gaps.iter().all(is_of_ring), "{gaps:?}");
    let lives: Vec<_> = lines.iter().filter(|line| line["pid"] == pid).collect();
    assert_eq!(lives.len(), 1, "{lives:?}");
    assert_eq!(
        (&lives[0]["running"], status(lives[0])),
        (&false.into(), None)
    );
    recording.end();
}

#[test]
fn a_disk_that_is_full_when_a_new_file_is_due_keeps_the_history_whole() {
    let folder = Folder::new();
    let disk = Disk::mount(folder.history(), "size=24m");
    let mut recording = folder.record(&["--max-size", "8MiB", "--ring-size", "67108864"]);
    let tiny = folder.tiny.path().to_str().expect("it is UTF-8").to_owned();
    let run = |count| {
        let tiny = tiny.clone();
        Load::some(count, move |number| {
            let long = "x".repeat(2000);
            vec![
                tiny.clone(),
                format!("{number}-{long}"),
                format!("due-{number}"),
            ]
        })
    };
    // Whatever it is about to do when there is no room.
    const ROUNDS: usize = 12;
    let mut count = 0;
    for round in 0..ROUNDS as u32 {
        run(40 * (1 + round % 3));
        let filler = disk.fill();
        run(60);
        eventually("it says so", || {
            recording.assert_runs();
            run(1);
            let said = recording.said().matches("no room").count();
            (said > count).then(|| count = said)
        });
        fs::remove_file(filler).expect("it is there");
        eventually("it goes on", || {
            recording.assert_runs();
            (recording.said().matches("room again").count() >= count).then_some(())
        });
    }
    folder.catch_up(&mut recording);
    let lines = folder.lines();
    assert_eq!(gaps(&lines), [&Value::Null; 0]);
    let said = recording.said();
    assert_eq!(said.lines().count(), 2 * ROUNDS, "{said}");
    recording.end();
    for file in folder.files() {
        let check = rows::<String>(&file, "PRAGMA integrity_check");
        assert_eq!(check, ["ok"], "{}", file.display());
        let unknown = "SELECT count(*) FROM lives WHERE command NOT IN (SELECT id FROM commands) \
                       OR comm NOT IN (SELECT id FROM strings)";
        assert_eq!(rows::<i64>(&file, unknown), [0], "{}", file.display());
    }
    assert!(
        folder
            .all_files()
            .iter()
            .all(|file| !text(file.as_os_str().as_bytes()).ends_with(".new"))
    );
}
