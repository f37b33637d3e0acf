//! The command `kamap run`, from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use kamap::Clock;
use kamap_tests::{Loaded, OnTerminal, eventually};
use rstest::rstest;
use serde_json::Value;

use crate::programs::KAMAP;

fn kamap(arguments: &[&str]) -> Command {
    let mut command = Command::new(KAMAP);
    command.arg("run").args(arguments).stdin(Stdio::null());
    command.env("LC_ALL", "C.UTF-8");
    command
}

#[track_caller]
fn output(arguments: &[&str]) -> Output {
    kamap(arguments).output().expect("it runs")
}

#[track_caller]
fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("it is UTF-8")
}

#[track_caller]
fn json(lines: &[u8]) -> Vec<Value> {
    kamap_tests::command::json(text(lines))
}

/// Its second child fails.
const SCRIPT: &str = "bash -c 'echo one; exit 0'; bash -c 'echo two; exit 3'; echo three; exit 5";

#[test]
fn events_and_tree_are_told_apart_from_what_the_command_prints() {
    let ran = output(&["--", "bash", "-c", SCRIPT]);
    assert_eq!(ran.status.code(), Some(5));
    assert_eq!(text(&ran.stdout), "one\ntwo\nthree\n");
    let report = text(&ran.stderr);
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let kinds: Vec<_> = report
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| words(line)[1].clone())
        .collect();
    assert_eq!(kinds, ["exec", "exec", "exit", "exec", "exit", "exit"]);

    let tree: Vec<_> = report
        .lines()
        .skip_while(|line| !line.contains(" DESC "))
        .skip(1)
        .take(3)
        .collect();
    for (line, (status, below, command)) in tree.iter().zip([
        ("5", "2", "bash -c $'bash -c \\'echo one; exit 0\\'; "),
        ("0", "0", "├─ bash -c 'echo one; exit 0'"),
        ("3", "0", "└─ bash -c 'echo two; exit 3'"),
    ]) {
        let words = words(line);
        assert_eq!(
            (&*words[3], &*words[4], &*words[5]),
            (status, "1", below),
            "{line}"
        );
        assert!(line.contains(command), "{line}");
    }
    let failed = report.split("\nFailed:\n").nth(1).expect("it tells them");
    assert_eq!(
        failed.lines().take_while(|line| !line.is_empty()).count(),
        2
    );
    let last = report.lines().last().expect("it has lines");
    assert!(
        last.starts_with("3 processes, 3 execs, 2 failed, 0 still running, in ")
            && last.contains("lost 0"),
        "{last}"
    );
}

#[test]
fn without_utf_8_in_the_locale_all_is_ascii() {
    let script = "bash -c ': grün'; bash -c ': ...'; :";
    let ran = kamap(&["--max-args", "70", "bash", "-c", script, &"x".repeat(100)])
        .env("LC_ALL", "C")
        .output()
        .expect("it runs");
    assert_eq!(ran.status.code(), Some(0));
    let report = text(&ran.stderr);
    assert!(report.is_ascii(), "{report}");
    for shown in [
        "|- bash -c $': gr\\xC3\\xBCn'\n",
        "`- bash -c ': ...'\n",
        " xxxxx",
    ] {
        assert!(report.contains(shown), "{shown}: {report}");
    }
    assert!(report.contains("x...\n"), "{report}");
}

#[test]
fn truncated_arguments_are_counted_where_they_are_shown() {
    let script = "bash -c 'bash -c : short'; exit 0";
    let long = "x".repeat(100);
    let args_cut = |arguments: &[&str]| {
        let arguments = [
            arguments,
            &["--max-args", "90", "bash", "-c", script, &long],
        ]
        .concat();
        let ran = output(&arguments);
        let report = text(&ran.stderr).lines().last().expect("it sums up");
        report
            .rsplit_once("  lost 0")
            .expect("nothing is lost")
            .1
            .to_owned()
    };
    // Its exec, its exit and the process itself.
    assert_eq!(args_cut(&[]), "  args cut 3");
    assert_eq!(args_cut(&["-q"]), "  args cut 1");
    assert_eq!(args_cut(&["--kind", "fork"]), "  args cut 1");
}

#[rstest]
#[case::success(&["true"], 0)]
#[case::options_of_its_own(&["bash", "-c", "exit 9", "--json", "-q"], 9)]
#[case::killed(&["bash", "-c", "kill -KILL $$"], 137)]
#[case::missing(&["/missing"], 127)]
#[case::no_program(&["/etc/passwd"], 126)]
fn the_status_is_the_commands(#[case] command: &[&str], #[case] status: i32) {
    let ran = output(&[&["--quiet"], command].concat());
    assert_eq!(ran.status.code(), Some(status), "{}", text(&ran.stderr));
    if matches!(status, 126 | 127) {
        let expected = format!("kamap: failed to run `{}`: ", command[0]);
        assert!(
            text(&ran.stderr).starts_with(&expected),
            "{}",
            text(&ran.stderr)
        );
    }
}

