//! What processes exec, and how.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::Command;

use kamap::Origin;
use kamap_tests::table::{as_stat, children, compare_with_proc, nothing_lost, row, tracker};
use kamap_tests::{Held, executable, repetitions, stat};
use rstest::rstest;

use crate::programs::{EXECS, FAILS, HELD, held};

#[test]
fn a_script_has_its_own_name_and_its_interpreters() {
    let tracker = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let script = folder.path().join("script");
    fs::write(&script, "#!/bin/sh -u\necho\nread x\n").expect("it can be written");
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("root may chmod");

    let child = Held::start(Command::new("./script").current_dir(folder.path()).arg("x"));
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    let expected = stat(child.pid()).expect("it is alive");
    assert_eq!(process.file(), Some("./script".as_ref()));
    assert_eq!(process.exe(), fs::canonicalize("/bin/sh").ok().as_deref());
    assert_eq!(process.comm(), "script");
    assert_eq!(
        process.args().collect::<Vec<_>>(),
        ["/bin/sh", "-u", "./script", "x"]
    );
    assert_eq!(as_stat(&process), expected);
}

#[test]
fn an_executable_that_was_deleted_or_linked_is_named_as_proc_names_it() {
    let tracker = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (copy, link) = (folder.path().join("copy"), folder.path().join("link"));
    fs::copy(HELD, &copy).expect("it can be copied");
    symlink(&copy, &link).expect("it can be linked");

    let child = Held::start(&mut Command::new(&link));
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    assert_eq!(process.file(), Some(link.as_path()));
    assert_eq!(as_stat(&process), stat(child.pid()).expect("it is alive"));

    // Through a descriptor, because the name was removed.
    let file = fs::File::open(&copy).expect("it is there");
    fs::remove_file(&copy).expect("it can be removed");
    let by_fd = format!("/proc/self/fd/{}", file.as_raw_fd());
    let deleted = Held::start(&mut Command::new(by_fd));
    let process = row(&tracker, deleted.pid()).expect("it has exec'd");
    let expected = stat(deleted.pid()).expect("it is alive");
    assert_eq!(as_stat(&process), expected);
    assert!(
        expected
            .exe
            .is_some_and(|exe| exe.ends_with("/copy (deleted)"))
    );
}

#[test]
fn execs_of_one_process_are_counted_in_one_row() {
    let tracker = tracker();
    let child =
        Held::start(Command::new("sh").args(["-c", "exec sh -c 'exec \"$0\"' \"$0\"", HELD]));
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    assert_eq!(process.execs, 3);
    assert_eq!(process.comm(), "held");
    let (first, last) = (process.first_exec_time, process.last_exec_time);
    assert!(process.start_time < first.expect("it has exec'd") && first < last);
}

#[rstest]
#[case::path("path", HELD)]
#[case::descriptor("descriptor", "/dev/fd/42")]
#[case::empty_path("empty-path", "/dev/fd/42")]
#[case::folder("folder", "/dev/fd/42/held")]
#[case::memory("memory", "/dev/fd/42")]
fn however_a_program_is_named_file_and_exe_are_right(#[case] how: &str, #[case] file: &str) {
    let tracker = tracker();
    let mut command = Command::new(EXECS);
    let child = Held::start(command.args([how, HELD, "another name", "7"]));
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    assert_eq!((process.origin, process.execs), (Origin::Exec, 2));
    assert_eq!(process.file(), Some(Path::new(file)));
    let exe = fs::canonicalize(HELD).expect("it is there");
    let exe = match how {
        "memory" => "/memfd:in memory (deleted)".as_ref(),
        _ => exe.as_path(),
    };
    assert_eq!(process.exe(), Some(exe));
    assert!(process.args().eq(["another name", "7"]));
    assert_eq!(as_stat(&process), stat(child.pid()).expect("it is alive"));
    let pid = child.pid();
    assert_eq!(child.release().code(), Some(7));
    assert_eq!(row(&tracker, pid), None);
    nothing_lost(&tracker);
}

