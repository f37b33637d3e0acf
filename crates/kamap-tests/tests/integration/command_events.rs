//! The command `kamap events`, from outside.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kamap_tests::command::{EventLines, json, output, rows};
use kamap_tests::{Cgroups, Held, Loaded, OnTerminal, SetOnDrop, Tiny, eventually};
use rstest::rstest;
use serde_json::Value;

use crate::programs::{HELD, KAMAP, held, kamap};

#[track_caller]
fn start(arguments: &[&str]) -> EventLines {
    EventLines::start(kamap(&[&["events"], arguments].concat()))
}

#[test]
fn json_says_what_happened() {
    // Nothing is lost, so `--strict` changes nothing.
    let mut kamap = start(&["--json", "--strict", "--kind", "fork,exec,exit"]);
    let child = Held::start(held().args(["7", "a\nb"]));
    let pid = child.pid();
    assert_eq!(child.release().code(), Some(7));
    let [fork, exec, exit] = [(); 3].map(|()| kamap.about(pid));
    for (event, kind) in [(&fork, "fork"), (&exec, "exec"), (&exit, "exit")] {
        assert_eq!((&event["v"], &event["type"]), (&1.into(), &kind.into()));
        assert_eq!(event["ppid"], std::process::id());
        assert_eq!((&event["uid"], &event["gid"]), (&0.into(), &0.into()));
        assert_eq!(event["start_time"], fork["start_time"]);
        let time = event["time"].as_str().expect("it is text");
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    }
    assert!(fork["seq"].as_u64() < exec["seq"].as_u64());
    assert!(exec["seq"].as_u64() < exit["seq"].as_u64());
    assert_eq!(fork["execs"], 0);
    let this = std::env::current_exe().expect("it is known");
    assert_eq!(fork["exe"], this.to_str().expect("it is UTF-8"));
    assert_eq!(fork["exit_code"], Value::Null);
    let exe = std::fs::canonicalize(HELD).expect("it is there");
    for event in [&exec, &exit] {
        assert_eq!(event["comm"], "held");
        assert_eq!(event["file"], HELD);
        assert_eq!(event["exe"], exe.to_str().expect("it is UTF-8"));
        assert_eq!(event["args"], serde_json::json!([HELD, "7", "a\nb"]));
        assert_eq!(event["args_cut"], false);
    }
    assert_eq!(exec["exit_code"], Value::Null);
    assert_eq!(
        (&exit["exit_code"], &exit["signal"]),
        (&7.into(), &Value::Null)
    );
    assert_eq!((&exit["core"], &exit["execs"]), (&false.into(), &1.into()));
    assert!(exit["duration_ns"].as_u64() > Some(0));
    assert!(exit["max_rss_bytes"].as_u64() > Some(100_000), "{exit}");

    let rest = json(&kamap.end());
    let summary = rest.last().expect("it prints a summary");
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["losses"]["ring_full"], 0);
    assert!(summary["seen"]["exit"].as_u64() >= Some(1));
}

#[test]
fn text_is_a_line_for_each_event() {
    let mut kamap = start(&[]);
    let header = kamap.line();
    let header: Vec<_> = header.split_whitespace().collect();
    assert_eq!(
        header,
        [
            "TIME", "EVENT", "PID", "PPID", "USER", "DURATION", "STATUS", "COMMAND"
        ]
    );
    let child = Held::start(held().args(["0", "\x1b]0;owned\x07", "two\nlines"]));
    let pid = child.pid().to_string();
    child.kill();
    let (mut exec, mut exit) = (String::new(), String::new());
    while exit.is_empty() {
        let line = kamap.line();
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [_, "exec", of, ..] if of == pid => exec = line,
            [_, "exit", of, ..] if of == pid => exit = line,
            _ => {}
        }
    }
    let command = format!("{HELD} 0 $'\\e]0;owned\\a' $'two\\nlines'");
    assert!(exec.ends_with(&command), "{exec}");
    assert!(exit.ends_with(&format!("s SIGKILL  {command}")), "{exit}");
    assert!(!exit.contains(" 0.0"), "{exit}");
    let rest = kamap.end();
    let summary = rest.lines().last().expect("it prints a summary");
    assert!(summary.starts_with("seen "), "{summary}");
}