#[test]
fn json_has_events_processes_and_the_run() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("report");
    let output = file.to_str().expect("it is UTF-8");
    let kinds = "fork,exec,exec_failed,exit";
    let script = format!("{SCRIPT}; exit 6");
    let ran = kamap(&[
        "--json", "--kind", kinds, "-o", output, "bash", "-c", &script,
    ])
    .output()
    .expect("it runs");
    assert_eq!((ran.status.code(), text(&ran.stderr)), (Some(5), ""));
    let lines = json(&fs::read(&file).expect("it is there"));
    let of = |kind: &str| -> Vec<_> { lines.iter().filter(|line| line["type"] == kind).collect() };
    assert!(lines.iter().all(|line| line["v"] == 1));
    assert_eq!(
        (of("fork").len(), of("exec").len(), of("exit").len()),
        (3, 3, 3)
    );
    let processes = of("process");
    assert_eq!(processes.len(), 3);
    assert!(processes.iter().all(|line| line["failed_execs"].is_u64()));
    let pids = |lines: &[&Value]| -> BTreeSet<u64> {
        lines
            .iter()
            .filter_map(|line| line["pid"].as_u64())
            .collect()
    };
    assert_eq!(pids(&processes), pids(&of("exit")));
    assert_eq!(
        processes
            .iter()
            .map(|line| &line["exit_code"])
            .collect::<Vec<_>>(),
        [5, 0, 3]
    );
    assert_eq!(
        processes
            .iter()
            .map(|line| &line["depth"])
            .collect::<Vec<_>>(),
        [0, 1, 1]
    );
    let run = lines.last().expect("it has lines");
    assert_eq!(run["type"], "run");
    assert_eq!((&run["processes"], &run["execs"]), (&3.into(), &3.into()));
    assert_eq!((&run["failed"], &run["running"]), (&2.into(), &0.into()));
    assert_eq!(
        (&run["exit_code"], &run["signal"]),
        (&5.into(), &Value::Null)
    );
    assert_eq!(run["command"][2], script);
    assert_eq!(run["losses"]["ring_full"], 0);
}

#[test]
fn a_timeline_has_a_slice_for_each_process_and_those_of_a_track_do_not_cross() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("trace");
    // Each sleep begins while another one is at it, and ends after that.
    let script =
        "sleep 0.2 & sleep 0.1; sleep 0.2 & bash -c '/bin/true; /bin/true; :'; wait; exit 3";
    let ran = kamap(&["-q", "--trace"])
        .arg(&file)
        .args(["bash", "-c", script])
        .output();
    assert_eq!(ran.expect("it runs").status.code(), Some(3));
    let (slices, together) = timeline(&file);
    let mut names: Vec<_> = slices
        .iter()
        .filter_map(|slice| slice["name"].as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["bash", "bash", "sleep", "sleep", "sleep", "true", "true"]
    );
    assert!(together > 0, "children lie below their parents");
    for slice in &slices {
        let colour = (slice["args"]["status"] != "0").then_some("terrible");
        assert_eq!(slice["cname"].as_str(), colour, "{slice}");
    }
    assert!(slices.iter().any(|slice| slice["cname"].is_string()));
    // Numbers have as many decimals as the kernel's clock has.
    let written = fs::read_to_string(&file).expect("it is there");
    for (key, digits) in [("\"ts\":", 3), ("\"dur\":", 3), ("\"cpu_ms\":", 6)] {
        let numbers: Vec<_> = written.split(key).skip(1).collect();
        assert_eq!(numbers.len(), slices.len());
        for number in numbers {
            let number = number.split([',', '}']).next().expect("there is one");
            let (_, decimals) = number.split_once('.').expect("it has decimals");
            assert_eq!(decimals.len(), digits, "{key}{number}");
        }
    }
}

