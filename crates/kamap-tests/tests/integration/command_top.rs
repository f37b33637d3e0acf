//! `kamap top`: what it counts, compared with what was started and waited for.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kamap_tests::command::json;
use kamap_tests::{Held, OnTerminal, executable};
use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

use crate::programs::{HELD, KAMAP, kamap};

/// How many times [`Scripts::run`] starts the script that starts others.
const RUNS: u64 = 20;

/// How many processes each of these starts.
const CHILDREN: u64 = 5;

/// A script that fails, and one that starts it again and again and lives no longer than that.
struct Scripts {
    dir: TempDir,
    spawns: PathBuf,
    /// The names of the two.
    names: [Value; 2],
}

impl Scripts {
    /// Tests run beside each other, so each has its own `name`.
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder can be made");
        let names = ["fails", "spawns"].map(|what| format!("{name}-{what}"));
        let fails = executable(dir.path(), &names[0], b"#!/bin/sh\nexit 3\n");
        let text = format!(
            "#!/bin/sh\n{}true\n",
            format!("{}\n", fails.display()).repeat(CHILDREN as usize)
        );
        let spawns = executable(dir.path(), &names[1], text.as_bytes());
        let names = names.map(Value::from);
        Self { dir, spawns, names }
    }

    fn run(&self) {
        for _ in 0..RUNS {
            let status = Command::new(&self.spawns).status();
            assert!(status.expect("it runs").success());
        }
    }
}

/// What the tables say of groups of this name together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Total {
    started: u64,
    count: u64,
    failed: u64,
    cpu: Duration,
    duration: Duration,
    longest: Duration,
}

fn total(tables: &[Value], name: &str, value: &Value) -> Total {
    let groups = tables
        .iter()
        .flat_map(|table| table["groups"].as_array().expect("there are groups"));
    let mut total = Total::default();
    for group in groups.filter(|group| group[name] == *value) {
        let number = |field: &str| group[field].as_u64().expect("it is a number");
        total.started += number("started");
        total.count += number("count");
        total.failed += number("failed");
        total.cpu += Duration::from_nanos(number("cpu_ns"));
        total.duration += Duration::from_nanos(number("duration_ns"));
        total.longest = total
            .longest
            .max(Duration::from_nanos(number("longest_ns")));
    }
    total
}

/// The tables of a `kamap top` that counted while `run` ran. All but the last follow each other quickly.
#[track_caller]
fn tables(arguments: &[&str], run: impl FnOnce()) -> Vec<Value> {
    let mut top = kamap(&["top", "--json", "--interval", "50ms"]);
    let top = Held::start(top.args(arguments));
    let first = top.said().to_owned();
    run();
    top.signal(libc::SIGINT);
    let (status, rest) = top.read_to_end();
    assert_eq!(status.code(), Some(0));
    let tables = json(&format!("{first}\n{rest}"));
    let last = tables.last().expect("there are some");
    assert_eq!(last["losses"]["ring_full"], 0, "{last}");
    for pair in tables.windows(2) {
        // Nothing is left out between them.
        assert_eq!(pair[0]["time"], pair[1]["since"]);
    }
    tables
}

#[test]
fn each_process_is_counted_once_under_its_name() {
    let scripts = Scripts::new("name");
    let begun = Instant::now();
    let tables = tables(&[], || scripts.run());
    let lived = begun.elapsed();
    let fails = total(&tables, "command", &scripts.names[0]);
    let spawns = total(&tables, "command", &scripts.names[1]);
    assert_eq!(
        (fails.count, fails.failed),
        (RUNS * CHILDREN, RUNS * CHILDREN)
    );
    assert_eq!((spawns.count, spawns.failed), (RUNS, 0));
    // Between its start and its exec it has the name of the one that started it.
    let started = fails.started + spawns.started;
    let ended = fails.count + spawns.count;
    assert!(
        started.abs_diff(ended) <= tables.len() as u64,
        "{fails:?} {spawns:?}"
    );
    assert!(spawns.longest <= spawns.duration && spawns.duration < 2 * lived);
    assert!(
        fails.cpu > Duration::ZERO && fails.cpu <= 2 * fails.duration,
        "{fails:?}"
    );
}

#[test]
fn a_parent_that_is_gone_is_known_by_what_it_started() {
    let scripts = Scripts::new("parent");
    let tables = tables(&["--by", "parent"], || scripts.run());
    let spawned = total(&tables, "parent", &scripts.names[1]);
    let expected = RUNS * CHILDREN;
    let counted = (spawned.started, spawned.count, spawned.failed);
    assert_eq!(counted, (expected, expected, RUNS * CHILDREN));
}

#[test]
fn users_are_those_at_the_ends() {
    const USER: u32 = 54321;
    let tables = tables(&["--by", "user"], || {
        for _ in 0..RUNS {
            let status = Command::new("/bin/true").uid(USER).status();
            assert!(status.expect("it runs").success());
        }
    });
    assert_eq!(total(&tables, "uid", &USER.into()).count, RUNS);
}

