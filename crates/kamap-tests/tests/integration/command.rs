//! The command `kamap`, from outside.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use kamap_tests::command::{Tables, compare_with_proc, output, row, rows};
use kamap_tests::{Held, Loaded, OnTerminal, Tiny, eventually};
use rstest::rstest;
use serde_json::Value;

use crate::programs::{FORKED, HELD, KAMAP, NAMED, held, kamap};

#[test]
fn short_lived_processes_are_counted_and_only_the_living_are_shown() {
    let mut kamap = Tables::start(kamap(&[]));
    let before = kamap.fresh_table();
    // All of its children end at once, except for the last one.
    let tiny = Tiny::new();
    let script = "i=0; while [ $i -lt 200 ]; do \"$1\" </dev/null >/dev/null; i=$((i + 1)); done
                  \"$0\"";
    let mut command = Command::new("sh");
    let child = Held::start(command.args(["-c", script, HELD]).arg(tiny.path()));

    let table = kamap.fresh_table();
    let family: Vec<_> = rows(&table)
        .iter()
        .filter(|row| row["pid"] == child.pid() || row["ppid"] == child.pid())
        .collect();
    let names: Vec<_> = family.iter().map(|row| row["comm"].as_str()).collect();
    assert_eq!(names, [Some("sh"), Some("held")]);

    let grown = |what: &str, table: &Value| {
        let count = |table: &Value| table["seen"][what].as_u64().expect("it is a number");
        count(table) - count(&before)
    };
    assert!(grown("fork", &table) >= 202, "{table}");
    assert!(grown("exec", &table) >= 202, "{table}");
    assert!(grown("exit", &table) >= 200, "{table}");

    assert!(child.release().success());
    let table = kamap.fresh_table();
    assert!(family.iter().all(|gone| !rows(&table).contains(gone)));
    assert!(grown("exit", &table) >= 202, "{table}");
    assert_eq!(table["losses"]["table_full"], 0);
    assert_eq!(table["losses"]["missed_runs"], 0);
}

#[test]
fn a_row_of_json_says_what_is_so() {
    let mut kamap = Tables::start(kamap(&[]));
    let child = Held::start(held().args(["0", "a\nb", "\"x\""]));
    let table = kamap.fresh_table();
    let row = row(&table, child.pid()).expect("it has exec'd");
    let keys: Vec<_> = row.as_object().expect("it is an object").keys().collect();
    assert_eq!(
        keys,
        [
            "age_ns",
            "args",
            "args_cut",
            "cgroup",
            "cgroup_id",
            "comm",
            "container",
            "container_runtime",
            "exe",
            "exe_cut",
            "execs",
            "file",
            "file_cut",
            "gid",
            "origin",
            "parent",
            "pid",
            "pid_ns",
            "pod_uid",
            "ppid",
            "start_boottime_ns",
            "start_time",
            "uid",
            "unit",
            "user_unit",
            "vpid"
        ]
    );
    let exe = std::fs::canonicalize(HELD).expect("it is there");
    assert_eq!(row["ppid"], std::process::id());
    assert_eq!((&row["uid"], &row["gid"]), (&0.into(), &0.into()));
    assert_eq!(row["comm"], "held");
    assert_eq!(row["exe"], exe.to_str().expect("it is UTF-8"));
    assert_eq!(row["args"], serde_json::json!([HELD, "0", "a\nb", "\"x\""]));
    assert_eq!(
        (&row["args_cut"], &row["execs"]),
        (&false.into(), &1.into())
    );
    assert_eq!(row["origin"], "exec");
    let time = |value: &Value| {
        value
            .as_str()
            .expect("it is text")
            .parse::<jiff::Timestamp>()
    };
    let start = time(&row["start_time"]).expect("it is RFC 3339");
    let read = time(&table["time"]).expect("it is RFC 3339");
    let age = row["age_ns"].as_i64().expect("it is a number");
    assert_eq!((read.as_nanosecond() - start.as_nanosecond()) as i64, age);
}

#[test]
fn all_once_holds_what_proc_holds() {
    compare_with_proc(|| {
        // Nothing is lost, so `--strict` changes nothing.
        let table = output(kamap(&["--all", "--once", "--json", "--strict"]));
        assert_eq!(table.lines().count(), 1);
        serde_json::from_str(&table).expect("it is JSON")
    });
}