/// The slices of a timeline, which holds what its format asks for, and how many pairs of
/// them are on one track.
#[track_caller]
fn timeline(file: &Path) -> (Vec<Value>, usize) {
    let trace = fs::read(file).expect("it is there");
    let mut trace: Value = serde_json::from_slice(&trace).expect("it is JSON");
    let Value::Array(events) = trace["traceEvents"].take() else {
        panic!("it is a list: {trace}");
    };
    let (metadata, slices): (Vec<_>, Vec<_>) =
        events.into_iter().partition(|event| event["ph"] == "M");
    let named = |name: &str| {
        let events = metadata.iter().filter(move |event| event["name"] == name);
        events.cloned().collect::<Vec<_>>()
    };
    let [group] = &named("process_name")[..] else {
        panic!("there is one group: {metadata:?}");
    };
    assert!(group["args"]["name"].is_string());
    // Each lane has a name of its own, and a place.
    let lanes = |name: &str, key: &str| -> BTreeMap<_, _> {
        let lanes = named(name);
        let lane = |event: &Value| Some((event["tid"].as_u64()?, event["args"][key].to_string()));
        lanes
            .iter()
            .map(|event| lane(event).expect("it has a lane"))
            .collect()
    };
    let (names, places) = (
        lanes("thread_name", "name"),
        lanes("thread_sort_index", "sort_index"),
    );
    let used: BTreeSet<_> = slices
        .iter()
        .filter_map(|slice| slice["tid"].as_u64())
        .collect();
    assert!(
        names.keys().eq(&used) && places.keys().eq(&used),
        "{metadata:?}"
    );
    assert_eq!(names.values().collect::<BTreeSet<_>>().len(), used.len());
    assert!(
        places
            .iter()
            .all(|(lane, place)| lane.to_string() == *place)
    );
    // In microseconds, since boot.
    let now = Clock::since_boot().as_secs_f64() * 1e6;
    let span = |slice: &Value| {
        let [start, lasts] = ["ts", "dur"].map(|key| slice[key].as_f64().expect("it is a number"));
        assert!(
            lasts >= 0.0 && now - 600e6 < start && start + lasts <= now,
            "{slice}"
        );
        (start, start + lasts)
    };
    let mut together = 0;
    for (i, one) in slices.iter().enumerate() {
        assert_eq!((&one["ph"], &one["pid"]), (&"X".into(), &group["pid"]));
        assert!(one["name"].is_string() && one["tid"].is_u64(), "{one}");
        let (from, to) = span(one);
        for other in &slices[i + 1..] {
            assert_ne!(
                one["args"]["pid"], other["args"]["pid"],
                "a process comes once"
            );
            if one["tid"] != other["tid"] {
                continue;
            }
            together += 1;
            let (from_too, to_too) = span(other);
            let apart = to <= from_too || to_too <= from;
            let within = (from <= from_too && to_too <= to) || (from_too <= from && to <= to_too);
            assert!(apart || within, "{one} {other}");
        }
    }
    (slices, together)
}

#[test]
fn the_processes_of_a_build_are_those_that_strace_sees() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let at = |name: &str| folder.path().join(name).display().to_string();
    for name in ["one", "two", "main"] {
        let source = format!("int {name}(void) {{ return 0; }}\n");
        fs::write(at(&format!("{name}.c")), source).expect("it can be written");
    }
    let rules = "all: main\n\t-./main 7 && false\nmain: main.o one.o two.o\n\t$(CC) -o $@ $^\n";
    fs::write(at("Makefile"), rules).expect("it can be written");
    let ran = output(&[
        "-q",
        "--json",
        "-o",
        "-",
        "strace",
        "-f",
        "-o",
        &at("trace"),
        "-e",
        "trace=process",
        "make",
        "-s",
        "-j2",
        "-C",
        &at(""),
    ]);
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));

    // `PID +++ exited with 0 +++`
    let trace = fs::read_to_string(at("trace")).expect("it is there");
    let number = |text: &str| text.parse::<u64>().expect("it is a number");
    let mut seen = BTreeMap::new();
    for line in trace.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let status = match words[1..] {
            ["+++", "exited", "with", status, "+++"] => Some(number(status)),
            _ => None,
        };
        let known = seen.entry(number(words[0])).or_insert(None);
        *known = known.or(status);
    }

    // What strace itself starts, to try what the kernel can, is not in its trace.
    let lines = json(&ran.stdout);
    let make = trace.split_whitespace().next().map(number);
    let mut processes = lines.iter().filter(|line| line["type"] == "process");
    let make = processes.find(|line| line["pid"].as_u64() == make);
    let make = make.expect("it is told of");
    let below = processes.take_while(|line| line["depth"].as_u64() > make["depth"].as_u64());
    let told: BTreeMap<_, _> = [make]
        .into_iter()
        .chain(below)
        .map(|line| {
            let pid = line["pid"].as_u64().expect("it is a number");
            (pid, line["exit_code"].as_u64())
        })
        .collect();
    // make, and for each of three files cc, cc1 and as; cc, collect2 and ld; sh and main.
    assert!(told.len() >= 14, "{told:?}");
    assert_eq!(told, seen);
}

