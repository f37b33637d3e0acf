//! `kamap why`, and the other forms of `kamap history`.

use std::process::Command;

use kamap_tests::{Held, eventually};
use serde_json::{Value, json};

use super::load::{Ran, has_mark, status};
use super::{Folder, change};
use crate::programs::{HELD, SUCCESSORS};

#[track_caller]
fn why(folder: &Folder, arguments: &[&str]) -> Value {
    let said = folder.says(&[&["why", "--json"], arguments].concat());
    serde_json::from_str(&said).expect("it is JSON")
}

#[test]
fn an_orphan_is_traced_to_who_started_it_though_all_of_them_are_dead() {
    let folder = Folder::new();
    let mut recording = folder.record(&[]);
    let script = "sh -c 'exec 3<&0; (exec \"$0\" orphan <&3) & echo $!' \"$0\"; exit 9";
    // Other tests start programs of the usual name.
    let name = format!("orphan{}", std::process::id());
    let program = folder.dir.path().join(&name);
    std::fs::copy(HELD, &program).expect("there is room");
    let mut command = Command::new("sh");
    let mut starter = Held::start(command.args(["-c", script]).arg(&program));
    // The orphan prints an empty line.
    let outer = starter.pid();
    let orphan = starter.said().to_owned() + &starter.line();
    folder.catch_up(&mut recording);
    let end = eventually("the shells have ended", || {
        let lives = folder.lives_of(outer);
        lives.first().and_then(status)
    });
    assert_eq!(end, 9 << 8);
    for arguments in [&[&*orphan][..], &[&orphan, "--at", "now"]] {
        let why = why(&folder, arguments);
        let chain = why["chain"].as_array().expect("it is a list");
        let names: Vec<_> = chain[..3].iter().map(|link| &link["comm"]).collect();
        assert_eq!(names, [&json!(name), &json!("sh"), &json!("sh")], "{why}");
        assert_eq!(chain[2]["pid"], outer);
        assert_eq!(chain[3]["pid"], std::process::id());
        assert_eq!(chain[0]["running"], true);
        assert_eq!(status(&chain[1]), Some(0));
        assert_eq!(status(&chain[2]), Some(9 << 8));
        assert_eq!(chain[0]["args"], json!([program, "orphan"]));
    }
    // Adoption is no event: it is noticed a moment later.
    let text = eventually("it is known who has adopted it", || {
        let text = folder.says(&["why", &orphan]);
        text.contains("adopted by PID").then_some(text)
    });
    assert!(
        text.contains(&format!("started by PID {outer} (sh)")),
        "{text}"
    );
    // By its name, which the youngest has.
    let named = why(&folder, &[&name]);
    assert_eq!(named["chain"][0]["pid"].to_string(), orphan);
    // What ended nobody has any more.
    let (status, _) = starter.read_to_end_of_parent();
    assert_eq!(status.code(), Some(9));
    recording.end();
}

trait ReadToEnd {
    fn read_to_end_of_parent(self) -> (std::process::ExitStatus, String);
}

impl ReadToEnd for Held {
    /// Lets the orphan, which has the same input, end.
    fn read_to_end_of_parent(mut self) -> (std::process::ExitStatus, String) {
        self.let_go();
        self.read_to_end()
    }
}

#[test]
fn a_pid_that_is_used_again_is_told_apart_by_the_time() {
    let folder = Folder::new();
    let mut recording = folder.record(&[]);
    let mut parent = Held::start(Command::new(SUCCESSORS).arg(HELD));
    let mut next = |command: &str| {
        parent.say(command);
        parent.line()
    };
    let (mut pid, mut moments) = (String::new(), Vec::new());
    for name in ["first", "second"] {
        let this = next(&format!("exec {name}\n"));
        assert!(pid.is_empty() || pid == this);
        pid = this;
        moments.push((name, jiff::Timestamp::now().to_string()));
        assert_eq!(next("\n"), "0");
    }
    folder.catch_up(&mut recording);
    for (name, moment) in moments {
        let why = why(&folder, &[&pid, "--at", &moment]);
        assert_eq!(why["chain"][0]["args"][1], name, "{why}");
    }
    let why = why(&folder, &[&pid]);
    assert_eq!(why["chain"][0]["args"][1], "second", "{why}");
    recording.assert_runs();
    recording.end();
}

#[test]
fn a_process_that_is_not_recorded_is_none() {
    let folder = Folder::new();
    let recording = folder.record(&[]);
    for arguments in [
        &["why", "4194303"][..],
        &["why", "no such name"],
        &["why", "1", "--at", "2001-01-01"],
    ] {
        let refusal = folder.refuses(arguments);
        assert!(refusal.contains("no process has PID or name"), "{refusal}");
    }
    recording.end();
}