#[rstest]
#[case::interrupt(libc::SIGINT)]
#[case::terminate(libc::SIGTERM)]
#[case::hangup(libc::SIGHUP)]
#[case::kill(libc::SIGKILL)]
fn nothing_stays_loaded_after_a_signal(#[case] signal: i32) {
    let kamap = Tables::start(kamap(&[]));
    let loaded = Loaded::by(kamap.pid());
    assert_eq!(loaded.links.len(), Loaded::LINKS, "{loaded:?}");
    assert!(
        loaded.programs.len() >= 3 && loaded.maps.len() >= 3,
        "{loaded:?}"
    );
    assert!(!loaded.is_gone());

    let (status, rest) = kamap.end(signal);
    if signal == libc::SIGKILL {
        assert_eq!(status.signal(), Some(signal));
    } else {
        assert_eq!(status.code(), Some(0));
        // The summary comes last, and its line is complete.
        let last = rest.lines().last().expect("it prints a summary");
        assert!(serde_json::from_str::<Value>(last).is_ok(), "{last}");
        assert!(rest.ends_with('\n'));
    }
    eventually("the kernel has freed all of it", || {
        loaded.is_gone().then_some(())
    });
}

#[test]
fn a_closed_pipe_is_success() {
    let status = duct::cmd!(
        "bash",
        "-c",
        "set -o pipefail; \"$0\" --interval 20ms | head -1",
        KAMAP
    );
    assert_eq!(
        status
            .read()
            .expect("it succeeds")
            .split_whitespace()
            .next(),
        Some("PID")
    );
}

#[rstest]
#[case::table("\"$0\" --once >&-")]
#[case::json("\"$0\" --once --json >&-")]
#[case::events("\"$0\" events --count 1 >&-")]
#[case::verify("\"$0\" verify >&-")]
#[case::map("\"$0\" map list >&-")]
#[case::probe("\"$0\" probe >&-")]
#[case::run("\"$0\" run -o - true >&-")]
#[case::all_streams("\"$0\" --once <&- >&-")]
#[case::only_for_reading("\"$0\" --once 1</dev/null")]
fn a_closed_standard_output_is_a_failure(#[case] script: &str) {
    let ran = duct::cmd!("bash", "-c", script, KAMAP)
        .stderr_capture()
        .unchecked()
        .run()
        .expect("it starts");
    assert_eq!(ran.status.code(), Some(1));
    let stderr = String::from_utf8(ran.stderr).expect("it is UTF-8");
    assert_eq!(
        stderr,
        "kamap: failed to write to standard output: Bad file descriptor (os error 9)\n"
    );
}

#[test]
fn a_standard_output_that_is_thrown_away_is_none() {
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.expect("it is there");
    let ran = Command::new(KAMAP).arg("verify").stdout(null).status();
    assert!(ran.expect("it starts").success());
    let ran = duct::cmd!("bash", "-c", "\"$0\" run -q -o /dev/null true >&-", KAMAP);
    assert!(ran.run().expect("it starts").status.success());
}

#[test]
fn processes_can_be_chosen() {
    let child = Held::start(&mut held());
    let pid = child.pid().to_string();
    let parent = std::process::id().to_string();
    let chosen = |arguments: &[&str]| -> Vec<u32> {
        let arguments = [&["--all", "--once", "--json"], arguments].concat();
        let table = serde_json::from_str(&output(kamap(&arguments))).expect("it is JSON");
        let pids = rows(&table)
            .iter()
            .map(|row| row["pid"].as_u64().expect("it is a number"));
        pids.map(|pid| pid as u32).collect()
    };
    assert_eq!(chosen(&["--pid", &format!("{pid},2")]), [2, child.pid()]);
    let all = ["--ppid", &parent, "--comm", "^he.d$", "--user", "root"];
    assert!(chosen(&all).contains(&child.pid()));
    for other in [["--ppid", "2"], ["--comm", "^eld"], ["--user", "4711"]] {
        let both = [["--pid", &pid], other].concat();
        assert_eq!(chosen(&both), [0_u32; 0], "{other:?}");
    }
}

#[test]
fn without_utf_8_in_the_locale_the_table_is_ascii() {
    let child = Held::start(Command::new(NAMED).arg("日本…"));
    let pid = child.pid().to_string();
    let shown = |locale: &str| {
        let ran = Command::new(KAMAP)
            .args(["--all", "--once", "--wide", "--pid", &pid])
            .env("LC_ALL", locale)
            .output()
            .expect("it starts");
        assert_eq!(ran.status.code(), Some(0));
        String::from_utf8(ran.stdout).expect("it is UTF-8")
    };
    let table = shown("C.UTF-8");
    assert!(table.contains(" 日本… "), "{table}");
    assert!(table.contains(" '日本…'\n"), "{table}");
    let table = shown("C");
    assert!(table.is_ascii(), "{table}");
    assert!(
        table.contains(r" \xe6\x97\xa5\xe6\x9c\xac\xe2\x80\xa6 "),
        "{table}"
    );
    assert!(
        table.contains(r" $'\xE6\x97\xA5\xE6\x9C\xAC\xE2\x80\xA6'"),
        "{table}"
    );
}