#[test]
fn the_tree_fits_the_terminal_as_it_is_by_then() {
    let mut run = kamap(&[
        "-q",
        "sh",
        "-c",
        "stty cols 40; exit 4",
        "and more than fits",
    ]);
    let mut terminal = OnTerminal::start(24, 100, &mut run);
    let lines: Vec<_> = terminal.shows("the line that sums up", |text| {
        text.contains(" processes, ")
            .then(|| text.lines().map(str::to_owned).collect())
    });
    assert_eq!(terminal.ended().code(), Some(4));
    assert!(lines.iter().any(|line| line.contains(" DURATION ")));
    let widths = lines.iter().map(|line| line.chars().count());
    assert_eq!(widths.max(), Some(40), "{lines:?}");
}

#[rstest]
#[case::no_such_command(&[], "/missing", 127)]
#[case::not_permitted(&["setpriv", "--bounding-set=-all", "--inh-caps=-all"], "true", 1)]
fn what_cannot_run_leaves_files_as_they_are(
    #[case] by: &[&str],
    #[case] program: &str,
    #[case] status: i32,
) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let files = ["report", "trace"].map(|name| folder.path().join(name));
    for file in &files {
        fs::write(file, "of the run before").expect("it can be written");
    }
    let run = |program: &str, by: &[&str]| {
        let words = [by, &[KAMAP, "run", "-q", "-o"]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(&files[0]);
        command.arg("--trace").arg(&files[1]).arg(program);
        command.output().expect("it runs")
    };
    let ran = run(program, by);
    assert_eq!(ran.status.code(), Some(status), "{}", text(&ran.stderr));
    for file in &files {
        assert_eq!(fs::read(file).expect("it is there"), b"of the run before");
    }

    // What runs puts its own in their place.
    assert!(run("true", &[]).status.success());
    for file in &files {
        let written = fs::read(file).expect("it is there");
        assert!(!text(&written).contains("before"));
    }
}

#[test]
fn nobody_who_reads_does_not_end_the_command() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let done = folder.path().join("done");
    let script = format!(
        "for i in 1 2 3; do /bin/true; done; echo > {}; exit 4",
        done.display()
    );
    let mut child = kamap(&["bash", "-c", &script])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(4));
    assert!(done.exists());

    // What cannot be written is said, as soon as it cannot harm.
    let full = File::options()
        .write(true)
        .open("/dev/full")
        .expect("it is there");
    let ran = kamap(&["-o", "/dev/full", "true"])
        .stdout(full)
        .output()
        .expect("it runs");
    assert_eq!(ran.status.code(), Some(1));
    let stderr = text(&ran.stderr);
    assert!(
        stderr.contains("failed to write the events: No space left"),
        "{stderr}"
    );
    // The command's own status goes before.
    let ran = output(&[
        "-o",
        "/dev/full",
        "--trace",
        "/dev/full",
        "bash",
        "-c",
        "exit 4",
    ]);
    assert_eq!(ran.status.code(), Some(4));
    let stderr = text(&ran.stderr);
    for what in ["the events", "the timeline"] {
        assert!(
            stderr.contains(&format!("failed to write {what}: ")),
            "{stderr}"
        );
    }
}

