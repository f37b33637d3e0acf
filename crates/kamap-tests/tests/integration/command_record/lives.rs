//! What is recorded of each life.

use kamap_tests::repetitions;
use serde_json::{Value, json};

use super::load::{Load, Ran, compare, has_mark};
use super::{Folder, gaps};
use crate::programs::FAILS;

#[test]
fn each_life_of_two_workers_is_recorded_once_as_wait_reports_it() {
    let folder = Folder::new();
    let mut recording = folder.record(&[]);
    let load = Load::start(|number| {
        let script = match number % 6 {
            0 => "exit 0",
            1 => "exit 7",
            2 => "kill -KILL $$",
            3 => "kill -TERM $$",
            4 => "i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); done; exit 255",
            _ => "\"$0\" \"$@\" & wait; exit 1",
        };
        let words = ["sh", "-c", script, "true"].map(str::to_owned);
        [&words[..], &[format!("life-{number}")]].concat()
    });
    load.go_on(repetitions(400) as u32);
    let ran = load.end();
    folder.catch_up(&mut recording);
    let lines = folder.lines();
    let is_child = |life: &Value| has_mark("life-")(life) && life["args"][0] == "sh";
    // Those of the shells are not theirs.
    let own = |life: &Value| is_child(life) && life["ppid"] == std::process::id();
    compare(&lines, &ran, own);
    let grandchildren = lines
        .iter()
        .filter(|life| has_mark("life-")(life) && !own(life));
    let expected = ran
        .iter()
        .filter(|ran| ran.args[2].contains("wait"))
        .count();
    assert_eq!(grandchildren.count(), expected);
    assert_eq!(gaps(&lines), [&Value::Null; 0]);
    recording.end();
    // Nothing changes when the recorder ends.
    compare(&folder.lines(), &ran, own);
    assert_eq!(folder.query::<i64>("SELECT count(*) FROM losses"), [0]);
}

#[test]
fn all_execs_of_a_chain_are_recorded() {
    let folder = Folder::new();
    let mut recording = folder.record(&[]);
    let ran = Ran::words(&["env", "A=b", "nice", "sh", "-c", "exec sleep 0"]);
    folder.catch_up(&mut recording);
    let lives = folder.lives_of(ran.pid);
    assert_eq!(lives.len(), 1, "{lives:?}");
    assert_eq!(lives[0]["execs"], 4);
    assert_eq!(lives[0]["args"], json!(["sleep", "0"]));
    let why = folder.says(&["why", &ran.pid.to_string(), "--json"]);
    let why: Value = serde_json::from_str(&why).expect("it is JSON");
    let execs = why["chain"][0]["execs"].as_array().expect("it is a list");
    let args: Vec<_> = execs.iter().map(|exec| exec["args"][0].as_str()).collect();
    assert_eq!(
        args,
        [Some("env"), Some("nice"), Some("sh"), Some("sleep")],
        "{why}"
    );
    recording.end();
}

#[test]
fn failed_execs_are_recorded_where_they_are_asked_for() {
    for is_wanted in [false, true] {
        let folder = Folder::new();
        let arguments: &[&str] = if is_wanted { &["--failed-execs"] } else { &[] };
        let mut recording = folder.record(arguments);
        let mut child = kamap_tests::Held::start(&mut std::process::Command::new(FAILS));
        child.say("3 /no/such/program\n");
        child.line();
        let pid = child.pid();
        assert!(child.release().success());
        folder.catch_up(&mut recording);
        let query = format!(
            "SELECT file || ' ' || errno FROM failed_execs JOIN lives ON lives.id = life \
             JOIN commands ON commands.id = failed_execs.command WHERE pid = {pid} ORDER BY time"
        );
        let failed = folder.query::<String>(&query);
        let expected = format!("/no/such/program {}", libc::ENOENT);
        assert_eq!(failed, vec![expected; if is_wanted { 3 } else { 0 }]);
        recording.end();
    }
}

#[test]
fn nothing_of_what_is_to_be_left_out_is_in_the_files() {
    const SECRET: &str = "hunter2hunter2";
    for options in [
        &["--without-args"][..],
        &["--redact", "hunter2\\w*", "--failed-execs"],
    ] {
        let folder = Folder::new();
        let before = kamap_tests::Held::start(
            std::process::Command::new(kamap_tests::TINY).arg(format!("--before={SECRET}")),
        );
        let mut recording = folder.record(options);
        let ran = Ran::words(&["env", "nice", "true", &format!("--password={SECRET}")]);
        folder.catch_up(&mut recording);
        let files = folder.all_files();
        let has_secret = |path: &std::path::PathBuf| {
            let bytes = std::fs::read(path).expect("it can be read");
            let mut windows = bytes.windows(SECRET.len());
            windows.any(|window| window == SECRET.as_bytes())
        };
        let wal = |path: &&std::path::PathBuf| path.to_string_lossy().ends_with("-wal");
        assert_eq!(files.iter().filter(wal).count(), 1, "{files:?}");
        assert_eq!(files.iter().find(|path| has_secret(path)), None);
        let lives = folder.lives_of(ran.pid);
        let expected = match options {
            ["--without-args"] => json!(["true", "[redacted]"]),
            _ => json!(["true", "--password=[redacted]"]),
        };
        assert_eq!(lives[0]["args"], expected);
        let shown = folder.says(&["history", "--pid", &ran.pid.to_string()]);
        assert!(shown.contains("[redacted]"), "{shown}");
        recording.end();
        assert_eq!(
            folder.all_files().iter().find(|path| has_secret(path)),
            None
        );
        assert!(before.release().success());
    }
}