#[test]
fn a_process_that_runs_on_has_started_and_not_ended() {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let path = dir.path().join("top-runs-on");
    std::fs::copy(HELD, &path).expect("it can be copied");
    let mut running = Vec::new();
    let tables = tables(&[], || {
        running.extend((0..RUNS).map(|_| Held::start(&mut Command::new(&path))));
    });
    let sums = total(&tables, "command", &"top-runs-on".into());
    // Where an interval ends between a start and its exec, the start has the name of the one that forked.
    assert!(sums.started <= RUNS && sums.started > RUNS / 2, "{sums:?}");
    assert_eq!(sums.count, 0);
    drop(running);
}

#[test]
fn processes_outside_of_all_units_are_counted_as_well() {
    let scripts = Scripts::new("unit");
    let tables = tables(&["--by", "unit"], || scripts.run());
    let of_all = |value: &Value| total(&tables, "unit", value).count;
    let named = tables
        .iter()
        .flat_map(|table| table["groups"].as_array().expect("there are groups"))
        .filter(|group| group["unit"].is_string());
    let named: u64 = named.filter_map(|group| group["count"].as_u64()).sum();
    assert!(of_all(&Value::Null) + named >= RUNS * (CHILDREN + 1));
}

#[test]
fn what_is_printed_has_a_line_for_each_group_and_no_control_characters() {
    let scripts = Scripts::new("text");
    let hostile = executable(scripts.dir.path(), "top-\x1b[31m", b"#!/bin/sh\nexit 0\n");
    let mut top = kamap(&[
        "top",
        "--interval",
        "50ms",
        "--by",
        "command",
        "--sort",
        "failed",
    ]);
    let top = Held::start(&mut top);
    assert!(
        top.said().trim_start().starts_with("START/S"),
        "{}",
        top.said()
    );
    assert!(top.said().ends_with("COMMAND"), "{}", top.said());
    let status = Command::new(&hostile).status();
    assert!(status.expect("it runs").success());
    top.signal(libc::SIGINT);
    let (status, text) = top.read_to_end();
    assert_eq!(status.code(), Some(0));
    assert!(!text.contains('\x1b'));
    let line = text
        .lines()
        .find(|line| line.contains("top-"))
        .expect("it is there");
    assert!(line.ends_with("[31m"), "{line}");
    let footer = text.lines().last().expect("there is one");
    assert!(
        footer.contains(" started, ") && footer.ends_with("lost 0"),
        "{footer}"
    );
}

#[test]
fn once_ends_after_one_interval() {
    let top = kamap(&["top", "--once", "--interval", "100ms"]).output();
    let top = top.expect("it runs");
    assert!(top.status.success());
    let text = String::from_utf8(top.stdout).expect("it is UTF-8");
    assert_eq!(text.matches("START/S").count(), 1, "{text}");
}

#[rstest]
#[case::an_unknown_group(&["--by", "shoe"], "[possible values: command, parent, user, unit]")]
#[case::no_interval(&["--interval", "0"], "must be 1ms to 1day")]
fn wrong_usage_names_what_is_right(#[case] arguments: &[&str], #[case] cure: &str) {
    let mut top = kamap(&["top"]);
    let top = top
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert_eq!(top.status.code(), Some(2));
    let text = String::from_utf8(top.stderr).expect("it is UTF-8");
    assert!(text.contains(cure), "{text}");
}

#[test]
fn on_a_terminal_keys_sort_scroll_and_end_it() {
    let scripts = Scripts::new("keys");
    let mut top = Command::new(KAMAP);
    top.args(["top", "--interval", "50ms", "--by", "command"])
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8")
        .env_remove("NO_COLOR");
    let mut terminal = OnTerminal::start(24, 80, &mut top);
    let wait = |terminal: &mut OnTerminal, text: &str| {
        terminal.screen(text, |screen| {
            screen.contents().contains(text).then_some(())
        });
    };
    wait(&mut terminal, "? help");
    assert!(!terminal.has_line_editing());
    // Until its rows were on the screen: each is there for an interval.
    let mut seen = false;
    while !seen {
        assert!(
            Command::new(&scripts.spawns)
                .status()
                .expect("it runs")
                .success()
        );
        terminal.screen("it draws", |screen| {
            seen |= screen.contents().contains("keys-fails");
            Some(())
        });
    }
    terminal.type_keys("?");
    wait(&mut terminal, "MEAN, LONGEST   how long these lived");
    terminal.type_keys("x");
    wait(&mut terminal, "START/S");
    terminal.type_keys("sj");
    wait(&mut terminal, "sort ended  ? help");
    terminal.type_keys("S");
    terminal.screen("it is sorted as before", |screen| {
        (!screen.contents().contains("sort ended")).then_some(())
    });
    terminal.type_keys("q");
    assert_eq!(terminal.ended().code(), Some(0));
    assert!(terminal.has_line_editing());
    terminal.screen("the last table stays", |screen| {
        (!screen.alternate_screen() && screen.contents().contains("START/S")).then_some(())
    });
}
