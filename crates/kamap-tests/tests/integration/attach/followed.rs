//! `kamap run --dir`: following a command by what is attached.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use kamap::{AttachOptions, Event, Filter, Item, Kinds, Pinned, Tracker};
use kamap_tests::{eventually, repetitions};
use rstest::rstest;
use serde_json::Value;

use super::{Place, run_child, text};
use crate::programs::{KAMAP, STARTS};

const EVENTS: [&str; 4] = ["attach", "--events", "--kind", "fork,exec,exit"];

/// `kamap run` of a command by what is attached, with JSON on standard output.
fn follow(place: &Place, options: &[&str], command: &[&str]) -> Command {
    let mut run = Command::new(KAMAP);
    run.args(["run", "--json", "-o", "-", "--dir"]);
    run.arg(place.dir()).args(options);
    run.arg("--").args(command).stdin(Stdio::null());
    run
}

/// The same, and the processes that it tells of, by PID.
#[track_caller]
fn followed(place: &Place, command: &[&str]) -> (Output, HashMap<u64, Value>) {
    let run = follow(place, &["-q"], command);
    let mut bounded = Command::new("timeout");
    bounded
        .arg("60")
        .arg(run.get_program())
        .args(run.get_args());
    let output = bounded.stdin(Stdio::null()).output().expect("it runs");
    assert_ne!(output.status.code(), Some(124), "it ends with the command");
    let mut processes = HashMap::new();
    for line in text(&output.stdout).lines() {
        let line: Value = serde_json::from_str(line).expect("it is JSON");
        if line["type"] == "process" {
            let pid = line["pid"].as_u64().expect("it is a number");
            assert_eq!(processes.insert(pid, line), None);
        }
    }
    (output, processes)
}

/// The events that nobody has read.
#[track_caller]
fn left(place: &Place) -> Vec<Event> {
    let pinned = Pinned::open(place.dir()).expect("it is attached");
    let mut events = pinned.events(false).expect("nobody reads them");
    let mut left = Vec::new();
    let read = events.drain(|item| match item {
        Item::Event(event) => left.push(event),
        other => panic!("{other:?}"),
    });
    read.expect("they can be read");
    left
}

#[test]
fn a_command_is_followed_by_what_is_attached_and_its_events_are_read_then() {
    let place = Place::new();
    place.says(&EVENTS);
    let before = run_child();
    let script = "/bin/true; bash -c 'exit 3'; exit 5";
    let run = follow(
        &place,
        &["--kind", "fork,exec,exit"],
        &["bash", "-c", script],
    );
    let mut run = run;
    let output = run.output().expect("it runs");
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("it is JSON"))
        .collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["type"].as_str()).collect();
    let expected = [
        "stream", "fork", "exec", "fork", "exec", "exit", "fork", "exec", "exit", "exit",
        "process", "process", "process", "run",
    ];
    assert_eq!(kinds, expected.map(Some));
    assert!(lines.iter().all(|line| line["pid"] != before));
    let codes = lines.iter().filter(|line| line["type"] == "process");
    let codes: Vec<_> = codes.map(|line| line["exit_code"].as_u64()).collect();
    assert_eq!(codes, [Some(5), Some(0), Some(3)]);
    assert_eq!(lines[13]["losses"]["ring_full"], 0);

    // The next reader begins behind the end of the command.
    let command = lines[1]["pid"].as_u64().expect("it is a number");
    let left = left(&place);
    let is_read =
        |event: &Event| u64::from(event.process.pid) != command && event.process.pid != before;
    assert!(left.iter().all(is_read), "{left:?}");
    for _ in 0..20 {
        let (_, processes) = followed(&place, &["/bin/true"]);
        let told = |event: &Event| processes.contains_key(&event.process.pid.into());
        assert!(!self::left(&place).iter().any(told), "{processes:?}");
    }
}

#[test]
fn a_process_that_the_command_starts_as_its_sibling_is_followed() {
    let place = Place::new();
    place.says(&EVENTS);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let told = folder.path().join("told");
    let mut run = Command::new(KAMAP);
    run.args(["run", "-q", "--json", "--dir"]).arg(place.dir());
    run.arg("-o").arg(&told);
    run.args(["--", STARTS, "clone-parent", "/bin/true"]);
    run.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut run = run.spawn().expect("it starts");
    // The child tells its PID before it execs, and its parent stays.
    let mut line = String::new();
    let stdout = run.stdout.take().expect("it is piped");
    let read = BufReader::new(stdout).read_line(&mut line);
    read.expect("it is text");
    let mut stdin = run.stdin.take().expect("it is piped");
    writeln!(stdin).expect("it reads");
    // SAFETY: takes numbers. It has not been waited for.
    let killed = unsafe { libc::kill(run.id().cast_signed(), libc::SIGTERM) };
    assert_eq!(killed, 0);
    assert_eq!(run.wait().expect("it is a child").code(), Some(128 + 15));
    let pid: u64 = line.trim().parse().expect("it is a PID");
    let told = fs::read_to_string(told).expect("it is there");
    let lines = told.lines().map(serde_json::from_str);
    let mut lines = lines.map(|line| line.expect("it is JSON"));
    assert!(lines.any(|line: Value| line["type"] == "process" && line["pid"] == pid));
}

/// Lets a process end that waits for a file to go.
struct Survivor(tempfile::TempDir);

impl Survivor {
    fn file(&self) -> std::path::PathBuf {
        self.0.path().join("stay")
    }
}

impl Drop for Survivor {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.file());
    }
}

