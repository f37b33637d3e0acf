//! Names and arguments of processes are harmless wherever kamap shows them, whatever their bytes
//! are.

use std::collections::HashMap;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use kamap_tests::command::{Tables, output, row};
use kamap_tests::{Held, OnTerminal, Tiny, eventually};
use rstest::rstest;
use serde_json::Value;

use crate::programs::{KAMAP, NAMED, held, kamap};

/// Two running kamaps, one for each output format.
struct Shown {
    json: Tables,
    plain: Held,
}

impl Shown {
    /// Starts them; their programs are attached when this returns.
    #[track_caller]
    fn start() -> Self {
        let json = Tables::start(kamap(&[]));
        let plain = Held::start(in_utf_8().args(["--interval", "20ms"]));
        assert!(plain.said().contains("COMMAND"));
        Self { json, plain }
    }

    /// The rows of these children, which have exec'd, as JSON and as a line of text.
    #[track_caller]
    fn rows<'a>(&mut self, children: impl IntoIterator<Item = &'a Held>) -> Vec<(Value, String)> {
        let table = self.json.fresh_table();
        let mut lines = HashMap::new();
        let mut line_of = |pid| {
            eventually("it is shown", || {
                // Lines that were read on the way are kept; they do not change.
                if !lines.contains_key(&pid) {
                    let line = self.plain.line();
                    assert_harmless(&line);
                    // No name or argument begins a line.
                    assert!(is_line(&line), "{line:?}");
                    pid_of(&line).map(|pid| lines.insert(pid, line));
                }
                lines.remove(&pid)
            })
        };
        let children = children.into_iter().map(|child| {
            let json = row(&table, child.pid()).expect("it has exec'd").clone();
            (json, line_of(child.pid()))
        });
        children.collect()
    }

    #[track_caller]
    fn row(&mut self, child: &Held) -> (Value, String) {
        self.rows([child]).remove(0)
    }

    /// Checks that both end successfully.
    #[track_caller]
    fn end(self) {
        assert_eq!(self.plain.end(libc::SIGTERM).code(), Some(0));
        let (status, _) = self.json.end(libc::SIGTERM);
        assert_eq!(status.code(), Some(0));
    }
}

