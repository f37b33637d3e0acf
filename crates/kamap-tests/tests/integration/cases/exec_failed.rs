//! Execs that fail, in the stream of events.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use kamap::{Event, EventKind, Filter, Item, Kinds, ProcessTree, Tracker};
use kamap_tests::stream::{Stream, end, kinds, with};
use kamap_tests::table::{nothing_lost, row};
use kamap_tests::{Held, Planted, elf, eventually, executable};
use rstest::rstest;

use crate::programs::{EXECS, FAILS, HELD, THREADS};

/// Whether the kernel reports an exec before its point of no return.
fn knows_attempts() -> bool {
    release() >= (6, 10)
}

/// The version of the kernel.
fn release() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("there is /proc");
    let mut numbers = release
        .split(['.', '-'])
        .map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// How many arguments of a failed exec are kept if the kernel has no bpf_loop.
const MOST_UNROLLED: usize = 256;

/// How many are kept on this kernel: bpf_loop needs Linux 5.17.
fn most_args() -> usize {
    if release() < (5, 17) {
        MOST_UNROLLED
    } else {
        usize::MAX
    }
}

#[track_caller]
fn tracker() -> (Tracker, Stream) {
    with(Tracker::builder().events(Kinds::ALL))
}

/// Makes a child fail to exec `program` and panic; returns its events.
#[track_caller]
fn failing(stream: &mut Stream, how: &str, program: &Path, arguments: &[String]) -> Vec<Event> {
    let mut child = Command::new(EXECS)
        .arg(how)
        .arg(program)
        .args(arguments)
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let pid = child.id();
    assert_eq!(child.wait().expect("it ends").code(), Some(101));
    stream.life(pid)
}

/// For every system call that execs: how `execs` calls it, and how it names the file.
#[test]
fn a_failed_exec_tells_what_was_asked_for() {
    let (tracker, mut stream) = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let garbage = executable(folder.path(), "garbage", b"no program\n");
    let path = garbage.to_str().expect("it is UTF-8");
    for (how, file) in [
        ("path", path),
        ("32-bit", path),
        ("empty-path", "/dev/fd/42"),
        ("folder", "/dev/fd/42/garbage"),
    ] {
        fails_to_exec(&mut stream, how, &garbage, file);
    }
    nothing_lost(&tracker);
}

#[track_caller]
fn fails_to_exec(stream: &mut Stream, how: &str, garbage: &Path, file: &str) {
    let arguments = ["a", "b c", "", "d"].map(str::to_owned);
    let life = failing(stream, how, garbage, &arguments);
    assert_eq!(kinds(&life), ["fork", "exec", "failed", "exit"]);
    let [_, exec, failed, exit] = &life[..] else {
        panic!("four events: {life:?}");
    };
    assert_eq!(failed.kind, EventKind::ExecFailed(libc::ENOEXEC));
    let process = &failed.process;
    assert_eq!(process.file(), Some(Path::new(file)), "{how}");
    assert!(
        process.args().eq(arguments.iter().map(OsStr::new)),
        "{process:?}"
    );
    assert!(!process.args_cut);
    // Everything else is unchanged, and stays so.
    assert_eq!(process.exe(), exec.process.exe());
    assert_eq!((process.comm(), process.execs), ("execs".into(), 1));
    assert_eq!(process.last_exec_time, exec.process.last_exec_time);
    assert_eq!(exit.process, exec.process);
    assert!(exec.time < failed.time && failed.time < exit.time);
}

#[test]
fn each_failed_exec_is_told_once_with_its_error() {
    const TIMES: usize = 500;
    let (tracker, mut stream) = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let missing = folder.path().join("missing");
    let mut child = Held::start(&mut Command::new(FAILS));
    let pid = child.pid();
    for (path, error) in [(&*missing, libc::ENOENT), (folder.path(), libc::EACCES)] {
        child.say(&format!("{TIMES} {}\n", path.display()));
        assert_eq!(child.line(), error.to_string());
    }
    assert_eq!(row(&tracker, pid).expect("it is alive").execs, 1);
    // An exec that succeeds is not a failure, even though it returns from the same call.
    child.say(&format!("1 {HELD}\n"));
    assert_eq!(child.line(), "", "it has exec'd");
    assert!(child.release().success());

    let life = stream.life(pid);
    let failed: Vec<_> = life
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::ExecFailed(error) => Some((event.process.file()?, error)),
            _ => None,
        })
        .collect();
    let mut expected = vec![(&*missing, libc::ENOENT); TIMES];
    expected.extend(vec![(folder.path(), libc::EACCES); TIMES]);
    assert_eq!(failed, expected);
    let others: Vec<_> = kinds(&life)
        .into_iter()
        .filter(|kind| *kind != "failed")
        .collect();
    assert_eq!(others, ["fork", "exec", "exec", "exit"]);
    assert_eq!(stream.lost, 0);
    nothing_lost(&tracker);
}