#[test]
fn truncated_arguments_are_counted_where_they_are_shown() {
    let long = Held::start(held().args(["0", &"x".repeat(5_000)]));
    let short = Held::start(&mut held());
    let footer = |pids: &[u32]| {
        let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
        let table = output(kamap(&["--all", "--once", "--pid", &pids.join(",")]));
        table.lines().last().expect("there is a footer").to_owned()
    };
    let both = footer(&[long.pid(), short.pid()]);
    assert!(both.ends_with("  args cut 1"), "{both}");
    let one = footer(&[short.pid()]);
    assert!(one.ends_with("lost 0"), "{one}");
    let verified = output(kamap(&["verify"]));
    assert!(verified.ends_with("lost 0\n"), "{verified}");
}

#[rstest]
#[case::all(&["--comm", "^$", "--all"], "")]
#[case::of_several(&["--comm", "^$", "--count", "2", "-i", "1ms"], "(processes that your options select appear here when they exec; --all shows the others that they select as well)")]
#[case::of_one(&["--comm", "^$", "--once"], "(no process that your options select has exec'd since kamap started; --all shows the others that they select)")]
fn an_empty_first_table_says_what_will_appear(#[case] arguments: &[&str], #[case] note: &str) {
    let mut kamap = Held::start(
        Command::new(KAMAP)
            .args(arguments)
            .args(["--max-entries", "100000"]),
    );
    let second = kamap.line();
    if note.is_empty() {
        assert!(second.starts_with("live "), "{second}");
        return;
    }
    assert_eq!(second, note);
    assert!(kamap.line().starts_with("live "));
    if arguments.contains(&"2") {
        assert_eq!(kamap.line(), "");
        assert!(kamap.line().contains("COMMAND"));
        assert!(kamap.line().starts_with("live "), "it is said once");
    }
}

#[test]
fn on_a_screen_an_empty_table_says_what_will_appear() {
    let mut kamap = Command::new(KAMAP);
    kamap.args(["--comm", "^$", "--interval", "1ms"]);
    let mut screen = OnTerminal::start(24, 60, kamap.env("TERM", "xterm"));
    screen.shows("the second table", |text| {
        let second = text.split("\x1b[1;1H").nth(2)?;
        let note = second.lines().nth(1)?;
        let (note, _) = note.split_once("\x1b[K")?;
        assert!(
            note.starts_with("(processes that your options select appear "),
            "{note}"
        );
        assert_eq!(note.len(), 60, "{note}");
        Some(())
    });
}

#[test]
fn what_runs_a_program_from_before_is_shown_with_all_only() {
    let seeded = Held::start(&mut held());
    // It has forked before kamap started, and forks again later.
    let script = "echo; read x; (echo; read x); exit 0";
    let mut shell = Held::start(Command::new("sh").args(["-c", script]));
    for all in [false, true] {
        let mut kamap = Tables::start(kamap(if all { &["--all"] } else { &[] }));
        let parent = Held::start(&mut Command::new(FORKED));
        let forked = parent.said().parse().expect("it prints a PID");
        if !all {
            shell.say("\n");
            assert_eq!(shell.line(), "", "its subshell runs");
        }
        let table = kamap.fresh_table();
        // It runs the program that its parent exec'd.
        assert_eq!(row(&table, forked).expect("it is alive")["origin"], "fork");
        assert_eq!(
            row(&table, parent.pid()).expect("it has exec'd")["origin"],
            "exec"
        );
        if all {
            assert_eq!(
                row(&table, seeded.pid()).expect("it is alive")["origin"],
                "seed"
            );
            assert_eq!(row(&table, 2).expect("it is alive")["exe"], Value::Null);
        } else {
            assert_eq!(row(&table, seeded.pid()), None);
            let rows = table["processes"].as_array().expect("there are rows");
            assert!(rows.iter().all(|row| row["ppid"] != shell.pid()));
        }
        assert!(parent.release().success());
    }
}