/// A kamap that can print any character.
fn in_utf_8() -> Command {
    let mut command = kamap(&[]);
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// The PID at the beginning of a row.
fn pid_of(line: &str) -> Option<u32> {
    line.split_whitespace().next()?.parse().ok()
}

/// Whether kamap itself begins such a line: a row, a header, a footer, or an empty line.
fn is_line(line: &str) -> bool {
    let two_numbers = |line: &str| {
        let mut words = line.split_whitespace().map(str::parse::<u32>);
        matches!((words.next(), words.next()), (Some(Ok(_)), Some(Ok(_))))
    };
    line.is_empty()
        || line.trim_start().starts_with("PID ")
        || line.starts_with("live ")
        || line.starts_with("(processes ")
        || two_numbers(line)
}

/// Checks that the line has nothing that a terminal interprets.
#[track_caller]
fn assert_harmless(line: &str) {
    let acts =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!line.chars().any(acts), "{line:?}");
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Names of 15 bytes, the length of the kernel's name of a process, with every byte that the name
/// of a file can have.
fn names() -> Vec<Vec<u8>> {
    let bytes: Vec<u8> = (1..=255).filter(|&byte| byte != b'/').collect();
    bytes.chunks(15).map(<[u8]>::to_vec).collect()
}

/// A child for each of [`names`]: the name of its file, its own name, and an argument.
#[track_caller]
fn named_children(folder: &tempfile::TempDir, tiny: &Tiny) -> Vec<(Held, Vec<u8>)> {
    let start = |name: Vec<u8>| {
        let name_os = OsStr::from_bytes(&name);
        let path = folder.path().join(name_os);
        fs::hard_link(tiny.path(), &path).expect("a file can be named so");
        let mut command = Command::new(&path);
        command.arg0(name_os).args([name_os, OsStr::new("the-end")]);
        (Held::start(&mut command), name)
    };
    names().into_iter().map(start).collect()
}

#[test]
fn hostile_names_do_no_harm() {
    let mut shown = Shown::start();
    let hostile = unsafe_bytes();
    let child = Held::start(held().arg("0").arg(&hostile));
    let (json, text) = shown.row(&child);
    assert_eq!(json["args"][2], &*hostile.to_string_lossy());
    assert!(text.ends_with("\\xFF\\e]0;owned\\a'"), "{text}");
    shown.end();
}

/// Every byte that an argument can have, and an escape sequence.
fn unsafe_bytes() -> OsString {
    let bytes = (1..=255).chain(*b"\x1b]0;owned\x07");
    std::os::unix::ffi::OsStringExt::from_vec(bytes.collect())
}

#[rstest]
#[case::the_command(&["run", HOSTILE], 127)]
#[case::a_file_for_the_report(&["run", "-o", HOSTILE, "true"], 1)]
#[case::a_pin(&["map", "show", HOSTILE], 1)]
#[case::a_value(&["--interval", HOSTILE], 2)]
#[case::an_option(&["--\x1b]0;owned\x07\nkamap: all is well"], 2)]
#[case::a_pattern(&["events", "--comm", "(\x1b[31m\nkamap: all is well"], 2)]
fn an_error_that_names_something_hostile_is_one_harmless_line(
    #[case] arguments: &[&str],
    #[case] status: i32,
) {
    let output = Command::new(KAMAP).args(arguments).output();
    let output = output.expect("it starts");
    assert_eq!(output.status.code(), Some(status));
    let stderr = str::from_utf8(&output.stderr).expect("it is UTF-8");
    let line = stderr.strip_suffix('\n').expect("it ends");
    assert!(line.starts_with("kamap: "), "{line:?}");
    assert_harmless(line);
    assert!(line.contains("\\nkamap: all is well"), "{line:?}");
}

/// A file that does not exist.
const HOSTILE: &str = "/missing/\x1b]0;owned\x07\nkamap: all is well\u{202e}";

#[test]
fn the_help_is_whole_whatever_is_beside_it() {
    let help = |arguments: &[&str]| output(kamap(&[&["--help"], arguments].concat()));
    assert_eq!(help(&["\x1b"]), help(&[]));
}

#[test]
fn files_may_be_named_with_any_byte() {
    let mut shown = Shown::start();
    let (folder, tiny) = (
        tempfile::tempdir().expect("a folder can be made"),
        Tiny::new(),
    );
    let children = named_children(&folder, &tiny);
    assert_eq!(children.len(), 17);
    let rows = shown.rows(children.iter().map(|(child, _)| child));
    for ((json, text), (_, name)) in rows.iter().zip(&children) {
        let path = folder.path().join(OsStr::from_bytes(name));
        assert_eq!(json["comm"], lossy(name));
        assert_eq!(json["exe"], lossy(path.as_os_str().as_bytes()));
        assert_eq!(
            json["args"],
            serde_json::json!([lossy(name), lossy(name), "the-end"])
        );
        assert_eq!(json["args_cut"], false);
        assert!(text.ends_with(" the-end"), "{text:?}");
    }
    shown.end();
}

#[test]
fn processes_may_name_themselves_with_any_byte() {
    let bytes: Vec<u8> = (1..=255).collect();
    let start = |name: &[u8]| {
        let mut command = Command::new(NAMED);
        (
            Held::start(command.arg(OsStr::from_bytes(name))),
            lossy(name),
        )
    };
    let children: Vec<_> = bytes.chunks(15).map(start).collect();
    assert_eq!(children.len(), 17);

    // They had their names before kamap started.
    let me = std::process::id().to_string();
    let table = output(kamap(&["--all", "--once", "--json", "--ppid", &me]));
    let table = serde_json::from_str(&table).expect("it is JSON");
    let text = output(kamap(&["--all", "--once", "--ppid", &me]));
    for line in text.lines() {
        assert_harmless(line);
        assert!(is_line(line), "{line:?}");
    }
    for (child, name) in &children {
        let row = row(&table, child.pid()).expect("it is alive");
        assert_eq!(row["comm"], **name);
        let shown = text
            .lines()
            .filter(|line| pid_of(line) == Some(child.pid()));
        assert_eq!(shown.count(), 1, "{text}");
    }
}

#[test]
fn a_screen_shows_hostile_rows_a_line_each_and_no_wider_than_it_is() {
    const COLUMNS: usize = 70;
    let (folder, tiny) = (
        tempfile::tempdir().expect("a folder can be made"),
        Tiny::new(),
    );
    let me = std::process::id().to_string();
    let mut kamap = in_utf_8();
    kamap.args(["--interval", "20ms", "--ppid", &me, "--color", "never"]);
    let mut screen = OnTerminal::start(60, COLUMNS as u16, kamap.env("TERM", "xterm"));
    screen.shows("its programs are attached", |text| {
        text.contains("COMMAND").then_some(())
    });
    let children = named_children(&folder, &tiny);
    let wide =
        Held::start(Command::new(tiny.path()).args(["日本".repeat(20), "\u{202e}".repeat(20)]));

    let frame = screen.shows("all of them are shown", |text| {
        // The last complete frame.
        let (frames, _) = text.rsplit_once("\x1b[?2026l")?;
        let (_, frame) = frames.rsplit_once("\x1b[1;1H")?;
        let shown: Vec<_> = frame.lines().filter_map(pid_of).collect();
        let all = children.iter().map(|(child, _)| child.pid());
        all.chain([wide.pid()])
            .all(|pid| shown.contains(&pid))
            .then(|| frame.to_owned())
    });
    // The footer can have several lines.
    let mut below = false;
    for line in frame.replace("\x1b[J", "").split('\n') {
        let line = line.trim_end_matches('\r').strip_suffix("\x1b[K");
        let line = line.expect("what was there is cleared");
        assert_harmless(line);
        below |= line.starts_with("live ");
        assert!(below || is_line(line), "{line:?}");
        // Of the characters shown here, only 日本 are two columns wide.
        let wide = line.chars().filter(|c| matches!(c, '日' | '本'));
        let columns = line.chars().count() + wide.count();
        assert!(columns <= COLUMNS, "{columns}: {line:?}");
    }
    // SAFETY: the child has not been waited for, so the PID is its own.
    unsafe { libc::kill(screen.pid().cast_signed(), libc::SIGTERM) };
    screen.shows("it leaves the screen", |text| {
        text.contains("\x1b[?1049l").then_some(())
    });
    assert_eq!(screen.ended().code(), Some(0));
}

#[test]
fn a_process_without_arguments_is_shown() {
    let mut shown = Shown::start();
    let tiny = Tiny::new();
    let path = CString::new(tiny.path().as_os_str().as_bytes()).expect("it is a path");
    let mut command = Command::new(tiny.path());
    // SAFETY: execv(2) of a path and a list that are terminated, and nothing else.
    unsafe {
        command.pre_exec(move || {
            libc::execv(path.as_ptr(), [ptr::null()].as_ptr());
            Err(io::Error::last_os_error())
        });
    }
    let child = Held::start(&mut command);
    let (json, text) = shown.row(&child);
    // Since Linux 5.18 the kernel passes an empty argument then.
    let args = json["args"].as_array().expect("it is a list");
    assert!(args.is_empty() || args == &[""], "{json}");
    let cmdline = fs::read(format!("/proc/{}/cmdline", child.pid())).expect("it is alive");
    assert_eq!(args.len(), cmdline.len());
    assert_eq!(json["comm"], "tiny");
    let path = tiny.path().display();
    assert!(text.ends_with(&format!(" ({path})")), "{text}");
    shown.end();
}

#[test]
fn arguments_as_long_as_can_be_are_cut_and_shown_on_one_line() {
    let mut shown = Shown::start();
    let tiny = Tiny::new();
    // MAX_ARG_STRLEN, without the NUL.
    let longest = "x".repeat(128 * 1024 - 1);
    let one = Held::start(Command::new(tiny.path()).arg(&longest));
    // All arguments together can use a quarter of the stack limit, which is 2 MiB, including their
    // table of pointers and the environment.
    let all = Held::start(
        Command::new(tiny.path())
            .env_clear()
            .args(vec![&longest; 15]),
    );
    // As many as possible.
    let many = Held::start(
        Command::new(tiny.path())
            .env_clear()
            .args(vec!["\n"; 150_000]),
    );
    for (child, len) in [
        (&one, 128 * 1024),
        (&all, 15 * 128 * 1024),
        (&many, 300_000),
    ] {
        let cmdline = fs::read(format!("/proc/{}/cmdline", child.pid())).expect("it is alive");
        assert!(cmdline.len() >= len);
        let (json, text) = shown.row(child);
        assert_eq!(json["args_cut"], true);
        let args = json["args"].as_array().expect("it is a list");
        let args: Vec<_> = args
            .iter()
            .map(|arg| arg.as_str().expect("it is text"))
            .collect();
        let kept = args.join("\0");
        assert!(
            kept.len() > 300 && cmdline.starts_with(kept.as_bytes()),
            "{kept:?}"
        );
        assert!(text.ends_with('…'), "{text}");
    }
    shown.end();
}

#[test]
fn a_path_as_long_as_can_be_is_cut() {
    // PATH_MAX, without the NUL.
    const LEN: usize = 4095;
    let mut shown = Shown::start();
    let (folder, tiny) = (
        tempfile::tempdir().expect("a folder can be made"),
        Tiny::new(),
    );
    let mut path = folder.path().to_owned();
    while path.as_os_str().len() + 200 < LEN {
        path.push("\x1b\n".repeat(60));
    }
    fs::create_dir_all(&path).expect("it can be made");
    path.push("f".repeat(LEN - 1 - path.as_os_str().len()));
    assert_eq!(path.as_os_str().len(), LEN);
    fs::copy(tiny.path(), &path).expect("it can be copied");

    let child = Held::start(&mut Command::new(&path));
    let (json, text) = shown.row(&child);
    let path = path.to_str().expect("it is UTF-8");
    let exe = json["exe"].as_str().expect("it runs something");
    let end = exe.strip_prefix('…').expect("it says that it is cut");
    assert!(end.len() > 100 && path.ends_with(end), "{exe:?}");
    let args = json["args"].as_array().expect("it is a list");
    let arg = args[0].as_str().expect("it is text");
    assert!(
        args.len() == 1 && arg.len() > 100 && path.starts_with(arg),
        "{arg:?}"
    );
    assert_eq!(json["args_cut"], true);
    assert!(
        text.contains("$'") && text.contains("\\e\\n") && text.ends_with('…'),
        "{text}"
    );
    shown.end();
}

#[test]
fn executables_without_a_name_are_shown_as_proc_names_them() {
    let mut shown = Shown::start();
    let (folder, tiny) = (
        tempfile::tempdir().expect("a folder can be made"),
        Tiny::new(),
    );
    let name = "\x1b[31m\nred";
    let deleted = folder.path().join(name);
    fs::copy(tiny.path(), &deleted).expect("it can be copied");
    let deleted_file = File::open(&deleted).expect("it is there");
    fs::remove_file(&deleted).expect("it can be removed");

    let memfd_name = CString::new(name).expect("it has no NUL");
    // SAFETY: the name is terminated; the descriptor is nobody else's.
    let mut memfd = unsafe { File::from_raw_fd(libc::memfd_create(memfd_name.as_ptr(), 0)) };
    let program = fs::read(tiny.path()).expect("it is there");
    memfd.write_all(&program).expect("it can be written");

    for (file, exe) in [
        (&deleted_file, format!("{} (deleted)", deleted.display())),
        (&memfd, format!("/memfd:{name} (deleted)")),
    ] {
        let mut command = Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let child = Held::start(command.arg0(name));
        let proc = fs::read_link(format!("/proc/{}/exe", child.pid())).expect("it is alive");
        assert_eq!(proc.to_str(), Some(&*exe));
        let (json, text) = shown.row(&child);
        assert_eq!(json["exe"], exe);
        assert_eq!(json["args"], serde_json::json!([name]));
        assert!(text.ends_with("$'\\e[31m\\nred'"), "{text}");
    }
    shown.end();
}