/// By the number of arguments, and the length of each.
#[rstest]
#[case::usual(4096, &[
    (3, 1_000),
    // The length that is read at once, and one more or less.
    (6, 510),
    (6, 511),
    (6, 512),
    (MOST_UNROLLED, 1),
    (MOST_UNROLLED + 1, 1),
    (2_000, 1),
    (2, 4_000),
])]
#[case::long(131_072, &[(1, 100_000), (3, 3_000)])]
#[case::short(100, &[(3, 60)])]
fn arguments_are_whole_up_to_the_bound(#[case] bound: u32, #[case] given: &[(usize, usize)]) {
    let (_tracker, mut stream) = with(Tracker::builder().events(Kinds::ALL).max_args(bound));
    for &(count, len) in given {
        let arguments: Vec<_> = (0..count)
            .map(|i| (i % 10).to_string().repeat(len))
            .collect();
        let life = failing(&mut stream, "path", Path::new("/missing"), &arguments);
        assert_eq!(kinds(&life), ["fork", "exec", "failed", "exit"]);
        let process = &life[2].process;
        assert_eq!(process.file(), Some(Path::new("/missing")));

        let all = arguments.join("\0") + "\0";
        let bytes = all
            .len()
            .min(bound as usize)
            .min(most_args().saturating_mul(len + 1));
        let kept: Vec<_> = process
            .args()
            .map(|arg| arg.to_str().expect("digits"))
            .collect();
        let expected = all[..bytes].strip_suffix('\0').unwrap_or(&all[..bytes]);
        assert_eq!(kept.join("\0"), expected);
        assert_eq!(process.args_cut, bytes < all.len(), "{count} of {len}");
    }
}

/// The exec count of its row differs from the kernel's, as after an exec that failed late.
#[test]
fn a_failed_exec_after_one_that_was_missed_tells_what_was_asked_for() {
    let (_tracker, mut stream) = tracker();
    let script = "echo; read x; exec sh -c 'echo; read x; exec /missing \"$0\"' argument";
    let mut child = Held::start(
        Command::new("sh")
            .args(["-c", script])
            .stderr(Stdio::null()),
    );
    let planted = Planted::find();
    planted.take_drafts(true);
    child.say("\n");
    assert_eq!(child.line(), "", "it has exec'd");
    planted.take_drafts(false);
    let pid = child.pid();
    child.say("\n");
    assert_eq!(child.wait().code(), Some(127));
    let life = stream.life(pid);
    // The shell looks for its `sh` in other folders first.
    let kinds = kinds(&life);
    assert_eq!(kinds[kinds.len() - 3..], ["exec", "failed", "exit"]);
    let failed = &life[life.len() - 2].process;
    assert_eq!(failed.file(), Some(Path::new("/missing")));
    assert!(failed.args().eq(["/missing", "argument"]), "{failed:?}");
}

#[test]
fn failures_are_failed_execs_and_failed_ends() {
    let failed = Filter::new(Kinds::ALL).failed();
    let (_tracker, mut stream) = with(Tracker::builder().events(failed));
    let life = failing(
        &mut stream,
        "path",
        Path::new("/missing"),
        &["x".to_owned()],
    );
    assert_eq!(kinds(&life), ["failed", "exit"]);
    assert_eq!(end(&life[1]).and_then(|end| end.exit_code()), Some(101));
}

/// With another name and user than those of the main thread.
#[test]
fn a_failed_exec_of_a_thread_is_one_of_its_process() {
    let mut threads = Command::new(THREADS);
    threads.args(["exec-fails", "/missing"]);
    threads.stdin(Stdio::null()).stdout(Stdio::null());
    let builder = Tracker::builder().events(Kinds::ALL);
    let mut follow = builder.follow(&mut threads).expect("it starts");
    let pid = follow.pid();
    let (mut events, mut tree) = (Vec::new(), ProcessTree::default());
    let status = eventually("it ends", || {
        let read = follow.read(Duration::ZERO, |item| match item {
            Item::Event(event) => {
                tree.add(&event).expect("nothing contradicts it");
                events.push(event);
            }
            other => panic!("{other:?}"),
        });
        read.expect("it can be read")
    });
    assert!(status.success());
    let (life, of_child): (Vec<_>, Vec<_>) = events
        .into_iter()
        .partition(|event| event.process.pid == pid);
    assert_eq!(kinds(&life), ["fork", "exec", "failed", "exit"]);
    let start = life[0].process.start_time;
    for event in &life {
        assert_eq!(event.process.start_time, start);
        assert_eq!((event.process.uid, event.process.gid), (0, 0));
    }
    for event in &life[1..] {
        assert_eq!(event.process.comm(), "threads", "{event:?}");
    }
    assert_eq!(life[2].process.file(), Some(Path::new("/missing")));

    // Its child inherits the user and name of the thread that forked it.
    assert_eq!(kinds(&of_child), ["fork", "exit"]);
    for event in &of_child {
        let process = &event.process;
        assert_eq!((process.uid, process.comm()), (4711, "thread".into()));
        assert_eq!(
            (process.ppid, process.parent_start_time),
            (pid, Some(start))
        );
    }
    assert_eq!(tree.len(), 2);
    let of_process = &tree.processes()[0];
    assert_eq!((of_process.process.pid, of_process.failed_execs), (pid, 1));
    assert_eq!(tree.processes()[1].parent, Some(0));
}