#[rstest]
#[case::handed_on(libc::SIGTERM, 128 + libc::SIGTERM)]
#[case::left_to_the_command(libc::SIGINT, 6)]
fn signals_are_for_the_command(#[case] signal: i32, #[case] status: i32) {
    let script = "echo started; read x; exit 6";
    let mut child = kamap(&["-q", "bash", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    stdout.read_line(&mut line).expect("it is UTF-8");
    assert_eq!(line, "started\n");
    let loaded = Loaded::by(child.id());
    assert_eq!(loaded.links.len(), Loaded::LINKS);
    // SAFETY: the child has not been waited for, so the PID is its own.
    unsafe { libc::kill(child.id().cast_signed(), signal) };
    // To wait for it would close this.
    let stdin = child.stdin.take();
    if signal == libc::SIGINT {
        drop(stdin);
        assert_eq!(child.wait().expect("it ends").code(), Some(status));
    } else {
        assert_eq!(child.wait().expect("it ends").code(), Some(status));
        drop(stdin);
    }
    eventually("nothing is left attached", || {
        loaded.is_gone().then_some(())
    });
}

#[test]
fn a_signal_during_the_start_ends_it_before_the_command_runs() {
    // Not SIGINT, which a shell without job control has its children ignore.
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("ran");
    let status = eventually("it is stopped during its start", || {
        let mut child = kamap(&["-q", "touch"])
            .arg(&file)
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let about = |what: &str| fs::read_to_string(format!("/proc/{}/{what}", child.id()));
        let signal = |signal| {
            // SAFETY: the child has not been waited for, so the PID is its own.
            unsafe { libc::kill(child.id().cast_signed(), signal) };
        };
        let mask = |status: &str| {
            let mask = status
                .lines()
                .find_map(|line| line.strip_prefix("SigCgt:\t"))?;
            u64::from_str_radix(mask, 16).ok()
        };
        eventually("it handles signals, or has ended", || {
            let status = about("status").expect("it has not been waited for");
            (mask(&status)? & (1 << (libc::SIGTERM - 1)) != 0 || status.contains("State:\tZ"))
                .then_some(())
        });
        signal(libc::SIGSTOP);
        eventually("it stands still, or has ended", || {
            let status = about("status").expect("it has not been waited for");
            (status.contains("State:\tT") || status.contains("State:\tZ")).then_some(())
        });
        let started = about(&format!("task/{}/children", child.id()));
        let attached = Loaded::by(child.id()).links.len() == Loaded::LINKS;
        let in_time = started.is_ok_and(|children| children.is_empty()) && !attached;
        signal(libc::SIGTERM);
        signal(libc::SIGCONT);
        let status = child.wait().expect("it ends");
        // Too late: then the command has run.
        let _ = fs::remove_file(&file).map(|()| assert!(!in_time, "it has run"));
        in_time.then_some(status)
    });
    assert_eq!(status.code(), Some(128 + libc::SIGTERM));
}

#[rstest]
#[case::stays_ignored("HUP", "kill -HUP $$; exit 4")]
#[case::as_the_end_of_children("CHLD", "exit 4")]
fn the_status_is_told_though_a_signal_is_ignored(#[case] signal: &str, #[case] script: &str) {
    let ran = Command::new("env")
        .arg(format!("--ignore-signal={signal}"))
        .args([KAMAP, "run", "-q", "sh", "-c", script])
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert_eq!(ran.status.code(), Some(4), "{}", text(&ran.stderr));
}

/// Three children that end when they may. Then many, whose reader stands still meanwhile: of
/// most nothing is told, of the last one nothing but its end, and of the first of the three
/// nothing but its start. The last one begins before the other two end, and ends after them
/// and one more. Who waits reads a line of a FIFO.
const WITH_LOSSES: &str = r#"
exec 3<> "$0.3" 4<> "$0.4" 5<> "$0.5"
(read -u 3) & unknown=$!
(read -u 4) & first=$!
(read -u 4) & second=$!
kill -STOP $PPID
for i in $(seq 60); do /bin/true; done
echo >&3
wait $unknown
(kill -CONT $PPID
until [ -s "$0" ]; do :; done
echo >&4
echo >&4
read -u 5
exit 7) & last=$!
wait $first $second
/bin/true
echo >&5
wait $last
exit 0
"#;

/// Runs that; returns the report.
#[track_caller]
fn with_losses(arguments: &[&str], folder: &Path) -> String {
    let report = folder.join("report");
    let fifos = ["report.3", "report.4", "report.5"].map(|name| folder.join(name));
    duct::cmd("mkfifo", fifos).run().expect("they can be made");
    let ran = kamap(&["-q", "--strict", "--ring-size", "16384", "-o"])
        .arg(&report)
        .args(arguments)
        .args(["bash", "-c", WITH_LOSSES])
        .arg(&report)
        .output()
        .expect("it runs");
    assert_eq!(ran.status.code(), Some(3), "{}", text(&ran.stderr));
    fs::read_to_string(&report).expect("it is there")
}

#[test]
fn processes_whose_end_was_lost_do_not_run() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let trace = folder.path().join("trace");
    let path = trace.to_str().expect("it is UTF-8");
    let lines = json(with_losses(&["--json", "--trace", path], folder.path()).as_bytes());
    let lost = lines.iter().find(|line| line["type"] == "lost");
    assert_eq!(lost.expect("something was lost")["cause"], "ring_full");
    let processes = lines.iter().filter(|line| line["type"] == "process");
    let unknown = processes.clone().filter(|line| line["exit_code"].is_null());
    assert!(unknown.clone().count() > 0);
    assert!(unknown.clone().all(|line| line["running"] == false));
    assert!(unknown.clone().all(|line| line["failed_execs"].is_null()));
    assert_eq!(lines.last().expect("it has lines")["running"], 0);
    let last = processes.clone().position(|line| line["exit_code"] == 7);
    assert_eq!(last, Some(processes.clone().count() - 1), "it is told last");

    let (slices, _) = timeline(&trace);
    assert_eq!(slices.len(), processes.count());
    let time = |slice: &Value, key: &str| slice[key].as_f64().expect("it is a number");
    let with = |status: &'static str| {
        slices
            .iter()
            .filter(move |slice| slice["args"]["status"] == status)
    };
    assert_eq!(with("unknown").count(), unknown.count());
    let last = with("7").next().expect("it is told of");
    for slice in with("unknown") {
        let end = time(slice, "ts") + time(slice, "dur");
        assert!(
            end < time(last, "ts"),
            "it is not known to have been there by then"
        );
    }
}

