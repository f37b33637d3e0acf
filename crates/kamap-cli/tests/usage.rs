//! The command line, as far as it needs no root.

use std::process::Output;

use rstest::rstest;

/// Runs kamap; returns its exit status, standard output and standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = duct::cmd(env!("CARGO_BIN_EXE_kamap"), arguments)
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("it is UTF-8");
    let code = status.code().expect("it exits");
    (code, text(stdout), text(stderr))
}

#[rstest]
#[case(&["--interval", "0s"], "must be 1ms to 1day")]
#[case(&["--interval", "1m 5"], "time unit needed")]
#[case(&["--interval", "soon"], "expected number")]
#[case(&["--count", "0"], "0 is not in 1..")]
#[case(&["--count", "2", "--once"], "cannot be used with")]
#[case(&["--max-entries", "0"], "0 is not in 1..")]
#[case(&["--max-entries", "4294967296"], "4294967296 is not in 1..")]
#[case(&["--user", "no such user"], "there is no user of this name")]
#[case(&["--comm", "("], "unclosed group")]
#[case(&["--pid", "1,x"], "invalid digit")]
#[case(&["--ppid", "init"], "invalid digit")]
#[case(&["--columns", "pid,cwd"], "there are pid, ppid, user")]
#[case(&["--sort", "-nonsense"], "there are pid, ppid, user")]
#[case(&["--color", "sometimes"], "possible values: auto, always, never")]
#[case(&["--unit", "[a"], "invalid range pattern")]
#[case(&["--nonsense"], "unexpected argument")]
#[case(&["nonsense"], "unrecognized subcommand")]
#[case(&["verify", "--all"], "unexpected argument")]
#[case(&["--all", "verify"], "cannot be used with")]
#[case(&["verify", "--interval", "0s"], "must be 1ms to 1day")]
#[case(&["events", "--kind", "born"], "possible values: fork, exec, exec_failed, exit")]
#[case(&["events", "--ring-size", "5000"], "must be a power of two")]
#[case(&["events", "--max-args", "131073"], "131073 is not in")]
#[case(&["events", "--cgroup", "/no/such/folder"], "no such cgroup")]
#[case(&["events", "--min-duration", "1m 5"], "time unit needed")]
#[case(&["events", "--ancestors", "33"], "33 is not in 0..=32")]
#[case(&["map", "nonsense"], "unrecognized subcommand")]
#[case(&["map", "show", "4294967296"], "an ID is a number")]
#[case(&["map", "show", "id:x"], "an ID is a number")]
#[case(&["map", "create", "x", "--type", "tree"], "there is hash, array")]
#[case(&["map", "create", "x", "--flags", "fast"], "a flag such as no_prealloc")]
#[case(&["map", "update", "x", "1", "2", "--if-absent", "--if-present"], "cannot be used with")]
#[case(&["probe", "--program", "kprob"], "there is socket_filter, kprobe")]
fn bad_usage_is_told_with_its_reason(#[case] arguments: &[&str], #[case] reason: &str) {
    let (code, stdout, stderr) = run(arguments);
    assert_eq!(code, 2);
    assert!(stdout.is_empty());
    assert!(stderr.contains(reason), "{stderr}");
    let culprit = arguments
        .iter()
        .find(|argument| !["verify", "events", "probe"].contains(argument));
    let culprit = match arguments {
        ["map", .., culprit] => culprit,
        _ => culprit.expect("there is one"),
    };
    assert!(stderr.contains(culprit), "{stderr}");
}

#[test]
fn the_version_is_that_of_the_package() {
    let version = concat!("kamap ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(run(&["--version"]), (0, version.to_owned(), String::new()));
}

#[test]
fn help_fits_a_terminal_and_names_every_option() {
    let (code, short, _) = run(&["-h"]);
    assert_eq!(code, 0);
    let (code, long, _) = run(&["--help"]);
    assert_eq!(code, 0);
    for option in [
        "--all",
        "--once",
        "--count",
        "--interval",
        "--json",
        "--max-entries",
        "--user",
        "--comm",
        "--pid",
        "--ppid",
        "--unit",
        "--container",
        "--tree",
        "--columns",
        "--sort",
        "--wide",
        "--color",
        "--verbose",
    ] {
        assert!(short.contains(option) && long.contains(option), "{option}");
    }
    for section in ["Columns:", "JSON:", "Exit status:", "Examples:"] {
        assert!(long.contains(section), "{section}");
    }
    assert!(long.len() > short.len());
    let (code, verify, _) = run(&["verify", "--help"]);
    assert_eq!(code, 0);
    for option in ["--json", "--interval", "--count", "--max-entries"] {
        assert!(verify.contains(option), "{option}");
    }
    let mut helps = vec![long, short, verify];
    for (command, names) in [
        (
            "map",
            "list show create update lookup take delete next dump pin unpin freeze Literals: JSON:",
        ),
        (
            "map create",
            "--type --key --value --entries --name --flags --extra --inner --json",
        ),
        ("map update", "--if-absent --if-present --locked"),
        ("map lookup", "--json --hex --locked"),
        ("map dump", "--json --hex exactly once"),
        ("probe", "--json --program"),
    ] {
        let arguments: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let (code, help, _) = run(&arguments);
        assert_eq!(code, 0);
        for name in names.split(' ') {
            assert!(help.contains(name), "{command}: {name}");
        }
        helps.push(help);
    }
    for line in helps.iter().flat_map(|help| help.lines()) {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn a_completed_command_line_has_the_options_of_its_command() {
    let (code, script, _) = run(&["completions", "bash"]);
    assert_eq!(code, 0);
    let complete = |words: &str| {
        // As bash does it: the function of the command, with what was typed.
        let typed = format!(
            "COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _kamap kamap \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; \
             echo \"${{COMPREPLY[@]}}\""
        );
        let completed = duct::cmd!("bash", "--norc", "-c", format!("{script}\n{typed}"));
        completed.read().expect("it runs")
    };
    assert_eq!(complete("kamap --colu"), "--columns");
    assert_eq!(complete("kamap events --min"), "--min-duration");
    assert!(complete("kamap ev").contains("events"));
    for shell in ["zsh", "fish"] {
        let (code, script, _) = run(&["completions", shell]);
        assert_eq!(code, 0);
        assert!(script.contains("min-duration"), "{script}");
    }
    let (code, _, stderr) = run(&["completions", "csh"]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("bash") && stderr.contains("fish"),
        "{stderr}"
    );
}

#[test]
fn there_is_a_man_page_for_each_command_with_what_help_has() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let dir = folder.path().to_str().expect("it is UTF-8");
    assert_eq!(run(&["man", dir]), (0, String::new(), String::new()));
    let page = |name: &str| {
        let page = std::fs::read_to_string(folder.path().join(name));
        page.expect("it is written").replace("\\-", "-")
    };
    assert!(page("kamap.1").contains("--columns"));
    assert!(page("kamap.1").contains("Exit status:"));
    assert!(page("kamap-events.1").contains("--min-duration"));
    assert!(page("kamap-map-update.1").contains("--if-absent"));
    let (code, _, stderr) = run(&["man", "/no/such/folder"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("`/no/such/folder`"), "{stderr}");
}
