//! `kamap attach`, `detach`, `status`, and what reads what they leave.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Permissions};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use kamap::{AttachOptions, Error, Event, Item, Kinds, Pinned, Reader, Tracker};
use kamap_bpf::AnyMap;
use kamap_tests::{BpfFs, Held, bpftool, eventually, repetitions};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use rstest::rstest;
use serde_json::Value;

use crate::programs::{HELD, KAMAP, held};

mod followed;
mod killed;
mod replaced;

/// A folder to attach in, on a file system of its own. Dropped, nothing is left of it.
struct Place {
    bpffs: BpfFs,
}

impl Place {
    fn new() -> Self {
        Self {
            bpffs: BpfFs::mount(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.bpffs.at("kamap")
    }

    /// Runs kamap with `--dir`; the first argument is the command.
    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it runs")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(KAMAP);
        command.args(arguments).arg("--dir").arg(self.dir());
        command.stdin(Stdio::null());
        command
    }

    /// What it prints; it has to succeed.
    #[track_caller]
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {err}");
        out
    }

    /// The line on standard error; it has to fail with 1.
    #[track_caller]
    fn refuses(&self, arguments: &[&str]) -> String {
        self.refuses_with(arguments, &[])
    }

    /// The same with a command that kamap is to run.
    #[track_caller]
    fn refuses_with(&self, arguments: &[&str], command: &[&str]) -> String {
        let output = self.command(arguments).args(command).output();
        let output = output.expect("it runs");
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        err
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.says(arguments)).expect("it is JSON")
    }

    /// Names in the folder of the file system.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.bpffs.at("")).expect("it can be read");
        let names = entries.map(|entry| entry.expect("it is one").file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            // The kernel's own.
            .filter(|name| !name.ends_with(".debug"))
            .collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn run_child() -> u32 {
    let child = Held::start(&mut held());
    let pid = child.pid();
    assert!(child.release().success());
    pid
}

#[test]
fn the_table_lives_without_a_process_until_it_is_detached() {
    let place = Place::new();
    place.says(&["attach"]);
    let child = Held::start(&mut held());
    for _ in 0..100 {
        run_child();
    }
    let table = place.json(&["--all", "--once", "--json"]);
    let rows = table["processes"].as_array().expect("it is a list");
    let row = rows.iter().find(|row| row["pid"] == child.pid());
    assert_eq!(row.expect("it is alive")["origin"], "exec");
    let checked = place.json(&["verify", "--json"]);
    assert_eq!(checked["missing"], Value::Array(Vec::new()));
    let status = place.json(&["status", "--json"]);
    assert!(status["seen"]["fork"].as_u64() > Some(100), "{status}");
    assert!(status["seen"]["exit"].as_u64() >= Some(100), "{status}");
    assert_eq!(status["losses"]["table_full"], 0);
    assert!(status["memory"].as_u64() > Some(1 << 20), "{status}");
    place.says(&["detach"]);
    assert_eq!(place.names(), [""; 0]);
    assert!(place.refuses(&["detach"]).contains("nothing is attached"));
    place.says(&["detach", "--if-attached"]);
    assert!(place.refuses(&["status"]).contains("nothing is attached"));
}

#[test]
fn a_second_attach_says_since_when_and_changes_nothing() {
    let place = Place::new();
    place.says(&["attach"]);
    let before = place.json(&["status", "--json"]);
    let refusal = place.refuses(&["attach"]);
    assert!(refusal.contains("--replace"), "{refusal}");
    let since = before["attached_time"].as_str().expect("it is text");
    assert!(refusal.contains(&since[..19]), "{refusal}");
    let after = place.json(&["status", "--json"]);
    assert_eq!(
        before["attached_boottime_ns"],
        after["attached_boottime_ns"]
    );
    assert_eq!(place.names(), ["kamap"]);
}

#[test]
fn readers_of_one_table_agree_with_each_other_and_with_an_own_tracker() {
    let place = Place::new();
    place.says(&["attach"]);
    let child = Held::start(&mut held());
    let reader = Reader::open(place.dir()).expect("it is attached");
    let attached = reader.table().get(child.pid()).expect("it can be read");
    let attached = attached.expect("it is alive");
    let own = Tracker::builder().start().expect("root can");
    let own = own.table().get(child.pid()).expect("it can be read");
    let own = own.expect("it is alive");
    assert_eq!(attached.start_time, own.start_time);
    assert_eq!(attached.parent_start_time, own.parent_start_time);
    assert!(attached.args().eq(own.args()));
    // It can be shared by threads.
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| reader.table().snapshot().expect("it can be read").len()))
            .collect();
        for thread in threads {
            assert!(thread.join().expect("it does not panic") > 1);
        }
    });
}

/// What identifies an event beside its number.
fn identity(event: &Event) -> (Kinds, u32, Duration) {
    (
        event.kind.into(),
        event.process.pid,
        event.process.start_time,
    )
}

