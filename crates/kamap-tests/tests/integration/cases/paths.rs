//! Paths that are longer, or deeper, than a row has room for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kamap::{Kinds, Process, Tracker};
use kamap_tests::Held;
use kamap_tests::stream::{end, kinds, with};
use kamap_tests::table::{nothing_lost, row};
use rstest::rstest;

use crate::programs::{FAILS, FORKED};

/// The longest path, without its NUL.
const LONGEST: usize = 4095;

/// Copies `program` below `top` to a path of `len` bytes, which consists of names of `name` bytes.
#[track_caller]
fn deep(top: &Path, program: &str, len: usize, name: usize) -> PathBuf {
    let mut folder = top.to_owned();
    while folder.as_os_str().len() + name + 3 < len {
        folder.push("d".repeat(name));
    }
    fs::create_dir_all(&folder).expect("it can be made");
    let left = len - folder.as_os_str().len() - 1;
    let path = folder.join("f".repeat(left));
    fs::copy(program, &path).expect("it can be copied");
    assert_eq!(path.as_os_str().len(), len);
    path
}

/// The target of `/proc/PID/exe`; `None` if it cannot be read.
fn exe(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

#[track_caller]
fn assert_whole(process: &Process, path: &Path) {
    assert_eq!(process.exe(), Some(path), "{process:?}");
    assert_eq!(process.file(), Some(path), "{process:?}");
    assert!(!process.exe_cut && !process.file_cut && !process.args_cut);
}

/// By the length of the path, and of each name in it.
#[rstest]
#[case::just_too_long(256, 100)]
#[case::deep(400, 5)]
#[case::long_and_deep(3_000, 40)]
#[case::the_longest_that_proc_shows(4_000, 200)]
fn a_long_path_is_whole_in_events_and_cut_in_a_row(#[case] len: usize, #[case] name: usize) {
    let top = tempfile::tempdir().expect("a folder can be made");
    let path = deep(top.path(), FORKED, len, name);
    let builder = Tracker::builder().events(Kinds::LIFE).max_args(8_192);
    let (tracker, mut stream) = with(builder);
    let mut parent = Held::start(&mut Command::new(&path));
    let pid = parent.pid();
    assert_eq!(exe(pid).as_deref(), Some(path.as_path()));
    let child: u32 = parent.said().parse().expect("it prints a PID");

    for pid in [pid, child] {
        let process = row(&tracker, pid).expect("it is alive");
        assert!(process.exe_cut && process.file_cut, "{process:?}");
        let text = |path: Option<&Path>| {
            let path = path.expect("it is known").as_os_str();
            path.to_str().expect("it is UTF-8").to_owned()
        };
        let (exe, file) = (text(process.exe()), text(process.file()));
        let right = text(Some(&path));
        let kept = exe.strip_prefix('…').expect("it says that it is cut");
        assert!(kept.len() > 30 && right.ends_with(kept), "{exe}");
        let kept = file.strip_suffix('…').expect("it says that it is cut");
        assert!(kept.len() > 200 && right.starts_with(kept), "{file}");
    }

    parent.let_go();
    assert_eq!(parent.line(), "0");
    assert!(parent.release().success());
    let life = stream.life(pid);
    assert_eq!(kinds(&life), ["fork", "exec", "exit"]);
    assert_whole(&life[1].process, &path);
    assert_whole(&life[2].process, &path);
    let life = stream.life(child);
    assert_eq!(kinds(&life), ["fork", "exit"]);
    for event in &life {
        assert_whole(&event.process, &path);
    }
    nothing_lost(&tracker);
}

#[test]
fn a_path_that_is_named_relatively_is_whole_up_to_the_longest() {
    let top = tempfile::tempdir().expect("a folder can be made");
    let path = deep(top.path(), FORKED, LONGEST, 200);
    let (tracker, mut stream) = with(Tracker::builder().events(Kinds::LIFE));
    let name = Path::new("./").join(path.file_name().expect("it has a name"));
    let folder = path.parent().expect("it has one");
    let mut parent = Held::start(Command::new(&name).current_dir(folder));
    let pid = parent.pid();
    parent.let_go();
    assert_eq!(parent.line(), "0");
    assert!(parent.release().success());
    let life = stream.life(pid);
    for event in &life[1..] {
        assert_eq!(event.process.exe(), Some(path.as_path()));
        assert_eq!(event.process.file(), Some(name.as_path()));
        assert!(!event.process.exe_cut && !event.process.file_cut);
    }
    nothing_lost(&tracker);
}

#[rstest]
#[case::just_too_long(256)]
#[case::long(3_000)]
#[case::the_longest(LONGEST)]
fn the_file_of_a_failed_exec_is_whole(#[case] len: usize) {
    let (tracker, mut stream) = with(Tracker::builder().events(Kinds::ALL).max_args(8_192));
    let missing = "/m".repeat(len / 2) + &"x".repeat(len % 2);
    assert_eq!(missing.len(), len);
    let mut child = Held::start(&mut Command::new(FAILS));
    child.say(&format!("1 {missing}\n"));
    assert_eq!(child.line(), libc::ENOENT.to_string());
    let pid = child.pid();
    assert!(child.release().success());
    let life = stream.life(pid);
    assert_eq!(kinds(&life), ["fork", "exec", "failed", "exit"]);
    let process = &life[2].process;
    assert_eq!(process.file(), Some(Path::new(&missing)));
    assert!(process.args().eq([&*missing]));
    assert!(!process.file_cut && !process.args_cut);
    assert_eq!(life[3].process, life[1].process);
    nothing_lost(&tracker);
}

#[test]
fn an_exec_of_the_empty_path_fails_with_an_empty_file() {
    let (_tracker, mut stream) = with(Tracker::builder().events(Kinds::ALL));
    let mut child = Held::start(&mut Command::new(FAILS));
    child.say("1 \n");
    assert_eq!(child.line(), libc::ENOENT.to_string());
    let pid = child.pid();
    assert!(child.release().success());
    let life = stream.life(pid);
    assert_eq!(kinds(&life), ["fork", "exec", "failed", "exit"]);
    assert_eq!(life[2].kind, kamap::EventKind::ExecFailed(libc::ENOENT));
    assert_eq!(life[2].process.file(), Some(Path::new("")));
    assert!(life[2].process.args().eq([""]));
    assert!(end(&life[3]).is_some_and(|end| end.success()));
}