/// Makes a child exec `program`; returns its events.
#[cfg(target_arch = "x86_64")]
#[track_caller]
fn fails_late_life(stream: &mut Stream, program: &Path) -> Vec<Event> {
    let mut child = Command::new(EXECS)
        .arg("path")
        .arg(program)
        .args(["zero", "one", "two words"])
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let pid = child.id();
    let status = child.wait().expect("it ends");
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(
        signal,
        Some(libc::SIGSEGV),
        "it has no old program to go on with"
    );
    stream.life(pid)
}

#[cfg(target_arch = "x86_64")]
#[test]
fn an_exec_that_fails_past_the_point_of_no_return_tells_what_was_to_be_executed() {
    let (tracker, mut stream) = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let program = executable(
        folder.path(),
        "fails-late",
        &elf::fails_late(0x40_0000, b""),
    );
    let life = fails_late_life(&mut stream, &program);
    assert_eq!(kinds(&life), ["fork", "exec", "failed", "exit"]);
    let [_, _, failed, exit] = &life[..] else {
        panic!("four events: {life:?}");
    };
    assert_eq!(failed.kind, EventKind::ExecFailed(libc::ENOMEM));
    for process in [&failed.process, &exit.process] {
        assert_eq!(process.comm(), "fails-late");
        if knows_attempts() {
            assert_eq!(process.file(), Some(program.as_path()));
            assert!(
                process.args().eq(["zero", "one", "two words"]),
                "{process:?}"
            );
            assert_eq!(process.exe(), Some(program.as_path()));
            assert!(!process.args_cut && !process.file_cut);
        } else {
            assert_eq!((process.file(), process.args().count()), (None, 0));
            assert!(process.args_cut);
        }
    }
    assert_eq!(exit.process.execs, 1);
    nothing_lost(&tracker);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_exit_of_an_exec_that_failed_late_has_nothing_of_the_old_program() {
    let (tracker, mut stream) = kamap_tests::stream::tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let program = executable(
        folder.path(),
        "fails-late",
        &elf::fails_late(0x40_0000, b""),
    );
    let life = fails_late_life(&mut stream, &program);
    assert_eq!(kinds(&life), ["fork", "exec", "exit"]);
    let process = &life[2].process;
    assert_eq!(process.comm(), "fails-late");
    assert_eq!((process.file(), process.exe()), (None, None));
    assert_eq!((process.args().count(), process.args_cut), (0, true));
    nothing_lost(&tracker);
}

/// The new program has another file's name at the address where the old one had its own, and the
/// arguments.
#[cfg(target_arch = "x86_64")]
#[test]
fn an_exec_that_fails_late_never_names_what_its_memory_says() {
    let (tracker, mut stream) = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let program = folder.path().join("fails-late");
    let mut child = Held::start(Command::new(EXECS).args(["forged", ""]).arg(&program));
    let [file, argv] = [0, 1].map(|at| {
        let address = child.said().split(' ').nth(at).expect("it prints two");
        u64::from_str_radix(address, 16).expect("it is an address")
    });
    assert!(file < argv && argv - file <= 0x800, "{file:x} {argv:x}");
    // The same at the address where the old one had its arguments: the list points to the innocent
    // name.
    let mut text = b"/bin/innocent\0".to_vec();
    text.resize((argv - file) as usize, 0);
    text.extend([file, file, 0].iter().flat_map(|word| word.to_le_bytes()));
    executable(folder.path(), "fails-late", &elf::fails_late(file, &text));
    let pid = child.pid();
    child.let_go();
    assert!(!child.wait().success());
    let life = stream.life(pid);
    assert_eq!(kinds(&life), ["fork", "exec", "failed", "exit"]);
    for event in &life[2..] {
        let process = &event.process;
        let known = knows_attempts();
        assert_eq!(
            process.file(),
            known.then_some(program.as_path()),
            "{process:?}"
        );
        let arguments = [program.as_os_str()];
        let expected = if known { &arguments[..] } else { &[] };
        assert!(process.args().eq(expected.iter().copied()), "{process:?}");
        assert_eq!(process.args_cut, !known);
        assert_eq!(process.comm(), "fails-late");
    }
    nothing_lost(&tracker);
}