#[test]
fn a_replacement_under_load_loses_nothing_and_tells_nothing_twice() {
    let place = Place::new();
    let attach = |replace| {
        let kinds = Kinds::FORK | Kinds::EXIT;
        let options = AttachOptions::default().replace(replace);
        let builder = Tracker::builder().events(kinds).ring_size(1 << 26);
        builder.attach(place.dir(), &options).expect("root can")
    };
    attach(false);
    let children = repetitions(4_000);
    let load = std::thread::spawn(move || {
        let pids = (0..children).map(|_| {
            let mut child = Command::new(kamap_tests::TINY)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .expect("it starts");
            let pid = child.id();
            assert!(child.wait().expect("it is a child").success());
            pid
        });
        pids.collect::<Vec<_>>()
    });
    let mut replaced = 0;
    while !load.is_finished() || replaced < 3 {
        attach(true);
        replaced += 1;
        let reader = Reader::open(place.dir()).expect("it is attached");
        let found = reader.verify().expect("it can be read");
        assert!(found.is_exact(), "{found:?}");
    }
    let pids = load.join().expect("it does not panic");
    let pinned = Pinned::open(place.dir()).expect("it is attached");
    assert_eq!(pinned.description().generation, replaced);
    let mut events = pinned.events(false).expect("nobody reads them");
    let (mut next, mut seen, mut marks) = (0, HashMap::new(), 0);
    events
        .drain(|item| {
            assert_eq!(item.seq(), Some(next), "{item:?}");
            next += 1;
            match item {
                Item::Event(event) => *seen.entry(identity(&event)).or_insert(0) += 1,
                Item::Replaced(_) => marks += 1,
                lost => panic!("{lost:?}"),
            }
        })
        .expect("they can be read");
    assert_eq!(marks, replaced);
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let told: HashSet<_> = seen.keys().map(|(kind, pid, _)| (*kind, *pid)).collect();
    for pid in pids {
        assert!(told.contains(&(Kinds::FORK, pid)) && told.contains(&(Kinds::EXIT, pid)));
    }
}

#[test]
fn a_failed_exec_is_told_once_while_it_is_replaced() {
    let place = Place::new();
    let attach = |replace| {
        let options = AttachOptions::default().replace(replace);
        let builder = Tracker::builder().events(Kinds::EXEC_FAILED);
        builder.attach(place.dir(), &options).expect("root can")
    };
    attach(false);
    let name = format!("/none-{}", std::process::id());
    let mut failed = 0;
    let begun = Instant::now();
    let mut replacing = Some(std::thread::spawn({
        let dir = place.dir();
        move || {
            let options = AttachOptions::default().replace(true);
            for _ in 0..2 {
                let builder = Tracker::builder().events(Kinds::EXEC_FAILED);
                builder.attach(&dir, &options).expect("root can");
            }
        }
    }));
    while replacing
        .as_ref()
        .is_some_and(|thread| !thread.is_finished())
    {
        assert!(Command::new(&name).spawn().is_err());
        failed += 1;
        assert!(begun.elapsed() < Duration::from_secs(600));
    }
    if let Some(thread) = replacing.take() {
        thread.join().expect("it does not panic");
    }
    let pinned = Pinned::open(place.dir()).expect("it is attached");
    let mut events = pinned.events(false).expect("nobody reads them");
    let mut told = 0;
    events
        .drain(|item| {
            if let Item::Event(event) = item
                && event.process.file() == Some(Path::new(&name))
            {
                told += 1;
            }
        })
        .expect("they can be read");
    assert_eq!(told, failed);
}

#[test]
fn a_replacement_of_another_size_is_refused_and_changes_nothing() {
    let place = Place::new();
    place.says(&["attach", "--max-entries", "5000"]);
    let refusal = place.refuses(&["attach", "--replace", "--max-entries", "6000"]);
    assert!(refusal.contains("kamap detach"), "{refusal}");
    place.says(&["attach", "--replace"]);
    assert_eq!(place.json(&["status", "--json"])["max_entries"], 5000);
}

#[test]
fn a_replacement_keeps_the_options_of_what_it_replaces() {
    let place = Place::new();
    let group = GROUP.to_string();
    place.says(&[
        "attach",
        "--replace",
        "--events",
        "--kind",
        "exit",
        "--group",
        &group,
        "--ancestors",
        "2",
    ]);
    place.says(&["attach", "--replace"]);
    let status = place.json(&["status", "--json"]);
    assert_eq!(status["events"], serde_json::json!(["exit"]));
    assert_eq!(status["ancestors"], 2);
    assert!(as_user(&place, GROUP, &["status"]).status.success());
    place.says(&["attach", "--replace", "--events", "--kind", "exec"]);
    let status = place.json(&["status", "--json"]);
    assert_eq!(status["events"], serde_json::json!(["exec"]));
    let refusal = place.refuses(&["attach", "--replace", "--events", "--ancestors", "3"]);
    assert!(refusal.contains("kamap detach"), "{refusal}");
}