#[test]
fn what_is_left_of_one_command_is_not_of_the_next() {
    let place = Place::new();
    place.says(&EVENTS);
    let survivor = Survivor(tempfile::tempdir().expect("a folder can be made"));
    let file = survivor.file();
    fs::write(&file, "").expect("it can be written");
    // It starts processes as long as the file is there.
    let script = "while [ -e \"$0\" ]; do /bin/true; done > /dev/null 2>&1 & exit 0";
    let (output, first) = followed(&place, &["bash", "-c", script, &file.display().to_string()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(first.len() >= 2, "{first:?}");
    // The events of others, which come all the time, do not keep it from its end.
    for _ in 0..repetitions(50) {
        let (_, processes) = followed(&place, &["bash", "-c", "/bin/true; /bin/true; :"]);
        assert_eq!(processes.len(), 3, "{processes:?}");
    }
    drop(survivor);
}

#[test]
fn a_command_is_followed_while_what_is_attached_is_replaced() {
    let place = Place::new();
    place.says(&EVENTS);
    let script =
        "\"$0\" attach --replace --dir \"$1\" > /dev/null && bash -c 'exit 3'; /bin/true; exit 4";
    let dir = place.dir().display().to_string();
    let run = &["bash", "-c", script, KAMAP, &dir];
    let (output, processes) = followed(&place, run);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    let mut codes: Vec<_> = processes
        .values()
        .filter(|process| !process["args"].to_string().contains("--replace\",\"--dir"))
        .map(|process| process["exit_code"].as_u64())
        .collect();
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(3), Some(4)], "{processes:?}");
    assert!(!text(&output.stdout).contains("\"type\":\"replaced\""));
}

#[rstest]
#[case::no_events(&["attach"], &[], "fork,exec,exit")]
#[case::no_forks(&["attach", "--events"], &[], "fork,exec,exit")]
#[case::no_failed_execs(&EVENTS, &["--kind", "exec_failed"], "fork,exec,exec_failed,exit")]
fn events_that_do_not_tell_all_of_a_command_are_refused(
    #[case] attach: &[&str],
    #[case] options: &[&str],
    #[case] kinds: &str,
) {
    let place = Place::new();
    place.says(attach);
    assert_refused(
        &place,
        options,
        &format!("kamap attach --events --kind {kinds}`"),
    );
}

#[test]
fn events_of_some_processes_only_are_refused() {
    let place = Place::new();
    let events = Filter::new(Kinds::LIFE).uid(65_534);
    let builder = Tracker::builder().events(events);
    let attached = builder.attach(place.dir(), &AttachOptions::default());
    assert!(attached.expect("root can").description().is_filtered);
    assert_refused(&place, &[], "of every process");
    place.says(&["detach"]);
    assert_refused(&place, &[], "nothing is attached");
}

/// The command is not run then.
#[track_caller]
fn assert_refused(place: &Place, options: &[&str], why: &str) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("made").display().to_string();
    let output = follow(place, options, &["touch", &file]).output();
    let output = output.expect("it runs");
    let refusal = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{refusal}");
    assert_eq!(refusal.lines().count(), 1, "{refusal}");
    assert!(refusal.contains(why), "{refusal}");
    assert!(!Path::new(&file).exists());
}

#[test]
fn the_events_have_one_reader_whoever_follows() {
    let place = Place::new();
    place.says(&EVENTS);
    let pinned = Pinned::open(place.dir()).expect("it is attached");
    let is_read_by = |reader: &Child| {
        eventually("it reads", || {
            let status = pinned.status().expect("it can be read");
            status.ring_reader.filter(|(pid, _)| *pid == reader.id())
        });
    };
    let mut reader = place
        .command(&["events"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    is_read_by(&reader);
    assert_refused(&place, &[], &format!("process {} ", reader.id()));
    let mut command = follow(&place, &["--steal"], &["cat"]);
    let mut run = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    assert_eq!(reader.wait().expect("it is a child").code(), Some(1));
    is_read_by(&run);
    place.refuses(&["events", "-n", "1"]);
    drop(run.stdin.take());
    let output = run.wait_with_output().expect("it is a child");
    assert!(output.status.success(), "{}", text(&output.stdout));
    assert_eq!(pinned.status().expect("it can be read").ring_reader, None);
}

#[test]
fn a_failed_exec_of_a_command_is_told_and_the_table_as_text_says_nothing_of_following() {
    let place = Place::new();
    place.says(&["attach", "--events", "--kind", "fork,exec,exec_failed,exit"]);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("table").display().to_string();
    let script = "(exec /missing) 2>&-; cat \"$0\" > \"$1\"; exit 4";
    let table = place.dir().join("table").display().to_string();
    let mut run = follow(
        &place,
        &["--kind", "exec_failed"],
        &["bash", "-c", script, &table, &file],
    );
    let output = run.output().expect("it runs");
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("it is JSON"))
        .collect();
    let failed: Vec<_> = lines
        .iter()
        .filter(|line| line["type"] == "exec_failed" && line["file"] == "/missing")
        .collect();
    assert_eq!(failed.len(), 1, "{lines:?}");

    let pid = lines.iter().find(|line| line["depth"] == 0);
    let pid = &pid.expect("it is the command")["pid"];
    let table = fs::read_to_string(file).expect("it is there");
    let line = table
        .lines()
        .find(|line| line.starts_with(&format!("{pid} ")));
    let flags = line.expect("it was alive").split(' ').nth(9);
    let flags: u32 = flags.expect("it has flags").parse().expect("a number");
    assert_eq!(flags & !(64 + 32), 0, "{flags}");
}