#[test]
fn lives_of_several_boots_are_told_apart() {
    let folder = Folder::new();
    let held = Held::start(&mut crate::programs::held());
    let mut recording = folder.record(&[]);
    let before = Ran::words(&["sh", "-c", "exit 3", "boot-1"]);
    folder.catch_up(&mut recording);
    recording.end();
    change(
        &folder.files()[0],
        "UPDATE boots SET boot_id = 'the-boot-before'",
    );
    let mut recording = folder.record(&[]);
    let after = Ran::words(&["sh", "-c", "exit 4", "boot-2"]);
    folder.catch_up(&mut recording);
    assert_eq!(folder.files().len(), 2);
    let lines = folder.lines();
    let life = |pid: u32| {
        lines
            .iter()
            .filter(move |line| line["pid"] == pid)
            .collect::<Vec<_>>()
    };
    assert_eq!(life(before.pid)[0]["boot_id"], "the-boot-before");
    assert_ne!(life(after.pid)[0]["boot_id"], "the-boot-before");
    let held_lives = life(held.pid());
    assert_eq!(held_lives.len(), 2, "{held_lives:?}");
    // The one of the boot before ended with it.
    let of_boot = |is_before: bool| {
        let mut lives = held_lives.iter();
        let life = lives.find(|life| (life["boot_id"] == "the-boot-before") == is_before);
        life.expect("there is one")["running"].clone()
    };
    assert_eq!((of_boot(true), of_boot(false)), (json!(false), json!(true)));
    let shown = folder.says(&["history"]);
    assert_eq!(
        shown.matches("(the machine booted at").count(),
        1,
        "{shown}"
    );
    recording.end();
}

#[test]
fn history_selects_sums_up_and_shows_a_tree() {
    let folder = Folder::new();
    let mut recording = folder.record(&[]);
    let script = "sh -c 'true; exit 4' && true; \"$0\" </dev/null; exit 6";
    let ran = Ran::words(&[
        "sh",
        "-c",
        script,
        folder.tiny.path().to_str().expect("it is UTF-8"),
    ]);
    folder.catch_up(&mut recording);
    let pids = |arguments: &[&str]| -> Vec<u64> {
        let said = folder.says(&[&["history", "--json"], arguments].concat());
        let lines = kamap_tests::command::json(&said);
        lines
            .iter()
            .filter_map(|line| line["pid"].as_u64())
            .collect()
    };
    let pid = u64::from(ran.pid);
    let ppid = ran.pid.to_string();
    assert_eq!(pids(&["--ppid", &ppid]).len(), 2);
    assert_eq!(pids(&["--ppid", &ppid, "--failed"]).len(), 1);
    assert_eq!(pids(&["--ppid", &ppid, "--comm", "^tiny$"]).len(), 1);
    assert_eq!(
        pids(&["--pid", &ppid, "--user", "0", "--cgroup", "/"]),
        [pid]
    );
    assert_eq!(pids(&["--pid", &ppid, "--user", "4711"]), [0; 0]);
    assert_eq!(pids(&["--pid", &ppid, "--min-duration", "1h"]), [0; 0]);
    assert_eq!(
        pids(&["--pid", &ppid, "--since", "-2h", "--until", "-1h"]).len(),
        0
    );

    let tree = folder.says(&["history", "--tree", "--json"]);
    let tree = kamap_tests::command::json(&tree);
    let depth = |is_it: &dyn Fn(&Value) -> bool| {
        let life = tree.iter().find(|life| is_it(life)).expect("it is there");
        life["depth"].as_u64().expect("it is a number")
    };
    let parent = depth(&|life| life["pid"] == pid);
    assert_eq!(depth(&|life| life["ppid"] == pid), parent + 1);

    let groups = folder.says(&["history", "--summary", "--by", "exit", "--json"]);
    let groups = kamap_tests::command::json(&groups);
    let count = |exit: &str| {
        let group = groups.iter().find(|group| group["exit"] == exit);
        group.map_or(0, |group| group["count"].as_u64().expect("it is a number"))
    };
    assert!(count("4") >= 1 && count("6") >= 1, "{groups:?}");
    for by in ["command", "parent", "user", "unit"] {
        let text = folder.says(&["history", "--summary", "--by", by]);
        assert!(text.lines().count() >= 2, "{text}");
    }
    let groups = folder.says(&["history", "--summary", "--json"]);
    let groups = kamap_tests::command::json(&groups);
    let tiny = groups.iter().find(|group| group["command"] == "tiny");
    assert_eq!(tiny.expect("there were some")["failed"], 0);
    recording.end();
}

#[test]
fn history_follows_each_life_once() {
    let folder = Folder::new();
    let mut recording = folder.record(&[]);
    // What it takes for now would be after the first of them where it is slow to start.
    let now = jiff::Timestamp::now().to_string();
    let mut follow = Held::start(
        folder
            .command(&["history", "--follow", "--json", "--comm", "^tiny$"])
            .args(["--since", &now]),
    );
    let mut pids = vec![];
    for _ in 0..20 {
        pids.push(folder.tiny.run());
    }
    folder.catch_up(&mut recording);
    let mut seen = Vec::new();
    while !pids.iter().all(|pid| seen.contains(pid)) {
        let line: Value = serde_json::from_str(&follow.line()).expect("it is JSON");
        if has_mark("")(&line) {
            seen.push(line["pid"].as_u64().expect("it is a number") as u32);
        }
    }
    let mut once = seen.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), seen.len());
    follow.signal(libc::SIGINT);
    assert_eq!(follow.read_to_end().0.code(), Some(0));
    recording.end();
}