#[test]
fn processes_whose_end_was_lost_are_not_the_slowest() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let report = with_losses(&[], folder.path());
    let (tree, rest) = report.split_once("\nSlowest").expect("it has both");
    let mut unknown = tree.lines().filter(|line| line.contains(" unknown "));
    let line = unknown.next().expect("something was lost");
    assert_eq!(
        line.split_whitespace().nth(1),
        Some("unknown"),
        "no duration"
    );
    assert!(!rest.contains(" unknown "), "{rest}");
    assert!(report.contains("(lost "), "{report}");
}

#[test]
fn a_process_that_is_left_behind_runs() {
    let ran = output(&[
        "-q",
        "--json",
        "-o",
        "-",
        "bash",
        "-c",
        "sleep 60 >&- 2>&- &",
    ]);
    let lines = json(&ran.stdout);
    let running: Vec<_> = lines
        .iter()
        .filter(|line| line["running"] == true)
        .collect();
    let [left] = running[..] else {
        panic!("there is one: {running:?}");
    };
    let pid = left["pid"].as_i64().expect("it is a number");
    // SAFETY: takes numbers. The process sleeps far longer than this takes.
    unsafe { libc::kill(pid as i32, libc::SIGKILL) };
    assert_eq!(lines.last().expect("it has lines")["running"], 1);
}

#[test]
fn a_report_may_go_to_standard_output() {
    let ran = output(&["-q", "-o", "-", "bash", "-c", "echo out; echo err >&2"]);
    assert_eq!(ran.status.code(), Some(0));
    assert_eq!(text(&ran.stderr), "err\n");
    let report = text(&ran.stdout);
    assert!(report.starts_with("out\n\n"), "{report}");
    assert!(report.contains("1 processes, 1 execs, "), "{report}");

    let ran = output(&["-q", "--trace", "-", "true"]);
    assert!(serde_json::from_slice::<Value>(&ran.stdout).is_ok());
    assert!(text(&ran.stderr).contains("1 processes, 1 execs, "));
}

#[test]
fn a_report_and_a_timeline_need_two_files() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let [file, link, other] = ["file", "link", "other"].map(|name| folder.path().join(name));
    fs::write(&file, "of the run before").expect("it can be written");
    std::os::unix::fs::symlink(&file, &link).expect("it can be made");
    let [file, link, other] = [&file, &link, &other].map(|path| path.to_str().expect("it is text"));
    for (report, trace) in [
        (file, file),
        (file, link),
        (other, other),
        ("-", "-"),
        // The guests have no /dev/stdout.
        ("-", "/proc/self/fd/1"),
    ] {
        let ran = output(&["-q", "-o", report, "--trace", trace, "true"]);
        assert_eq!(ran.status.code(), Some(2), "{report} {trace}");
        let stderr = text(&ran.stderr);
        assert!(
            stderr.starts_with("kamap: ") && stderr.contains("same file"),
            "{stderr}"
        );
        assert!(ran.stdout.is_empty());
    }
    assert_eq!(fs::read(file).expect("it is there"), b"of the run before");

    // Standard error may be such a file as well.
    let stderr = File::options()
        .append(true)
        .open(file)
        .expect("it is there");
    let mut ran = kamap(&["-q", "--trace", link, "true"]);
    let status = ran.stderr(stderr).status().expect("it runs");
    assert_eq!(status.code(), Some(2));
    // What nobody reads may be written to twice.
    let ran = output(&["-q", "-o", "/dev/null", "--trace", "/dev/null", "true"]);
    assert_eq!(ran.status.code(), Some(0));
}

#[test]
fn a_report_on_a_file_that_is_open_already_is_appended() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("log");
    fs::write(&file, "before\n").expect("it can be written");
    let log = File::options()
        .append(true)
        .open(&file)
        .expect("it is there");
    let mut ran = kamap(&["-q", "-o", "-", "true"]);
    assert!(ran.stdout(log).status().expect("it runs").success());
    let log = fs::read(&file).expect("it is there");
    assert!(text(&log).starts_with("before\n\n"), "{}", text(&log));
}

#[rstest]
#[case::no_command(&[], 2, "<CMD>")]
#[case::json_beside_what_the_command_prints(&["--json", "true"], 2, "`-o FILE`, or `-o -`")]
#[case::no_such_user(&["--user", "no such user", "true"], 2, "there is no user of this name")]
#[case::two_users(&["--user", "nobody", "--as-root", "true"], 2, "cannot be used with")]
#[case::no_such_folder(&["-o", "/missing/file", "true"], 1, "failed to create `/missing/file`")]
fn what_cannot_be_is_told(#[case] arguments: &[&str], #[case] status: i32, #[case] told: &str) {
    let ran = output(arguments);
    assert_eq!(ran.status.code(), Some(status));
    assert!(text(&ran.stderr).contains(told), "{}", text(&ran.stderr));
}