#[test]
fn truncated_arguments_are_counted_where_they_are_shown() {
    let own = std::process::id().to_string();
    let args_cut = |comm: &str| {
        let mut kamap = start(&["--max-args", "90", "--ppid", &own, "--comm", comm]);
        let child = Held::start(held().args(["0", &"x".repeat(100)]));
        let pid = child.pid().to_string();
        assert!(child.release().success());
        if comm == "held" {
            let of_child = |line: &str| line.split_whitespace().nth(2) == Some(&*pid);
            for _ in 0..2 {
                while !of_child(&kamap.line()) {}
            }
        }
        let rest = kamap.end();
        let summary = rest.lines().last().expect("it sums up");
        summary
            .rsplit_once("  lost 0")
            .expect("nothing is lost")
            .1
            .to_owned()
    };
    assert_eq!(args_cut("held"), "  args cut 2");
    assert_eq!(args_cut("none"), "");
}

#[test]
fn on_a_terminal_an_event_is_a_line() {
    let mut terminal = OnTerminal::start(24, 100, Command::new(KAMAP).arg("events"));
    terminal.shows("the header", |text| text.contains("COMMAND").then_some(()));
    let child = Held::start(held().args(["0", &"x".repeat(1_000)]));
    let pid = child.pid().to_string();
    let is_exec = |line: &&String| {
        let words: Vec<_> = line.split_whitespace().collect();
        matches!(words[..], [_, "exec", of, ..] if of == pid)
    };
    let (lines, exec) = terminal.shows("the exec and what follows it", |text| {
        Tiny::new().run();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let exec = lines.iter().find(is_exec)?.clone();
        (lines.last() != Some(&exec)).then_some((lines, exec))
    });
    assert_eq!(exec.chars().count(), 100, "{exec}");
    assert!(lines.iter().all(|line| line.chars().count() <= 100));
}

#[rstest]
#[case::failed(&["--failed"], &["failure"])]
#[case::long(&["--min-duration", "2s"], &["slow"])]
#[case::of_any_length(&["--min-duration", "0s"], &["failure", "other", "slow"])]
#[case::long_and_failed(&["--failed", "--min-duration", "2s"], &[])]
#[case::of_a_user(&["--user", "4711"], &["other"])]
#[case::of_several_users(&["--user", "4711,4712"], &["other"])]
#[case::of_nobody(&["--user", "4712"], &[])]
#[case::by_name(&["--comm", "^sh$", "--kind", "exit"], &["failure", "other", "slow"])]
#[case::of_a_parent(&["--ppid", "PARENT", "--kind", "exit"], &["failure", "other", "slow"])]
#[case::of_another_parent(&["--ppid", "2"], &[])]
fn events_can_be_chosen(#[case] arguments: &[&str], #[case] expected: &[&str]) {
    let parent = std::process::id().to_string();
    let chosen = arguments.iter().map(|argument| match *argument {
        "PARENT" => &*parent,
        argument => argument,
    });
    let arguments: Vec<_> = chosen.chain(["--json"]).collect();
    let kamap = start(&arguments);
    let mut pids = HashMap::new();
    let mut run = |name: &'static str, command: &mut Command| {
        let mut child = command.spawn().expect("it starts");
        pids.insert(u64::from(child.id()), name);
        child.wait().expect("it ends");
    };
    run("failure", Command::new("sh").args(["-c", "exit 1"]));
    // Longer than any other takes on an emulated machine, where that matters.
    let seconds = if arguments.contains(&"2s") {
        "2.1"
    } else {
        "0"
    };
    run(
        "slow",
        Command::new("sh").args(["-c", &format!("sleep {seconds}")]),
    );
    let mut other = Command::new("sh");
    std::os::unix::process::CommandExt::uid(&mut other, 4711);
    run("other", other.args(["-c", "exit 0"]));
    let of_these = |event: &Value| Some(*pids.get(&event["pid"].as_u64()?)?);
    let lines = json(&kamap.end());
    let mut found: Vec<_> = lines.iter().filter_map(of_these).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, expected);
    if arguments.contains(&"--min-duration") {
        let mut events = lines.iter().filter(|line| line["seq"].is_u64());
        assert!(events.all(|event| event["type"] == "exit"));
    }
}

