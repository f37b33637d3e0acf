//! Resource limits and failing system calls. kamap prints one line and returns the right status,
//! and it waits for a command that it has started.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};

use kamap_tests::{FullGroup, Held, OnTerminal, Tiny, allow_many_files, eventually, repetitions};
use rstest::rstest;
use serde_json::Value;

use crate::programs::KAMAP;

/// A command that runs `program`, and ends it if it hangs.
fn bounded(program: &str) -> Command {
    let mut command = Command::new("timeout");
    // Backtraces need memory, too.
    command
        .args(["--kill-after=1", "120", program])
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::null());
    command
}

/// The lines of `stderr` that are from kamap.
#[track_caller]
fn said(stderr: &[u8]) -> Vec<String> {
    let text = str::from_utf8(stderr).expect("it is UTF-8");
    let own = text.lines().filter(|line| line.starts_with("kamap: "));
    own.map(str::to_owned).collect()
}

/// Checks that kamap succeeded, or failed with one line.
#[track_caller]
fn assert_works_or_says_why(output: &Output, what: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let told = said(&output.stderr);
    let hint = usize::from(
        told.first()
            .is_some_and(|line| line.contains("run with -v")),
    );
    match output.status.code() {
        Some(0) => {}
        Some(1) => assert!(
            told.len() == 1 + hint && stderr.lines().count() == told.len(),
            "{what}: {stderr}"
        ),
        // The dynamic loader failed, before kamap started.
        Some(127) => assert!(
            stderr.contains("loading shared libraries"),
            "{what}: {stderr}"
        ),
        _ => panic!("{what}: {}: {stderr}", output.status),
    }
}

#[rstest]
#[case::data("--data", &[1 << 20, 1280 << 10, 2 << 20])]
#[case::address_space("--as", &[20 << 20, 24 << 20, 28 << 20])]
#[case::stack("--stack", &[64 << 10, 512 << 10])]
#[case::open_files("--nofile", &[3, 4, 10, 20, 30])]
#[case::locked_memory("--memlock", &[0])]
fn whatever_is_short_is_named_in_one_line(#[case] limit: &str, #[case] values: &[u64]) {
    let tiny = Tiny::new();
    for value in values {
        for arguments in [
            &["--once", "--all"][..],
            &["events", "--count", "1", "--max-entries", "64"],
            &["run", "--quiet", "true"],
            &["verify"],
            &["map", "list"],
        ] {
            let mut command = bounded("prlimit");
            let mut child = command
                .arg(format!("{limit}={value}"))
                .arg(KAMAP)
                .args(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .expect("it starts");
            // `events` ends when it prints an event, so there has to be one.
            eventually("it ends", || {
                tiny.run();
                child.try_wait().expect("it can be waited for")
            });
            let output = child.wait_with_output().expect("it has ended");
            let ran = arguments[0] == "run" && output.status.success();
            if ran {
                // Then the report is the rest.
                assert_eq!(said(&output.stderr), [""; 0]);
            } else {
                assert_works_or_says_why(&output, &format!("{limit}={value} {arguments:?}"));
            }
        }
    }
}

#[rstest]
#[case::table(&["--once"])]
#[case::verify(&["verify"])]
#[case::a_command_that_cannot_be_started(&["run", "true"])]
fn no_thread_is_needed(#[case] arguments: &[&str]) {
    let group = FullGroup::new();
    let mut command = Command::new(KAMAP);
    let output = group.hold(command.args(arguments)).output();
    let output = output.expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    if arguments.contains(&"run") {
        assert_eq!(
            (output.status.code(), &*stderr),
            (
                Some(126),
                "kamap: failed to run `true`: Resource temporarily unavailable (os error 11)\n"
            )
        );
    } else {
        assert_eq!((output.status.code(), &*stderr), (Some(0), ""));
    }
}

/// Runs some children, creates the file of the second argument, and ends with the first argument.
const SCRIPT: &str = "for i in 1 2 3; do /bin/true; done; echo > \"$1\"; exit \"$0\"";

/// Runs it with `kamap run --json -o -` under strace, which applies `inject` to calls of bpf(2).
/// Returns the output, whether the file was created, and the number of calls.
#[track_caller]
fn run_with(inject: Option<String>, status: i32) -> (Output, bool, usize) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let [trace, made] = ["trace", "made"].map(|name| folder.path().join(name));
    let mut command = bounded("strace");
    // Without -f, so only kamap itself is traced.
    command.args(["-qq", "-e", "trace=bpf", "-o"]).arg(&trace);
    if let Some(inject) = inject {
        command.args(["-e", &inject]);
    }
    let output = command
        .args([
            KAMAP, "run", "--quiet", "--json", "-o", "-", "--", "sh", "-c",
        ])
        .arg(SCRIPT)
        .arg(status.to_string())
        .arg(&made)
        .output()
        .expect("it starts");
    let trace = std::fs::read_to_string(trace).expect("it is there");
    let calls = trace
        .lines()
        .filter(|line| line.starts_with("bpf("))
        .count();
    // The command inherited the standard output, so it has ended, even if kamap did not wait for
    // it.
    (output, made.exists(), calls)
}

/// The last line of a report.
fn summary(stdout: &[u8]) -> Option<Value> {
    let last = str::from_utf8(stdout).ok()?.lines().last()?;
    let line: Value = serde_json::from_str(last).ok()?;
    (line["type"] == "run").then_some(line)
}

