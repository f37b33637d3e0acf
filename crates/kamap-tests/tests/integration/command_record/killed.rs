//! Recorders that are killed, and trackers that are replaced or detached below them.

use std::process::{Command, Stdio};

use kamap_tests::{BpfFs, Held, eventually};
use serde_json::Value;

use super::load::{Load, Ran, compare, has_mark, named, status};
use super::{Folder, gaps};
use crate::programs::{KAMAP, held};

/// A tracker that is attached in a place of its own.
struct Attached {
    bpffs: BpfFs,
}

impl Attached {
    #[track_caller]
    fn new() -> Self {
        let this = Self {
            bpffs: BpfFs::mount(),
        };
        // The load is as fast as it can be, and an attach without optimization is not.
        this.attach(&["--ring-size", "67108864"]);
        this
    }

    fn dir(&self) -> String {
        self.bpffs.at("kamap").to_string_lossy().into_owned()
    }

    #[track_caller]
    fn attach(&self, more: &[&str]) {
        let mut arguments = vec!["attach", "--events", "--kind", "fork,exec,exit"];
        arguments.extend(more);
        self.run(&arguments);
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) {
        let mut command = Command::new(KAMAP);
        command.args(arguments).arg("--dir").arg(self.dir());
        let output = command.stdin(Stdio::null()).output().expect("it runs");
        let err = super::text(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {err}");
    }
}

#[test]
fn an_attached_recorder_that_is_killed_loses_nothing_and_records_nothing_twice() {
    let (folder, attached) = (Folder::new(), Attached::new());
    let dir = attached.dir();
    let mut recording = folder.start(&["--attached", &dir]);
    let load = Load::of(folder.tiny.path(), "killed");
    for _ in 0..10 {
        load.go_on(100);
        recording.kill();
        load.go_on(50);
        recording = folder.begin(&["--attached", &dir]);
        load.go_on(50);
    }
    let ran = load.end();
    folder.catch_up(&mut recording);
    assert_eq!(folder.query::<i64>("SELECT count(*) FROM spans"), [1]);
    assert_eq!(folder.query::<i64>("SELECT count(*) FROM losses"), [0]);
    recording.end();
    let lines = folder.lines();
    compare(&lines, &ran, has_mark("killed"));
    assert_eq!(gaps(&lines), [&Value::Null; 0]);
    // No life goes on that has ended, and none is known as a parent only.
    let ghosts = "SELECT count(*) FROM lives WHERE origin IS NULL OR end AND status IS NULL";
    assert_eq!(folder.query::<i64>(ghosts), [0]);
}

#[test]
fn a_tracker_that_is_replaced_under_the_recorder_loses_nothing() {
    let (folder, attached) = (Folder::new(), Attached::new());
    let dir = attached.dir();
    let mut recording = folder.start(&["--attached", &dir]);
    let load = Load::of(folder.tiny.path(), "replaced");
    for _ in 0..3 {
        load.go_on(100);
        attached.attach(&["--replace"]);
        load.go_on(100);
        recording.assert_runs();
    }
    // Also while nobody records.
    recording.kill();
    attached.attach(&["--replace"]);
    load.go_on(100);
    recording = folder.begin(&["--attached", &dir]);
    let ran = load.end();
    folder.catch_up(&mut recording);
    recording.end();
    let lines = folder.lines();
    compare(&lines, &ran, has_mark("replaced"));
    assert_eq!(gaps(&lines), [&Value::Null; 0]);
    assert_eq!(folder.query::<i64>("SELECT count(*) FROM spans"), [1]);
}

#[test]
fn a_recorder_whose_tracker_is_detached_says_so_and_leaves_a_history() {
    let (folder, attached) = (Folder::new(), Attached::new());
    let mut recording = folder.start(&["--attached", &attached.dir()]);
    let ran = Ran::words(&["sh", "-c", "exit 3"]);
    folder.catch_up(&mut recording);
    attached.run(&["detach"]);
    assert_eq!(recording.ended().code(), Some(1));
    let said = recording.said();
    assert!(
        said.contains("detached") && said.lines().count() == 1,
        "{said}"
    );
    let lives = folder.lives_of(ran.pid);
    assert_eq!(lives.len(), 1);
    assert_eq!(status(&lives[0]), Some(3 << 8));
    // The next one finds nothing there.
    let refusal = folder.refuses(&["record", "--attached", &attached.dir()]);
    assert!(refusal.contains("nothing is attached"), "{refusal}");
}

#[test]
fn without_an_attached_tracker_what_a_killed_recorder_misses_is_shown() {
    let folder = Folder::new();
    let name = named(folder.dir.path(), "lost-here");
    let name = name.to_str().expect("it is UTF-8").to_owned();
    let mut recording = folder.record(&[]);
    let ends = Held::start(&mut Command::new(&name));
    let goes_on = Held::start(&mut held());
    let (ends_pid, goes_on_pid) = (ends.pid(), goes_on.pid());
    folder.catch_up(&mut recording);
    recording.kill();
    assert!(ends.release().success());
    let unseen = Ran::words(&[&name]);

    let lines = folder.lines();
    let running = |pid: u32| {
        let mut lives = lines.iter().filter(move |line| line["pid"] == pid);
        lives.next().expect("it is there")["running"] == true
    };
    assert!(running(ends_pid) && running(goes_on_pid));

    let mut recording = folder.record(&[]);
    let after = Ran::words(&["sh", "-c", "exit 5"]);
    folder.catch_up(&mut recording);
    folder.until_ended(ends_pid);
    let lines = folder.lines();
    let gaps = gaps(&lines);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0]["lost"], serde_json::json!({}), "{gaps:?}");
    let shown = folder.says(&["history"]);
    assert!(shown.contains("nothing was recorded"), "{shown}");
    assert_eq!(folder.lives_of(unseen.pid), [Value::Null; 0]);
    assert_eq!(status(&folder.lives_of(after.pid)[0]), Some(5 << 8));
    let lives = folder.lives_of(ends_pid);
    assert_eq!(lives.len(), 1, "{lives:?}");
    assert_eq!(
        (&lives[0]["running"], status(&lives[0])),
        (&false.into(), None)
    );
    let shown = folder.says(&["history", "--pid", &ends_pid.to_string()]);
    assert!(shown.contains("unknown"), "{shown}");
    let lives = folder.lives_of(goes_on_pid);
    assert_eq!(lives.len(), 1, "{lives:?}");
    assert_eq!(lives[0]["running"], true);
    assert!(goes_on.release().success());
    folder.catch_up(&mut recording);
    assert_eq!(status(&folder.lives_of(goes_on_pid)[0]), Some(0));
    recording.end();
}

#[test]
fn a_second_recorder_is_refused_and_names_the_first() {
    let folder = Folder::new();
    let recording = folder.record(&[]);
    let refusal = folder.refuses(&["record", "--own"]);
    let pid = recording.child.id().to_string();
    assert!(
        refusal.contains(&format!("process {pid} records")),
        "{refusal}"
    );
    recording.kill();
    let recording = folder.record(&[]);
    recording.end();
    eventually("the folder is free", || {
        folder.history().join("lock").exists().then_some(())
    });
}