#[test]
fn processes_and_cgroups_can_be_chosen() {
    let [one, other] = [(); 2].map(|()| Held::start(&mut held()));
    let cgroups = Cgroups::mount();
    let group = cgroups.group().to_str().expect("it is UTF-8");
    let of_process = start(&["--json", "--pid", &one.pid().to_string()]);
    let of_group = start(&["--json", "--cgroup", group]);
    let inside = Held::start(cgroups.hold(&mut held()));
    let pids = [&one, &inside].map(|child| u64::from(child.pid()));
    for child in [one, other, inside] {
        assert!(child.release().success());
    }
    let told = |kamap: EventLines| -> Vec<_> {
        let lines = json(&kamap.end());
        let events = lines.iter().filter(|line| line["seq"].is_u64());
        events
            .map(|line| {
                (
                    line["type"].as_str().map(str::to_owned),
                    line["pid"].as_u64(),
                )
            })
            .collect()
    };
    let [exec, exit] = ["exec", "exit"].map(|kind| Some(kind.to_owned()));
    assert_eq!(told(of_process), [(exit.clone(), Some(pids[0]))]);
    assert_eq!(
        told(of_group),
        [(exec, Some(pids[1])), (exit, Some(pids[1]))]
    );
}

#[test]
fn units_and_containers_can_be_chosen() {
    let cgroups = Cgroups::mount();
    let id = "9687bac58d5c4d1606aa46af33d1a21c1d1652e0ac9fb3fc0fc86e3495f42869";
    let scope = cgroups.below(&format!("docker-{id}.scope"));
    let inside = Held::start(&mut held());
    let outside = Held::start(&mut held());
    let pids = [&inside, &outside].map(Held::pid);
    let procs = scope.join("cgroup.procs");
    std::fs::write(procs, pids[0].to_string()).expect("it can be moved");

    let chosen = |options: &[&str]| -> Vec<_> {
        let options = [&["--all", "--once", "--json"], options].concat();
        let table: Value = serde_json::from_str(&output(kamap(&options))).expect("it is JSON");
        rows(&table).clone()
    };
    let found = chosen(&["--container", "9687bac58d5c"]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["pid"], pids[0]);
    assert_eq!(found[0]["container"], id);
    assert_eq!(found[0]["container_runtime"], "docker");
    let group = found[0]["cgroup"].as_str().expect("it is known");
    assert!(group.ends_with(".scope"), "{group}");
    assert_eq!(chosen(&["--unit", "no-such-unit"]), [Value::Null; 0]);

    let events = start(&["--json", "--container", "9687bac58d5c", "--count", "1"]);
    assert!(outside.release().success());
    assert!(inside.release().success());
    let lines = json(&events.rest(0));
    let exit = lines.iter().find(|line| line["type"] == "exit");
    let exit = exit.expect("it has ended");
    assert_eq!(
        (&exit["pid"], &exit["container"]),
        (&pids[0].into(), &id.into())
    );
}

#[test]
fn a_cgroup_can_be_named_by_its_path_its_folder_and_its_id() {
    let cgroups = Cgroups::mount();
    let child = Held::start(cgroups.hold(&mut held()));
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", child.pid()));
    let text = text.expect("it is alive");
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    let folder = cgroups.group();
    let id = std::fs::metadata(folder).expect("it is there").ino();
    let names = [
        path.expect("there is v2"),
        folder.to_str().expect("it is UTF-8"),
        &id.to_string(),
    ];
    let mut running = names.map(|name| start(&["--json", "--cgroup", name]));
    let pid = child.pid();
    // Outside of it.
    Tiny::new().run();
    assert!(child.release().success());
    for kamap in &mut running {
        let line = kamap.about(pid);
        assert_eq!(line["type"], "exit");
        assert_eq!(line["seq"], 0, "nothing else has passed");
        assert_eq!(line["cgroup_id"], id);
    }
    for kamap in running {
        kamap.end();
    }
}