/// A command that ends with 4 and leaves a process behind, which ends with 3 once the FIFO was written to.
fn leaves_behind(folder: &Path) -> (String, std::path::PathBuf) {
    let fifo = folder.join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("it runs").success());
    let script = format!("(read x < {}; exit 3) & exit 4", fifo.display());
    (script, fifo)
}

#[test]
fn what_is_left_behind_can_be_waited_for() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (script, fifo) = leaves_behind(folder.path());
    let mut ran = kamap(&["--wait", "-q", "--json", "-o", "-", "bash", "-c", &script]);
    let mut ran = ran.stdout(Stdio::piped()).spawn().expect("it starts");
    // It waits for its reader.
    let writer = File::options().write(true).open(&fifo);
    assert!(ran.try_wait().expect("it is a child").is_none());
    std::io::Write::write_all(&mut writer.expect("it can be opened"), b"x\n").expect("it is read");
    let ran = ran.wait_with_output().expect("it ends");
    assert_eq!(ran.status.code(), Some(4));
    let lines = json(&ran.stdout);
    assert_eq!(lines.last().expect("it has lines")["running"], 0);
    let codes: BTreeSet<_> = lines
        .iter()
        .filter_map(|line| line["exit_code"].as_i64())
        .collect();
    assert_eq!(codes, BTreeSet::from([3, 4]));
}

#[test]
fn a_signal_ends_the_wait_for_what_is_left_behind() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (script, fifo) = leaves_behind(folder.path());
    let report = folder.path().join("report");
    let report = report.to_str().expect("it is UTF-8");
    let mut ran = kamap(&["--wait", "--json", "-o", report, "bash", "-c", &script]);
    let mut ran = ran.spawn().expect("it starts");
    let mut writer = File::options()
        .write(true)
        .open(&fifo)
        .expect("it can be opened");
    let said = || fs::read(report).unwrap_or_default();
    eventually("the command has ended", || {
        text(&said()).contains("\"exit_code\":4").then_some(())
    });
    // SAFETY: the child has not been waited for, so the PID is its own.
    unsafe { libc::kill(ran.id().cast_signed(), libc::SIGTERM) };
    let status = ran.wait().expect("it ends");
    assert_eq!(status.code(), Some(4));
    assert_eq!(json(&said()).last().expect("it has lines")["running"], 1);
    std::io::Write::write_all(&mut writer, b"x\n").expect("it is read");
}

/// The lines that the command printed, which has to succeed.
#[track_caller]
fn lines_of(command: &mut Command) -> Vec<String> {
    let ran = command.output().expect("it runs");
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    text(&ran.stdout).lines().map(str::to_owned).collect()
}

/// A user whom every machine has, and the number.
const NOBODY: (&str, &str) = ("nobody", "65534");

const WHO: &str = "id -u; id -ru; id -g; id -G; echo $HOME; echo $USER; echo $MINE; grep CapEff /proc/self/status";

#[rstest]
#[case::by_name(NOBODY.0)]
#[case::by_number(NOBODY.1)]
fn a_command_can_run_as_another_user(#[case] user: &str) {
    let arguments = ["-q", "-o", "/dev/null", "--user", user, "sh", "-c", WHO];
    // kamap has a group that the user has not.
    let mut command = Command::new("setpriv");
    command
        .args(["--groups", "1234", KAMAP, "run"])
        .args(arguments);
    let found = lines_of(command.env("MINE", "kept").env("SUDO_X", "left out"));
    let group = lines_of(Command::new("id").args(["-g", NOBODY.0]));
    let groups = lines_of(Command::new("id").args(["-G", NOBODY.0]));
    assert_eq!(found[..2], [NOBODY.1, NOBODY.1]);
    assert_eq!(found[2..4], [&*group[0], &*groups[0]]);
    assert_eq!(found[5..7], ["nobody", "kept"]);
    assert_eq!(found[7], "CapEff:\t0000000000000000");
}

/// Runs `kamap run` below a process that looks like sudo, which was called with `MINE=before`.
#[track_caller]
fn under_sudo(arguments: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let sudo = folder.path().join("sudo");
    fs::copy("/bin/sh", &sudo).expect("it can be copied");
    // Something follows, so that the shell does not exec it.
    let script = format!(
        "env -i PATH=/bin:/usr/bin SUDO_UID={} SUDO_USER=nobody HOME=/root {KAMAP} run -q -o /dev/null {arguments} \
         sh -c '{WHO}; echo $SUDO_UID'; exit $?",
        NOBODY.1
    );
    let mut command = Command::new(&sudo);
    command
        .args(["-c", &script])
        .env("MINE", "before")
        .env("HOME", "/home/caller");
    lines_of(&mut command)
}