#[test]
fn a_late_error_of_the_kernel_ends_no_run() {
    let (output, made, calls) = run_with(None, 7);
    assert_eq!((output.status.code(), made), (Some(7), true));
    let without = summary(&output.stdout).expect("there is a report");
    assert_eq!(without["error"], Value::Null);

    let mut late = 0;
    // Most calls are made during the start. How many follow depends on how often events are read: the last ones of
    // this run may be more than those of another.
    let start = (1..calls - 6).step_by(calls / repetitions(10) as usize);
    let end = (1..=calls).rev().take(40);
    for (call, is_end) in start
        .map(|call| (call, false))
        .chain(end.map(|call| (call, true)))
    {
        if is_end && call < calls - 6 && late > 0 {
            break;
        }
        // Only this call fails, or all from this one on.
        let (on, status) = if call % 2 == 0 { ("", 0) } else { ("+", 7) };
        let inject = format!("inject=bpf:error=ENOMEM:when={call}{on}");
        let (output, made, _) = run_with(Some(inject.clone()), status);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let told = said(&output.stderr);
        let Some(summary) = summary(&output.stdout) else {
            assert_eq!(output.status.code(), Some(1), "{inject}: {stderr}");
            assert!(!made, "{inject}: the command was left behind: {stderr}");
            assert_works_or_says_why(&output, &inject);
            continue;
        };
        assert!(made, "{inject}: {stderr}");
        assert_eq!(summary["exit_code"], status, "{inject}: {stderr}");
        let failed = summary["error"].as_str();
        let expected = match failed {
            Some(_) => status.max(1),
            None => status,
        };
        assert_eq!(output.status.code(), Some(expected), "{inject}: {stderr}");
        let line = failed.map(|error| format!("kamap: {error}"));
        assert_eq!(told, Vec::from_iter(line), "{inject}");
        late += u64::from(failed.is_some());
    }
    assert!(late > 0, "none came late");
}

#[test]
fn a_run_with_an_error_says_that_it_is_incomplete() {
    let (_, _, calls) = run_with(None, 0);
    let script = "until read -t 0; do /bin/true; done; exit 3";
    let mut child = bounded("strace")
        // While there are events, each round reads what was lost.
        .args(["-qq", "-o", "/dev/null", "-e", "trace=bpf"])
        .args(["-e"])
        .arg(format!("inject=bpf:error=EIO:when={}+", calls + 10))
        .args([KAMAP, "run", "--quiet", "--", "bash", "-c", script])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("it is UTF-8");
    let error = line.strip_prefix("kamap: ").expect("it is an error");
    assert!(
        error.ends_with("Input/output error (os error 5)\n"),
        "{error}"
    );
    // The command continues until its input is closed.
    drop(child.stdin.take());
    let rest: Vec<_> = stderr
        .lines()
        .map(|line| line.expect("it is UTF-8"))
        .collect();
    assert_eq!(child.wait().expect("it ends").code(), Some(3));
    let [.., summary, incomplete] = &rest[..] else {
        panic!("there is a report: {rest:?}");
    };
    assert!(summary.ends_with("  lost unknown"), "{summary}");
    assert_eq!(*incomplete, format!("incomplete: {}", error.trim_end()));
}

/// Limits the memory of kamap to what it uses, which is too little for long arguments. Then it
/// exits with its argument or, if that is `wait`, as soon as it is signalled or kamap has ended.
const LONG: &str = r#"
prlimit --data=4096 --pid $PPID
long=$(printf %0120000d 0)
trap 'exit 9' TERM
for i in {1..12}; do /bin/true "$long"; done
while [ $0 = wait ] && kill -0 $PPID; do /bin/true; done
exit $0"#;

/// Runs this script with `kamap run`.
#[track_caller]
fn run_out_of_memory(argument: &str) -> Child {
    let mut command = Command::new(KAMAP);
    command
        .args(["run", "--quiet", "--max-args", "131072"])
        .args(["--", "bash", "-c", LONG, argument])
        .env("RUST_BACKTRACE", "1")
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

#[rstest]
#[case::fails("7", 7)]
#[case::succeeds("0", 1)]
#[case::is_ended("wait", 9)]
fn out_of_memory_it_still_waits_for_the_command(#[case] argument: &str, #[case] status: i32) {
    let mut child = run_out_of_memory(argument);
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("it is UTF-8");
    assert_eq!(
        line,
        "kamap: out of memory: there will be no report, only the command is waited for\n"
    );
    let ended = eventually("it ends", || {
        if argument == "wait" {
            // SAFETY: the child has not been waited for, so the PID is its own.
            unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
        }
        child.try_wait().expect("it can be waited for")
    });
    assert_eq!((ended.code(), ended.signal()), (Some(status), None));
}

#[test]
fn out_of_memory_it_leaves_the_screen() {
    let mut kamap = Command::new(KAMAP);
    kamap.args(["--interval", "20ms"]).env("TERM", "xterm");
    let mut screen = OnTerminal::start(24, 80, &mut kamap);
    screen.shows("a table", |text| text.contains("COMMAND").then_some(()));
    let pid = screen.pid().to_string();
    duct::cmd!("prlimit", "--data=4096", "--pid", pid)
        .run()
        .expect("it can be limited");
    // A much larger table needs more memory than kamap has left from its start.
    allow_many_files();
    let (tiny, long) = (Tiny::new(), "x".repeat(500));
    let start = |_| Held::start(Command::new(tiny.path()).arg(&long));
    let _children: Vec<_> = (0..1_500).map(start).collect();
    let shown = screen.shows("why it ends", |text| {
        let at = text.find("kamap: out of memory: ")?;
        Some(text[..at].to_owned())
    });
    assert!(shown.ends_with("\x1b[?25h\x1b[?1049l"), "{shown:?}");
    assert_eq!(screen.ended().code(), Some(1));
    assert!(screen.has_line_editing());
}