#[test]
fn a_reader_that_stops_is_told_what_it_has_missed() {
    let arguments = ["--json", "--kind", "fork,exec,exit", "--ring-size", "65536"];
    let kamap = start(&arguments);
    let tiny = Tiny::new();
    kamap.signal(libc::SIGSTOP);
    for _ in 0..500 {
        tiny.run();
    }
    kamap.signal(libc::SIGCONT);
    let ended = AtomicBool::new(false);
    let lines = thread::scope(|scope| {
        let _ended = SetOnDrop(&ended);
        // Up to its end, and beyond.
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                tiny.run();
            }
        });
        json(&kamap.end())
    });
    let (summary, lines) = lines.split_last().expect("it prints a summary");
    let (stream, lines) = lines.split_first().expect("it says of which boot this is");
    assert_eq!(stream["type"], "stream");
    let lost = lines.iter().filter(|line| line["type"] == "lost");
    let lost: u64 = lost.filter_map(|line| line["count"].as_u64()).sum();
    assert!(lost > 500, "{lost}");
    let mut causes = lines.iter().filter_map(|line| line["cause"].as_str());
    assert!(causes.all(|cause| cause == "ring_full"));
    let mut seq = 0;
    for line in lines.iter().filter(|line| line["type"] != "lost") {
        assert_eq!(line["seq"], seq, "no number is left out");
        seq += 1;
    }
    let seen = |what: &str| summary["seen"][what].as_u64().expect("it is a number");
    let counted = summary["losses"]["ring_full"]
        .as_u64()
        .expect("it is a number");
    assert_eq!(counted, lost);
    assert_eq!(
        seq + counted,
        seen("fork") + seen("exec") + seen("exit"),
        "{summary}"
    );
    assert_eq!(summary["losses"]["missed_runs"], 0);
}

#[test]
fn a_snapshot_and_what_follows_make_a_table() {
    let before = Held::start(&mut held());
    let kamap = start(&["--json", "--kind", "fork,exec,exit", "--snapshot"]);
    let child = Held::start(&mut held());
    let gone = Held::start(&mut held());
    let gone_pid = gone.pid();
    assert!(gone.release().success());
    let lines = json(&kamap.end());
    assert_eq!(lines[0]["type"], "table");
    let from = lines[0]["next_seq"].as_u64().expect("it is a number");
    let rows = lines[0]["processes"].as_array().expect("there are rows");
    let mut table: HashMap<u64, &Value> = rows
        .iter()
        .map(|row| (row["pid"].as_u64().expect("it is a number"), row))
        .collect();
    assert!(table.contains_key(&before.pid().into()));
    for (i, event) in lines[1..lines.len() - 1].iter().enumerate() {
        assert_eq!(event["seq"], from + i as u64);
        let pid = event["pid"].as_u64().expect("it is a number");
        if event["type"] == "exit" {
            table.remove(&pid);
        } else {
            table.insert(pid, event);
        }
    }
    assert_eq!(table[&before.pid().into()]["comm"], "held");
    assert_eq!(table[&child.pid().into()]["comm"], "held");
    assert!(!table.contains_key(&gone_pid.into()));
}

#[test]
fn it_ends_after_as_many_events_as_were_asked_for() {
    // Of this test's own children: others have such ones as well.
    let own = std::process::id().to_string();
    let kamap = Command::new(KAMAP)
        .args(["events", "--count", "3", "--json", "--comm", "^held$"])
        .args(["--ppid", &own])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let pid = kamap.id();
    eventually("its programs are attached", || {
        (Loaded::by(pid).links.len() == Loaded::LINKS).then_some(())
    });
    for _ in 0..2 {
        assert!(Held::start(&mut held()).release().success());
    }
    let output = kamap.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    let lines = json(&String::from_utf8(output.stdout).expect("it is UTF-8"));
    let kinds: Vec<_> = lines.iter().map(|line| line["type"].as_str()).collect();
    assert_eq!(
        kinds,
        ["stream", "exec", "exit", "exec", "summary"].map(Some)
    );
}