#[test]
fn a_script_by_descriptor_has_its_interpreters_arguments() {
    let tracker = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let script = executable(folder.path(), "script", b"#!/bin/sh -u\necho\nread x\n");
    let mut command = Command::new(EXECS);
    let child = Held::start(command.arg("descriptor").arg(&script).args(["gone", "x"]));
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    assert_eq!(process.execs, 2);
    assert_eq!(process.file(), Some(Path::new("/dev/fd/42")));
    assert_eq!(process.exe(), fs::canonicalize("/bin/sh").ok().as_deref());
    assert!(process.args().eq(["/bin/sh", "-u", "/dev/fd/42", "x"]));
    assert_eq!(as_stat(&process), stat(child.pid()).expect("it is alive"));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_program_for_32_bits_is_like_any_other() {
    let tracker = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let program = kamap_tests::elf::tiny_of_32_bits();
    let program = executable(folder.path(), "tiny-of-32-bits", &program);
    let child = Held::start(Command::new(&program).args(["some", "arguments"]));
    let pid = child.pid();
    let process = row(&tracker, pid).expect("it has exec'd");
    assert_eq!((process.origin, process.execs), (Origin::Exec, 1));
    assert_eq!(process.file(), Some(program.as_path()));
    assert_eq!(process.args().count(), 3);
    assert_eq!(as_stat(&process), stat(pid).expect("it is alive"));
    assert!(child.release().success());
    assert_eq!(row(&tracker, pid), None);

    // The same if it replaces a 64-bit program.
    let mut command = Command::new(EXECS);
    let child = Held::start(command.arg("path").arg(&program).arg("other"));
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    assert_eq!(process.execs, 2);
    assert_eq!(as_stat(&process), stat(child.pid()).expect("it is alive"));
    assert!(child.release().success());
    nothing_lost(&tracker);
}

/// Kernel memory of the maps that this test holds.
fn memory_of_maps() -> u64 {
    let fdinfo = fs::read_dir("/proc/self/fdinfo").expect("this test is alive");
    let infos = fdinfo.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    let memory = infos.filter(|info| info.contains("map_id:")).map(|info| {
        let memory = info.lines().find_map(|line| line.strip_prefix("memlock:"));
        let memory = memory.expect("it is told of each map").trim();
        memory.parse::<u64>().expect("it is a number")
    });
    memory.sum()
}

#[test]
fn an_exec_that_fails_changes_nothing() {
    let all = repetitions(100_000);
    let tracker = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let missing = folder.path().join("missing");
    let no_interpreter = executable(folder.path(), "no-interpreter", b"#!/does/not/exist\n");
    let garbage = executable(folder.path(), "garbage", b"neither program nor script");
    let no_program = executable(folder.path(), "no-program", b"#!/bin/true\n");
    fs::set_permissions(&no_program, PermissionsExt::from_mode(0o644)).expect("root may chmod");

    let mut child = Held::start(&mut Command::new(FAILS));
    let pid = child.pid();
    let before = row(&tracker, pid);
    assert_eq!(before.as_ref().expect("it has exec'd").execs, 1);
    let (memory, seen) = (memory_of_maps(), tracker.seen().expect("it can be read"));
    assert!(memory > 0);
    // Most of the attempts fail in the way that is cheapest for the kernel.
    for (path, error, times) in [
        (&no_interpreter, libc::ENOENT, all / 20),
        (&garbage, libc::ENOEXEC, all / 20),
        (&no_program, libc::EACCES, all / 10),
        (&missing, libc::ENOENT, all * 8 / 10),
    ] {
        child.say(&format!("{times} {}\n", path.display()));
        assert_eq!(child.line(), error.to_string());
        assert_eq!(row(&tracker, pid), before);
    }
    assert_eq!(memory_of_maps(), memory);
    // Far fewer other processes exec on this machine meanwhile.
    let execs = tracker.seen().expect("it can be read").exec - seen.exec;
    assert!(execs < all / 2, "{execs}");
    compare_with_proc(&tracker);
    nothing_lost(&tracker);

    // After that, execs are still recorded: its own, and those of others.
    for _ in 0..5 {
        let other = Held::start(&mut held());
        assert_eq!(row(&tracker, other.pid()).expect("it has exec'd").execs, 1);
    }
    child.say(&format!("1 {HELD}\n"));
    assert_eq!(child.line(), "", "it has exec'd");
    assert_eq!(row(&tracker, pid).expect("it has exec'd").execs, 2);
    assert!(child.release().success());
    assert_eq!(row(&tracker, pid), None);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn an_exec_that_fails_too_late_to_return_ends_its_process() {
    let tracker = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    // The kernel finds out that it cannot be mapped when the old program is gone.
    let mut program = kamap_tests::elf::tiny_of_32_bits();
    let address = 52 + 8;
    program[address..address + 4].copy_from_slice(&0xffff_f000_u32.to_le_bytes());
    let program = executable(folder.path(), "unmappable", &program);

    let mut child = Held::start(&mut Command::new(FAILS));
    let (pid, seen) = (child.pid(), row(&tracker, child.pid()));
    assert_eq!(seen.expect("it has exec'd").execs, 1);
    child.say(&format!("1 {}\n", program.display()));
    let status = child.release();
    assert!(
        matches!(status.signal(), Some(libc::SIGKILL | libc::SIGSEGV)),
        "{status}"
    );
    assert_eq!(row(&tracker, pid), None);
    nothing_lost(&tracker);
}

#[rstest]
#[case::none(&[])]
#[case::an_empty_one(&[""])]
#[case::empty_ones(&["", "", ""])]
#[case::an_empty_one_last(&["name", ""])]
fn arguments_that_are_missing_or_empty_are_told_apart(#[case] arguments: &[&str]) {
    let tracker = tracker();
    let child = Held::start(Command::new(EXECS).args(["path", HELD]).args(arguments));
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    assert_eq!((process.execs, process.args_cut), (2, false));
    let args: Vec<_> = process.args().collect();
    // Newer kernels pass an empty name to a program that is started without arguments.
    if !(arguments.is_empty() && args == [""]) {
        assert_eq!(args, arguments);
    }
    assert_eq!(as_stat(&process), stat(child.pid()).expect("it is alive"));
}

/// The longest argument: 32 pages including its NUL (`MAX_ARG_STRLEN`).
const LONGEST: usize = 32 * 4096 - 1;

#[rstest]
#[case::the_longest(1)]
// All arguments together can use a quarter of the stack limit, usually 2 MiB.
#[case::as_many_as_there_may_be(15)]
fn the_longest_arguments_are_cut(#[case] count: usize) {
    let tracker = tracker();
    let argument = "x".repeat(LONGEST);
    let child = Held::start(held().args(std::iter::repeat_n(&argument, count)));
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    assert_eq!(process.execs, 1);
    assert!(process.args_cut);
    let args: Vec<_> = process.args().map(OsStr::as_bytes).collect();
    let [name, cut] = args[..] else {
        panic!("not two arguments: {}", args.len());
    };
    assert_eq!(name, HELD.as_bytes());
    assert!(cut.len() > 100 && argument.as_bytes().starts_with(cut));
    let known = stat(child.pid()).expect("it is alive").args;
    assert_eq!(known.len(), 1 + count);
    assert!(tracker.losses().expect("it can be read").args_cut >= 1);
    nothing_lost(&tracker);
}

#[test]
fn the_longest_path_is_cut() {
    // PATH_MAX, including the NUL.
    const LONGEST: usize = 4096 - 1;
    let tracker = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::copy(HELD, folder.path().join("held_")).expect("it can be copied");
    let path = "./".repeat((LONGEST - 5) / 2) + "held_";
    assert_eq!(path.len(), LONGEST);
    let child = Held::start(Command::new(&path).current_dir(folder.path()));
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    let file = process.file().and_then(Path::to_str).expect("it was named");
    assert_eq!(file, "./".repeat(127) + ".…");
    assert_eq!(
        as_stat(&process).exe,
        stat(child.pid()).expect("it is alive").exe
    );
    assert!(process.args_cut);
    assert_eq!(process.comm(), "held_");
}

#[test]
fn an_executable_that_lies_deeper_than_any_path_reaches_has_the_end_of_its_path() {
    let tracker = tracker();
    let top = tempfile::tempdir().expect("a folder can be made");
    let name = "n".repeat(250);
    // Through descriptors, because no path is long enough.
    let mut folder = fs::File::open(top.path()).expect("it is there");
    for _ in 0..20 {
        let path = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
        fs::create_dir(&path).expect("it can be made");
        folder = fs::File::open(&path).expect("it is there");
    }
    let folder_path = format!("/proc/self/fd/{}", folder.as_raw_fd());
    fs::copy(HELD, format!("{folder_path}/held")).expect("it can be copied");

    let child = Held::start(Command::new("./held").current_dir(&folder_path));
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    assert_eq!((process.execs, process.comm()), (1, "held".into()));
    assert_eq!(process.file(), Some(Path::new("./held")));
    assert_eq!(process.exe(), Some(Path::new("…/held")));
    assert_eq!(
        stat(child.pid()).expect("it is alive").exe,
        None,
        "/proc cannot say"
    );
    assert!(process.args().eq(["./held"]));
}

/// Bytes that are not UTF-8, and an escape sequence.
fn hostile() -> OsString {
    OsString::from_vec(b"\xff\xc3(\n\x1b]0;x\x07\x80".to_vec())
}

#[test]
fn names_of_any_bytes_are_kept_as_they_are() {
    let tracker = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join(hostile());
    fs::copy(HELD, &path).expect("it can be copied");
    let mut command = Command::new(&path);
    let child = Held::start(command.arg0(hostile()).arg("0").arg(hostile()));
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    assert_eq!(process.file(), Some(path.as_path()));
    assert_eq!(
        process.exe(),
        fs::read_link(format!("/proc/{}/exe", child.pid()))
            .ok()
            .as_deref()
    );
    assert_eq!(process.exe(), Some(path.as_path()));
    assert!(process.args().eq([hostile(), "0".into(), hostile()]));
    assert_eq!(process.comm(), hostile().to_string_lossy());
}

#[test]
fn a_name_that_a_process_gives_itself_is_shown_at_once_and_its_childrens_until_they_exec() {
    let tracker = tracker();
    // Like PR_SET_NAME.
    let script = "printf %s \"$1\" >/proc/$$/comm; echo; read x
                  (echo; read x; exec \"$0\"); exit 3";
    let mut child = Held::start(Command::new("sh").args(["-c", script, HELD]).arg(hostile()));
    let pid = child.pid();
    let comm = |pid| fs::read(format!("/proc/{pid}/comm")).expect("it is alive");
    assert_eq!(comm(pid).strip_suffix(b"\n"), Some(hostile().as_bytes()));
    let shown = row(&tracker, pid).expect("it has exec'd");
    assert_eq!(shown.comm(), hostile().to_string_lossy());

    child.say("\n");
    assert_eq!(child.line(), "", "it has forked");
    let rows = children(&tracker, pid);
    let [forked] = &rows[..] else {
        panic!("not one child: {rows:?}");
    };
    assert_eq!((forked.origin, forked.execs), (Origin::Fork, 0));
    assert_eq!(forked.comm(), hostile().to_string_lossy());
    child.say("\n");
    assert_eq!(child.line(), "", "it has exec'd");
    let process = row(&tracker, forked.pid).expect("it has exec'd");
    assert_eq!((process.execs, process.comm()), (1, "held".into()));
    assert_eq!(as_stat(&process), stat(forked.pid).expect("it is alive"));
    assert_eq!(child.release().code(), Some(3));
    assert_eq!(row(&tracker, forked.pid), None);
}