#[test]
fn a_reader_goes_on_where_the_one_before_has_stopped() {
    let place = Place::new();
    place.says(&["attach", "--events", "--kind", "exit"]);
    let pinned = Pinned::open(place.dir()).expect("it is attached");
    let pids: Vec<_> = (0..20).map(|_| run_child()).collect();
    let mut told = Vec::new();
    let mut next = None;
    let wanted: HashSet<_> = pids.iter().copied().collect();
    while told.len() < pids.len() {
        let mut events = pinned.events(false).expect("nobody reads them");
        let mut last = None;
        events
            .read(Duration::from_secs(10), |item| {
                let Item::Event(event) = item else {
                    panic!("{item:?}");
                };
                // Each reader deals with three, whatever it is handed.
                if last.is_none_or(|(_, count)| count < 3) {
                    assert!(next.is_none_or(|next| event.seq == next), "{}", event.seq);
                    next = Some(event.seq + 1);
                    last = Some((event.seq, last.map_or(1, |(_, count)| count + 1)));
                    if wanted.contains(&event.process.pid) {
                        told.push(event.process.pid);
                    }
                }
            })
            .expect("they can be read");
        let (seq, _) = last.expect("there are more");
        events
            .acknowledge_up_to(seq)
            .expect("nobody has taken over");
    }
    assert_eq!(told, pids);
}

#[test]
fn what_a_killed_reader_has_not_dealt_with_comes_again() {
    let place = Place::new();
    place.says(&["attach", "--events", "--kind", "exit"]);
    let pid = run_child();
    let pinned = Pinned::open(place.dir()).expect("it is attached");
    for _ in 0..2 {
        let mut events = pinned.events(false).expect("nobody reads them");
        let mut told = false;
        while !told {
            events
                .read(Duration::from_secs(10), |item| {
                    told |= matches!(item, Item::Event(event) if event.process.pid == pid);
                })
                .expect("they can be read");
            // Nothing is acknowledged after the last reading, as if it were killed here.
        }
    }
}