#[test]
fn processes_without_room_are_told_and_count_where_that_matters() {
    let mut kamap = start(&["--json", "--max-entries", "16", "--strict"]);
    // As long as it has room for none.
    let mut lines = Vec::new();
    let tiny = Tiny::new();
    while lines.len() < 20 {
        tiny.run();
        lines.push(serde_json::from_str(&kamap.line()).expect("it is JSON"));
    }
    lines.extend(json(&kamap.end_with(3)));
    let lost = lines.iter().filter(|line| line["type"] == "lost");
    assert!(lost.clone().all(|line| line["cause"] == "table_full"));
    let told: u64 = lost.filter_map(|line| line["count"].as_u64()).sum();
    assert!(told > 0);
    let summary = lines.last().expect("it prints a summary");
    assert_eq!(summary["losses"]["table_full"], told);
}

/// One that waits for somebody to read what it has printed.
#[track_caller]
fn that_nobody_reads() -> EventLines {
    let kamap = start(&["--json"]);
    // More than the pipe holds.
    let tiny = Tiny::new();
    for _ in 0..200 {
        tiny.run();
    }
    let writes = format!("{} 0x1 ", libc::SYS_write);
    eventually("it waits for its reader", || {
        let syscall = std::fs::read_to_string(format!("/proc/{}/syscall", kamap.pid()));
        let syscall = syscall.expect("it is alive");
        syscall.starts_with(&writes).then_some(())
    });
    kamap
}

#[test]
fn a_second_signal_ends_it_though_nobody_reads() {
    let mut kamap = that_nobody_reads();
    // Those that come at once count as one.
    let status = eventually("it ends", || {
        kamap.signal(libc::SIGTERM);
        kamap.try_wait()
    });
    assert_eq!(status.signal(), Some(libc::SIGTERM));
}

#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let rest = eventually("the two come at once", || {
        let kamap = that_nobody_reads();
        let begun = Instant::now();
        for _ in 0..2 {
            kamap.signal(libc::SIGINT);
            eventually("it has come", || {
                let status = std::fs::read_to_string(format!("/proc/{}/status", kamap.pid()));
                let status = status.expect("it has not been waited for");
                status.contains("ShdPnd:\t0000000000000000").then_some(())
            });
        }
        let at_once = begun.elapsed() < Duration::from_millis(500);
        at_once.then(|| kamap.rest(0))
    });
    let summary = json(&rest).pop().expect("it prints a summary");
    assert_eq!(summary["type"], "summary");
}

#[test]
fn under_nohup_it_goes_on() {
    let mut command = Command::new("nohup");
    command
        .args([KAMAP, "events", "--json"])
        .stderr(Stdio::null());
    let mut kamap = EventLines::start(command);
    let status = std::fs::read_to_string(format!("/proc/{}/status", kamap.pid()));
    let status = status.expect("it is alive");
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:\t"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask, 16).ok());
    let bit = 1 << (libc::SIGHUP - 1);
    assert_eq!(ignored.map(|mask| mask & bit), Some(bit), "{status}");
    kamap.signal(libc::SIGHUP);
    let child = Held::start(&mut held());
    let pid = child.pid();
    assert_eq!(kamap.about(pid)["type"], "exec");
    kamap.end();
}

#[rstest]
#[case::too_many(&["--pid", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"], "16")]
#[case::no_cgroup(&["--cgroup", "/tmp"], "cgroup")]
fn filters_that_cannot_be_are_wrong_usage(#[case] arguments: &[&str], #[case] told: &str) {
    let mut child = Command::new(KAMAP)
        .arg("events")
        .args(arguments)
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let status = eventually("it ends", || {
        child.try_wait().expect("it can be waited for")
    });
    let mut stderr = String::new();
    let mut pipe = child.stderr.take().expect("it is piped");
    pipe.read_to_string(&mut stderr).expect("it is UTF-8");
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(told), "{stderr}");
}