#[test]
fn under_sudo_a_command_runs_as_who_called_it_and_in_that_environment() {
    let found = under_sudo("");
    assert_eq!(found[..2], [NOBODY.1, NOBODY.1]);
    assert_eq!([&*found[4], &*found[6]], ["/home/caller", "before"]);
    assert_eq!(found[8], "");
}

#[test]
fn under_sudo_a_command_runs_as_root_if_that_is_asked_for() {
    let found = under_sudo("--as-root");
    assert_eq!(found[..2], ["0", "0"]);
    assert_eq!([&*found[4], &*found[6]], ["/root", ""]);
    assert_eq!(found[8], NOBODY.1);
}

#[rstest]
#[case::no_such_user("4294967294")]
#[case::no_number("nobody")]
fn a_command_does_not_run_as_root_because_who_called_sudo_is_unknown(#[case] uid: &str) {
    let ran = kamap(&["-q", "-o", "/dev/null", "echo", "ran"])
        .env("SUDO_UID", uid)
        .output()
        .expect("it runs");
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(1), ""));
    let error = text(&ran.stderr);
    assert!(
        error.contains(uid) && error.contains("--as-root"),
        "{error}"
    );
}

/// A page about a command whose arguments would run a script, one process that fails and one that does not.
#[track_caller]
fn page(folder: &Path) -> (std::path::PathBuf, Vec<Value>) {
    let page = folder.join("page.html");
    let hostile =
        "<script>document.body.innerHTML = 'owned'</script>\x1b[31m<img src=x onerror=alert(1)>";
    let script = "sleep 0.2; bash -c 'sleep 0.2; exit 3'; true";
    let path = page.to_str().expect("it is UTF-8");
    let ran = output(&[
        "-q", "--json", "-o", "-", "--html", path, "bash", "-c", script, hostile,
    ]);
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    (page, json(&ran.stdout))
}

#[test]
fn a_page_shows_each_process_and_runs_nothing() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (page, lines) = page(folder.path());
    let page = fs::read_to_string(page).expect("it was written");
    assert!(
        !page.contains("<script") && !page.contains("<img") && !page.contains('\x1b'),
        "{page}"
    );
    assert!(page.contains("&lt;script&gt;"), "{page}");
    assert!(
        page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""),
        "{page}"
    );
    let (_, tree) = page.split_once("id=\"tree\"").expect("it is there");
    let shown: Vec<_> = lines
        .iter()
        .filter(|line| line["type"] == "process")
        .collect();
    // One line is the heading.
    assert_eq!(tree.matches("<tr").count(), shown.len() + 1);
    for process in shown {
        assert!(
            tree.contains(&format!("<td>{}</td>", process["pid"])),
            "{process}"
        );
    }
    assert_eq!(tree.matches("<tr class=\"bad\">").count(), 1, "{tree}");
}

#[test]
fn a_browser_shows_the_page_with_its_bars() {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let is_there = |name: &&str| {
        let found = Command::new("which")
            .arg(name)
            .stdout(Stdio::null())
            .status();
        found.expect("it runs").success()
    };
    let browser = names
        .into_iter()
        .find(is_there)
        .expect("`ci/setup test` installs a browser");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (page, _) = page(folder.path());
    let shot = folder.path().join("shot.png");
    let ran = Command::new("timeout")
        .args([
            "120",
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--window-size=1200,900",
        ])
        .arg(format!(
            "--user-data-dir={}",
            folder.path().join("data").display()
        ))
        .arg(format!("--screenshot={}", shot.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("it runs");
    let file = File::open(&shot)
        .unwrap_or_else(|err| panic!("{err}: {}", String::from_utf8_lossy(&ran.stderr)));
    let mut decoder = png::Decoder::new(BufReader::new(file));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().expect("it is an image");
    let mut pixels = vec![0; reader.output_buffer_size().expect("it fits into memory")];
    let info = reader.next_frame(&mut pixels).expect("it is whole");
    let step = info.color_type.samples();
    let count = |color: [u8; 3]| {
        let is_it = |pixel: &&[u8]| pixel[..3] == color;
        pixels[..info.buffer_size()]
            .chunks(step)
            .filter(is_it)
            .count()
    };
    // Bars of a failed process and of the others, in the colours of the page.
    let (bad, good) = (count([0xd3, 0x3a, 0x2c]), count([0x3b, 0x82, 0xc4]));
    assert!(bad > 1000 && good > 1000, "{bad} {good}");
}