#[test]
fn elsewhere_than_on_a_terminal_one_table_follows_the_other() {
    let text = output(kamap(&["--count", "3", "--interval", "1ms"]));
    let headers = text
        .lines()
        .filter(|line| line.trim_start().starts_with("PID"));
    assert_eq!(headers.count(), 3, "{text}");
    let footers = text.lines().filter(|line| line.starts_with("live "));
    assert_eq!(footers.count(), 3, "{text}");
    assert!(!text.contains('\x1b'));
    assert_eq!(output(kamap(&["--once"])).matches("live ").count(), 1);
}

#[test]
fn a_full_table_is_told_below_it() {
    let mut kamap = kamap(&["--once", "--max-entries", "1", "--strict"]);
    let output = kamap.output().expect("it starts");
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stdout).expect("it is UTF-8");
    let footer = text.lines().last().expect("there is a footer");
    assert!(
        footer.contains("found the table full, first PID "),
        "{footer}"
    );
    assert!(footer.contains("--max-entries"), "{footer}");
}

#[test]
fn losses_are_no_failure_unless_strict() {
    let text = output(kamap(&["--once", "--max-entries", "1"]));
    assert!(text.contains("found the table full"), "{text}");
}

#[test]
fn a_comparison_without_a_difference_is_one_line() {
    let text = output(kamap(&["verify", "--strict"]));
    assert_eq!(text.lines().count(), 1);
    assert!(
        text.contains(" processes checked: 0 missing, 0 stale, 0 mismatched  seen "),
        "{text}"
    );
}

#[test]
fn json_of_a_comparison_lists_the_missing_processes() {
    let mut kamap = kamap(&["verify", "--max-entries", "1", "--json"]);
    let output = kamap.output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let line: Value = serde_json::from_slice(&output.stdout).expect("it is one line of JSON");
    assert_eq!(line["exact"], false);
    let missing = line["missing"].as_array().expect("there are some");
    let this = missing
        .iter()
        .find(|process| process["pid"] == std::process::id());
    let this = this.expect("this process is missing");
    assert!(this["start_time"].is_string() && this["comm"].is_string());
}

#[test]
fn on_a_terminal_the_table_is_drawn_in_place_and_fits() {
    // A terminal of 8 lines and 60 columns.
    let script = "stty rows 8 cols 60; \"$KAMAP\" --all --count 2 --interval 1ms";
    let text = duct::cmd!("script", "-qec", script, "/dev/null")
        .env("KAMAP", KAMAP)
        .env("TERM", "xterm-256color")
        .env("NO_COLOR", "1")
        .stdin_null()
        .read()
        .expect("it succeeds");
    let (begin, end) = ("\x1b[?1049h", "\x1b[?1049l");
    let (_, screen) = text.split_once(begin).expect("it enters the other screen");
    let (screen, rest) = screen.split_once(end).expect("it leaves it");
    assert_eq!(
        screen.matches("\x1b[1;1H").count(),
        2,
        "two tables are drawn: {screen:?}"
    );
    for frame in screen.split("\x1b[1;1H").skip(1) {
        assert!(frame.lines().count() <= 8, "{frame:?}");
    }
    assert!(screen.contains("older processes do not fit"), "{screen:?}");
    // The last table remains on the terminal.
    let table: Vec<_> = rest
        .lines()
        .filter(|line| !line.contains("live "))
        .collect();
    assert!(
        table.iter().any(|line| line.contains("COMMAND")),
        "{rest:?}"
    );
    let rows = table.iter().filter(|line| !line.contains("do not fit"));
    assert!(
        rows.clone()
            .all(|line| line.trim_end().chars().count() <= 60),
        "{rest:?}"
    );
}

#[rstest]
#[case::narrow(10, 30)]
#[case::low(2, 80)]
#[case::tiny(1, 1)]
fn a_small_terminal_is_not_scrolled(#[case] height: usize, #[case] width: usize) {
    let script = format!("stty rows {height} cols {width}; \"$KAMAP\" --all --count 2 -i 1ms");
    let text = duct::cmd!("script", "-qec", script, "/dev/null")
        .env("KAMAP", KAMAP)
        .env("TERM", "xterm-256color")
        .stdin_null()
        .read()
        .expect("it succeeds");
    let (screen, _) = text
        .split_once("\x1b[?1049l")
        .expect("it leaves the other screen");
    let frames: Vec<_> = screen.split("\x1b[1;1H").skip(1).collect();
    assert_eq!(frames.len(), 2, "{screen:?}");
    for frame in frames {
        assert!(frame.lines().count() <= height, "{frame:?}");
    }
}