#[test]
fn a_second_reader_is_told_who_reads_and_can_take_over() {
    let place = Place::new();
    place.says(&["attach", "--events"]);
    let mut first = place
        .command(&["events"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let pinned = Pinned::open(place.dir()).expect("it is attached");
    eventually("it reads", || {
        let status = pinned.status().expect("it can be read");
        status.ring_reader.filter(|(pid, _)| *pid == first.id())
    });
    let refusal = place.refuses(&["events", "-n", "1"]);
    assert!(
        refusal.contains(&format!("process {} ", first.id())),
        "{refusal}"
    );
    assert!(refusal.contains("events"), "{refusal}");
    let mut second = place
        .command(&["events", "--steal", "-n", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let status = first.wait().expect("it is a child");
    let mut told = String::new();
    let mut stderr = first.stderr.take().expect("it is piped");
    std::io::Read::read_to_string(&mut stderr, &mut told).expect("it is text");
    assert_eq!(status.code(), Some(1));
    assert!(told.contains("taken over"), "{told}");
    run_child();
    assert!(second.wait().expect("it is a child").success());
}

#[test]
fn a_reader_that_was_stopped_tells_nothing_that_another_one_tells() {
    let place = Place::new();
    place.says(&["attach", "--events", "--kind", "exit"]);
    let reading = ["events", "--kind", "exit", "--json"];
    let first = place
        .command(&reading)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let pinned = Pinned::open(place.dir()).expect("it is attached");
    eventually("it reads", || {
        let status = pinned.status().expect("it can be read");
        status.ring_reader.filter(|(pid, _)| *pid == first.id())
    });
    run_child();
    let reader = AnyMap::open_pinned(place.dir().join("reader")).expect("it is there");
    eventually("it waits for more", || {
        let value = reader.get(&0_u32.to_ne_bytes(), false);
        let value = value.expect("it can be read").expect("it is there");
        let next_seq = u64::from_ne_bytes(value[16..24].try_into().expect("there are eight"));
        (next_seq > 0).then_some(())
    });
    // SAFETY: takes numbers.
    let signal = |number| assert_eq!(unsafe { libc::kill(first.id().cast_signed(), number) }, 0);
    signal(libc::SIGSTOP);
    eventually("it is stopped", || {
        let status = fs::read_to_string(format!("/proc/{}/status", first.id()));
        status
            .expect("it is there")
            .contains("\nState:\tT")
            .then_some(())
    });
    let pids: Vec<_> = (0..200).map(|_| run_child()).collect();
    // Of what was told before it was stopped it may not have noted all.
    let ended = |output: &[u8]| {
        let lines = text(output);
        let lines = lines.lines().map(serde_json::from_str);
        let lines = lines.map(|line: Result<Value, _>| line.expect("it is JSON"));
        let events = lines.filter(|line| line["type"] == "exit");
        events
            .filter_map(|line| u32::try_from(line["pid"].as_u64()?).ok())
            .filter(|pid| pids.contains(pid))
            .collect::<HashSet<_>>()
    };
    let stolen = place.run(&[&reading[..], &["--steal", "-n", "200"]].concat());
    let stolen = ended(&stolen.stdout);
    signal(libc::SIGCONT);
    let first = first.wait_with_output().expect("it is a child");
    let told = ended(&first.stdout);
    assert!(stolen.contains(&pids[0]), "{stolen:?}");
    let twice: Vec<_> = told.intersection(&stolen).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[rstest]
#[case::table(&["--once"])]
#[case::verification(&["verify"])]
#[case::events(&["events", "--kind", "fork,exec,exit", "-n", "1"])]
#[case::events_after_a_table(&["events", "--kind", "fork,exec,exit", "-n", "1", "--snapshot"])]
#[case::run(&["run", "-q", "-o", "-"])]
fn whoever_reads_what_is_attached_says_so(#[case] arguments: &[&str]) {
    let place = Place::new();
    place.says(&["attach", "--events", "--kind", "fork,exec,exit"]);
    let kamap = |more: &[&str]| {
        let mut command = place.command(arguments);
        command.args(more);
        if arguments[0] == "run" {
            command.arg("true");
        }
        // Something has to happen for it to print an event.
        run_child();
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let json = kamap(&["--json"]);
    let lines = json.lines().map(serde_json::from_str);
    let lines: Vec<Value> = lines.map(|line| line.expect("it is JSON")).collect();
    let of_boot = lines.iter().filter(|line| !line["boot_id"].is_null());
    let attached: Vec<_> = of_boot.map(|line| &line["attached"]).collect();
    assert!(!attached.is_empty());
    let dir = serde_json::json!(place.dir());
    assert!(attached.iter().all(|attached| **attached == dir), "{json}");
    // A stream that ends because it has what was asked for has no line to say it in.
    if !arguments.contains(&"-n") || arguments.contains(&"--snapshot") {
        assert!(kamap(&[]).contains("  attached"));
    }
    place.says(&["detach"]);
    let mut own = Command::new(KAMAP);
    own.args(arguments).args(["--own", "--json"]);
    if arguments[0] != "events" {
        if arguments[0] == "run" {
            own.arg("true");
        }
        let own = own.output().expect("it runs");
        let own = text(&own.stdout);
        assert!(own.contains("\"attached\":null"), "{own}");
    }
}

/// Removes a pin.
fn remove(place: &Place, name: &str) {
    fs::remove_file(place.dir().join(name)).expect("it is there");
}

#[rstest]
#[case::program("on_exit")]
#[case::table("processes")]
#[case::description("description")]
#[case::iterator("tasks")]
fn what_is_missing_is_named(#[case] name: &str) {
    let place = Place::new();
    place.says(&["attach"]);
    remove(&place, name);
    for command in [&["status"][..], &["--once"], &["verify"]] {
        let refusal = place.refuses(command);
        assert!(refusal.contains(&format!("{name} is missing")), "{refusal}");
        assert!(refusal.contains("kamap detach"), "{refusal}");
    }
    place.says(&["detach"]);
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn a_damaged_tracker_can_be_replaced() {
    let place = Place::new();
    place.says(&["attach"]);
    remove(&place, "on_fork");
    place.says(&["attach", "--replace"]);
    run_child();
    let checked = place.json(&["verify", "--json"]);
    assert_eq!(checked["missing"], Value::Array(Vec::new()));
    assert_eq!(place.names(), ["kamap"]);
}

#[test]
fn a_reader_ends_when_it_is_detached() {
    let place = Place::new();
    place.says(&["attach"]);
    let reader = Reader::open(place.dir()).expect("it is attached");
    reader.table().snapshot().expect("it can be read");
    place.says(&["detach"]);
    let error = reader
        .table()
        .snapshot()
        .expect_err("it is no longer filled");
    assert!(matches!(error, Error::Detached { .. }), "{error}");
    let error = reader.verify().expect_err("there is nothing to compare");
    assert!(matches!(error, Error::Detached { .. }), "{error}");
}

#[test]
fn a_reader_stays_while_it_is_replaced() {
    let place = Place::new();
    place.says(&["attach"]);
    let reader = Reader::open(place.dir()).expect("it is attached");
    for _ in 0..3 {
        place.says(&["attach", "--replace"]);
        let child = Held::start(&mut held());
        let row = reader.table().get(child.pid()).expect("it can be read");
        assert!(row.is_some());
    }
}

#[test]
fn pins_of_others_stay() {
    let place = Place::new();
    place.says(&["attach"]);
    let counts =
        kamap_bpf::Map::<kamap_bpf::Hash<u32, u32>>::create("counts", 1).expect("root can");
    counts.pin(place.dir().join("mine")).expect("root can");
    let refusal = place.refuses(&["detach"]);
    assert!(refusal.contains("kamap"), "{refusal}");
    let left: Vec<_> = fs::read_dir(place.dir())
        .expect("it is there")
        .map(|entry| entry.expect("it is one").file_name())
        .collect();
    assert_eq!(left, ["mine"]);
}

#[test]
fn a_replacement_leaves_pins_of_others_where_they_are() {
    let place = Place::new();
    place.says(&["attach"]);
    let counts =
        kamap_bpf::Map::<kamap_bpf::Hash<u32, u32>>::create("counts", 1).expect("root can");
    counts.pin(place.dir().join("mine")).expect("root can");
    let refusal = place.refuses(&["attach", "--replace"]);
    assert!(refusal.contains("`mine`"), "{refusal}");
    assert!(place.dir().join("mine").exists());
    assert_eq!(place.names(), ["kamap"]);
    place.says(&["status"]);
}

#[test]
fn files_that_are_no_pins_stay() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("events");
    fs::write(&file, "mine").expect("it can be written");
    let error = kamap::detach(folder.path()).expect_err("it has no pins");
    assert!(matches!(error, Error::NotBpffs { .. }), "{error}");
    assert!(file.exists());
}

#[test]
fn an_empty_folder_stays_until_something_is_attached_there() {
    let place = Place::new();
    fs::create_dir(place.dir()).expect("root can");
    place.says(&["detach", "--if-attached"]);
    assert!(place.dir().exists());
    place.says(&["attach"]);
    place.says(&["detach"]);
    assert_eq!(place.names(), [""; 0]);
}

#[rstest]
#[case::slash("kamap/")]
#[case::relative("kamap")]
#[case::dot("./kamap")]
#[case::link("link")]
fn a_folder_can_be_named_in_any_way(#[case] name: &str) {
    let place = Place::new();
    std::os::unix::fs::symlink(place.bpffs.at("kamap"), place.bpffs.at("link")).expect("root can");
    place.says(&["attach"]);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(KAMAP);
        command.args(arguments).args(["--dir", name]);
        let output = command.current_dir(place.bpffs.at("")).output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    run(&["status"]);
    run(&["attach", "--replace"]);
    let mut names = place.names();
    names.sort();
    assert_eq!(names, ["kamap", "link"]);
    place.says(&["status"]);
    run(&["detach"]);
    assert!(!place.dir().exists());
    if name != "link" {
        run(&["attach"]);
        place.says(&["detach"]);
    }
}

#[rstest]
#[case::dot("kamap.1", "has a dot")]
#[case::dot_on_the_way("a.b/kamap", "has a dot")]
#[case::no_room_for_another_name_beside_it(&"k".repeat(244), "is longer than 243 bytes")]
#[case::longer_than_any_name(&"k".repeat(256), "is longer than 243 bytes")]
fn a_name_that_no_folder_of_pins_can_have_is_refused(#[case] name: &str, #[case] reason: &str) {
    let place = Place::new();
    let refuses = |arguments: &[&str]| {
        let mut command = Command::new(KAMAP);
        command
            .args(arguments)
            .arg("--dir")
            .arg(place.bpffs.at(name));
        let output = command.output().expect("it runs");
        let refusal = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{refusal}");
        assert_eq!(refusal.lines().count(), 1, "{refusal}");
        assert!(refusal.contains(reason), "{refusal}");
        assert!(refusal.contains("choose another one"), "{refusal}");
    };
    refuses(&["attach"]);
    refuses(&["attach", "--replace"]);
    // Of a name that another folder can have there is nothing, which is no error of the name.
    if reason.contains("dot") || name.len() > 255 {
        refuses(&["status"]);
        refuses(&["--once"]);
    }
    refuses(&["detach"]);
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn the_longest_name_serves() {
    let place = Place::new();
    let dir = place.bpffs.at(&"k".repeat(243));
    for arguments in [
        &["attach"][..],
        &["attach", "--replace"],
        &["status"],
        &["detach"],
    ] {
        let mut command = Command::new(KAMAP);
        let output = command.args(arguments).arg("--dir").arg(&dir).output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn one_of_two_attaches_finds_the_other() {
    let place = Place::new();
    let attach = || {
        Tracker::builder()
            .attach(place.dir(), &AttachOptions::default())
            .err()
    };
    let errors = std::thread::scope(|scope| {
        let threads = [(); 3].map(|()| scope.spawn(attach));
        threads.map(|thread| thread.join().expect("it does not panic"))
    });
    let refused: Vec<_> = errors.iter().flatten().collect();
    assert_eq!(refused.len(), 2, "{errors:?}");
    for error in refused {
        assert!(matches!(error, Error::AlreadyAttached { .. }), "{error}");
    }
    assert_eq!(place.names(), ["kamap"]);
}

#[test]
fn whoever_may_open_the_folder_cannot_stop_the_reader_of_the_events() {
    let place = Place::new();
    let group = GROUP.to_string();
    place.says(&["attach", "--events", "--kind", "exit", "--group", &group]);
    // As a member of the group can do.
    let folder = fs::File::open(place.dir()).expect("it is there");
    // SAFETY: takes numbers.
    let locked = unsafe { libc::flock(folder.as_raw_fd(), libc::LOCK_EX) };
    assert_eq!(locked, 0);
    run_child();
    place.says(&["events", "-n", "1", "--kind", "exit"]);
}

#[test]
fn a_tracker_of_another_layout_is_refused_and_can_be_detached() {
    let place = Place::new();
    place.says(&["attach"]);
    let path = place.dir().join("description");
    let description = AnyMap::open_pinned(&path).expect("it is there");
    let key = 0_u32.to_ne_bytes();
    let mut value = description
        .get(&key, false)
        .expect("it can be read")
        .expect("it is there");
    value[0] = 77;
    description
        .insert(&key, &value, kamap_bpf::UpdateMode::Any, false)
        .expect("root can");
    for command in [&["status"][..], &["--once"], &["verify"], &["attach"]] {
        let refusal = place.refuses(command);
        assert!(refusal.contains("another version"), "{refusal}");
        assert!(refusal.contains("kamap detach"), "{refusal}");
    }
    place.says(&["detach"]);
}

#[test]
fn nothing_is_attached_where_there_is_no_bpf_file_system() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let dir = folder.path().join("kamap");
    let output = Command::new(KAMAP)
        .args(["attach", "--dir"])
        .arg(&dir)
        .output()
        .expect("it runs");
    let refusal = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(refusal.contains("is not on a BPF file system"), "{refusal}");
    assert!(!dir.exists());
}

#[test]
fn nothing_is_left_where_the_output_cannot_be_written() {
    let place = Place::new();
    let full = fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("it is there");
    let status = place.command(&["attach"]).stdout(full).status();
    assert_eq!(status.expect("it runs").code(), Some(1));
    assert_eq!(place.names(), [""; 0]);
}

/// Mounts the file system of a place anew, read-only (`ro`) or not (`rw`).
fn remount(place: &Place, how: &str) {
    duct::cmd!("mount", "-o", format!("remount,{how}"), place.bpffs.at(""))
        .run()
        .expect("root can");
}

#[test]
fn nothing_is_left_on_a_file_system_that_is_read_only() {
    let place = Place::new();
    remount(&place, "ro");
    let refusal = place.refuses(&["attach"]);
    assert!(refusal.contains("is mounted read-only"), "{refusal}");
    remount(&place, "rw");
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn what_is_attached_is_read_but_not_changed_where_the_file_system_became_read_only() {
    let place = Place::new();
    place.says(&["attach", "--events", "--kind", "fork,exec,exit"]);
    let child = Held::start(&mut held());
    remount(&place, "ro");
    for change in [
        &["attach", "--replace"][..],
        &["detach"],
        &["events", "-n", "1"],
        &["run", "true"],
    ] {
        let refusal = match change {
            // What it is to run comes last.
            ["run", command] => place.refuses_with(&["run"], &[command]),
            change => place.refuses(change),
        };
        assert!(refusal.contains("is mounted read-only"), "{refusal}");
    }
    let table = place.json(&["--all", "--once", "--json"]);
    let rows = table["processes"].as_array().expect("it is a list");
    assert!(rows.iter().any(|row| row["pid"] == child.pid()));
    let checked = place.json(&["verify", "--json"]);
    assert_eq!(checked["missing"], Value::Array(Vec::new()));
    place.says(&["status"]);
    remount(&place, "rw");
    place.says(&["attach", "--replace"]);
    place.says(&["detach"]);
    assert_eq!(place.names(), [""; 0]);
}

/// A file system of BPF has no size, but the kernel's memory has. Which call of bpf(2) pins something, strace tells.
#[rstest]
#[case::the_first_pin("BPF_OBJ_PIN", 0, "ENOSPC")]
#[case::a_pin_between("BPF_OBJ_PIN", 6, "ENOMEM")]
#[case::the_last_pin("BPF_OBJ_PIN", 13, "ENOSPC")]
#[case::its_place("rename", 0, "ENOMEM")]
fn nothing_is_left_where_there_is_no_room(
    #[case] what: &str,
    #[case] which: usize,
    #[case] error: &str,
    #[values(false, true)] replace: bool,
) {
    let place = Place::new();
    let arguments = match replace {
        true => &["attach", "--replace"][..],
        false => &["attach"],
    };
    let syscall = match what {
        "BPF_OBJ_PIN" => "bpf",
        // In any of its forms.
        _ => "/^rename",
    };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let trace = folder.path().join("trace");
    // Its calls, in order.
    let traced = |more: &[&str]| {
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-s", "4096", "-o"]).arg(&trace);
        strace.args(["-e", &format!("trace={syscall}")]).args(more);
        strace.arg(KAMAP).args(arguments).arg("--dir");
        let output = strace.arg(place.dir()).output().expect("it runs");
        let calls = fs::read_to_string(&trace).expect("it is there");
        let calls: Vec<_> = calls.lines().map(str::to_owned).collect();
        (output, calls)
    };
    let (output, before) = eventually("the call meant fails", || {
        place.says(&["detach", "--if-attached"]);
        if replace {
            place.says(&["attach"]);
        }
        let (output, calls) = traced(&[]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let mut pins = (1..).zip(&calls).filter(|(_, call)| call.contains(what));
        let (at, _) = pins.nth(which).expect("there are so many");
        let mut before = None;
        if replace {
            before = Some(place.json(&["status", "--json"])["attached_boottime_ns"].clone());
        } else {
            place.says(&["detach"]);
        }
        let inject = format!("inject={syscall}:error={error}:when={at}");
        let (output, calls) = traced(&["-e", &inject]);
        let injected = calls.iter().find(|call| call.ends_with("(INJECTED)"));
        // It makes some more or less calls where others start processes meanwhile.
        injected?.contains(what).then_some((output, before))
    });
    let refusal = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{refusal}");
    assert_eq!(refusal.lines().count(), 1, "{refusal}");
    assert!(refusal.contains("failed to pin or unpin `"), "{refusal}");
    let said = match error {
        "ENOSPC" => "No space left on device",
        _ => "Cannot allocate memory",
    };
    assert!(refusal.contains(said), "{refusal}");
    match before {
        Some(before) => {
            assert_eq!(place.names(), ["kamap"]);
            let status = place.json(&["status", "--json"]);
            assert_eq!(status["attached_boottime_ns"], before);
        }
        None => assert_eq!(place.names(), [""; 0]),
    }
}

#[test]
fn an_attach_that_is_killed_leaves_all_or_nothing() {
    let place = Place::new();
    // How long a whole one takes here, so that it is killed at times from its start to its end.
    let begun = Instant::now();
    place.says(&["attach"]);
    let whole = begun.elapsed();
    place.says(&["detach"]);
    let times = u32::try_from(repetitions(40)).expect("they are few");
    let mut completed = 0;
    for i in 0..times {
        let mut child = place
            .command(&["attach"])
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let until = Instant::now() + whole * 12 * i / (10 * times);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        child.kill().expect("it is a child");
        child.wait().expect("it is a child");
        // Its guard may have to take away what there is.
        eventually("nothing is half done", || {
            let names = place.names();
            (names.iter().all(|name| name == "kamap")).then_some(())
        });
        eventually("it is there whole, or not at all", || {
            let opened = Pinned::open(place.dir());
            match opened {
                Ok(_) => Some(()),
                Err(Error::NotAttached { .. }) => Some(()),
                Err(_) => None,
            }
        });
        if Pinned::open(place.dir()).is_ok() {
            completed += 1;
            place.says(&["detach"]);
        }
    }
    assert!(completed < times, "some were killed before their end");
}

/// Runs kamap as a user without any capability, whose group is `group`.
fn as_user(place: &Place, group: u32, arguments: &[&str]) -> Output {
    place
        .command(arguments)
        .uid(65_534)
        .gid(group)
        .output()
        .expect("it runs")
}

/// A group that nothing else has.
const GROUP: u32 = 54_321;

#[test]
fn a_group_reads_the_table_without_any_capability() {
    let place = Place::new();
    place.says(&["attach", "--events", "--group", &GROUP.to_string()]);
    let child = Held::start(&mut held());
    let output = as_user(&place, GROUP, &["--all", "--once", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let theirs: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let ours = place.json(&["--all", "--once", "--json"]);
    let row = |table: &Value| {
        let rows = table["processes"].as_array().expect("it is a list").clone();
        let row = rows.into_iter().find(|row| row["pid"] == child.pid());
        let mut row = row.expect("it is alive");
        // Each has measured the clock for itself; `start_boottime_ns` is what identifies.
        let fields = row.as_object_mut().expect("it is an object");
        fields.retain(|name, _| !(name.ends_with("_time") || name == "age_ns"));
        row
    };
    assert_eq!(row(&theirs), row(&ours));
    for arguments in [&["verify"][..], &["status"], &["--once", "--all"]] {
        let output = as_user(&place, GROUP, arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let lines = fs::read_to_string(place.dir().join("table")).expect("root can");
    assert!(lines.lines().count() > 2);
}

#[test]
fn a_group_that_cannot_get_there_is_told_so() {
    let place = Place::new();
    let root = place.bpffs.at("");
    let group = GROUP.to_string();
    fs::set_permissions(&root, Permissions::from_mode(0o700)).expect("root can");
    let refusal = place.refuses(&["attach", "--group", &group]);
    assert!(refusal.contains("cannot enter"), "{refusal}");
    assert_eq!(place.names(), [""; 0]);
    // Its own bit counts, not that of others.
    std::os::unix::fs::chown(&root, None, Some(GROUP)).expect("root can");
    fs::set_permissions(&root, Permissions::from_mode(0o701)).expect("root can");
    place.refuses(&["attach", "--group", &group]);
    fs::set_permissions(&root, Permissions::from_mode(0o710)).expect("root can");
    place.says(&["attach", "--group", &group]);
    assert!(as_user(&place, GROUP, &["status"]).status.success());
}

#[rstest]
#[case::detach(&["detach"])]
#[case::replace(&["attach", "--replace"])]
#[case::events(&["events", "-n", "1"])]
fn a_group_does_nothing_but_read(#[case] arguments: &[&str]) {
    let place = Place::new();
    place.says(&["attach", "--events", "--group", &GROUP.to_string()]);
    let output = as_user(&place, GROUP, arguments);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    place.says(&["status"]);
}

#[test]
fn nobody_else_reads_anything() {
    let place = Place::new();
    place.says(&["attach", "--group", &GROUP.to_string()]);
    for arguments in [&["--once"][..], &["status"], &["verify"]] {
        let output = as_user(&place, GROUP + 1, arguments);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
        let refusal = text(&output.stderr);
        assert!(refusal.contains("Permission denied"), "{refusal}");
    }
}

#[test]
fn the_table_as_text_has_a_line_for_each_process_whatever_its_arguments_are() {
    let place = Place::new();
    place.says(&["attach"]);
    let mut command = Command::new(HELD);
    command.args(["with space", "\x1b[2Jnew\nline", "-", "ä\\"]);
    let child = Held::start(&mut command);
    let table = fs::read_to_string(place.dir().join("table")).expect("root can");
    let mut lines = table.lines();
    let header: Vec<_> = lines.next().expect("it has one").split(' ').collect();
    assert_eq!(header[..3], ["PID", "START_NS", "PPID"]);
    let of_child = format!("{} ", child.pid());
    let line = lines.clone().find(|line| line.starts_with(&of_child));
    let columns: Vec<_> = line.expect("it is alive").split(' ').collect();
    let args = header.iter().position(|name| *name == "ARGS");
    let args = &columns[args.expect("there is one")..];
    let expected = r"with\x20space \x1b[2Jnew\x0aline - \xc3\xa4\x5c ";
    assert_eq!(args[1..].join(" "), expected);
    for line in lines {
        assert!(
            line.bytes().all(|byte| (b' '..0x7f).contains(&byte)),
            "{line:?}"
        );
        assert!(line.split(' ').count() >= header.len(), "{line}");
        let pid = line.split(' ').next().expect("there is a first");
        assert!(pid.parse::<u32>().is_ok(), "{line}");
    }
}

kamap_tests::skeleton!(who);

#[test]
fn a_bpf_program_asks_the_pinned_table_who_calls() {
    let place = Place::new();
    place.says(&["attach"]);
    let mut child = Held::start(&mut held());
    let mut storage = MaybeUninit::uninit();
    let mut open = who::WhoSkelBuilder::default()
        .open(&mut storage)
        .expect("it is an object");
    open.maps
        .rodata_data
        .as_deref_mut()
        .expect("it has such data")
        .wanted_pid = child.pid();
    open.maps
        .processes
        .reuse_pinned_map(place.dir().join("processes"))
        .expect("it is pinned");
    let mut skel = open.load().expect("the kernel takes it");
    skel.attach().expect("the kernel takes it");
    // It reads on after each line, which is a system call.
    child.say("\n");
    let answer = || skel.maps.bss_data.as_deref().expect("it has such data");
    eventually("it has called", || (answer().answers > 0).then_some(()));
    let reader = Reader::open(place.dir()).expect("it is attached");
    let process = reader.table().get(child.pid()).expect("it can be read");
    let process = process.expect("it is alive");
    let answer = answer();
    assert_eq!(Duration::from_nanos(answer.start_time), process.start_time);
    assert_eq!(answer.ppid, std::process::id());
    assert_eq!(
        Some(Duration::from_nanos(answer.parent_start_time)),
        process.parent_start_time
    );
}

#[test]
fn the_pinned_table_reads_as_any_map() {
    let place = Place::new();
    place.says(&["attach"]);
    let child = Held::start(&mut held());
    // A program that knows of kamap's table no more than `docs/pinned.md` says.
    let table = AnyMap::open_pinned(place.dir().join("processes")).expect("it is there");
    let row = table
        .get(&child.pid().to_ne_bytes(), false)
        .expect("it can be read")
        .expect("it is alive");
    let start_time = u64::from_ne_bytes(row[..8].try_into().expect("there are eight"));
    let reader = Reader::open(place.dir()).expect("it is attached");
    let process = reader.table().get(child.pid()).expect("it can be read");
    let process = process.expect("it is alive");
    assert_eq!(Duration::from_nanos(start_time), process.start_time);
    // And another one, in another language.
    let path = place.dir().join("processes");
    let dump = Command::new(bpftool())
        .args(["-j", "map", "dump", "pinned"])
        .arg(&path)
        .output()
        .expect("it runs");
    let dump: Value = serde_json::from_slice(&dump.stdout).expect("it is JSON");
    let rows = dump.as_array().expect("it is a list");
    let facts = rows.iter().map(|row| &row["formatted"]["value"]["facts"]);
    let start = facts
        .filter(|facts| facts["pid"] == child.pid())
        .map(|facts| facts["start_time"].as_u64());
    assert!(start.eq([Some(start_time)]));
}
