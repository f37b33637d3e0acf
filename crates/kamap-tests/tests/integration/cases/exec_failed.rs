//! Execs that fail, in the stream of events.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use kamap::{Event, EventKind, Filter, Item, Kinds, Lives, Tracker};
use kamap_tests::{Held, eventually};
use rstest::rstest;

use super::stream::{Stream, end, kinds, with};
use crate::fixtures::{executable, nothing_lost, row};
use crate::programs::{EXECS, FAILS, HELD, THREADS};

/// As many arguments as are kept of a failed exec where the kernel has no bpf_loop.
const MOST_UNROLLED: usize = 256;

/// As many as are kept here: bpf_loop came with 5.17.
fn most_args() -> usize {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("there is /proc");
    let mut numbers = release
        .split(['.', '-'])
        .map(|number| number.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < (5, 17) {
        MOST_UNROLLED
    } else {
        usize::MAX
    }
}

#[track_caller]
fn tracker() -> (Tracker, Stream) {
    with(Tracker::builder().events(Kinds::ALL))
}

/// Has a child fail to exec `program` and panic; returns the events of its life.
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

/// By every system call that can: how `execs` does it, and how the file is named.
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
    // The rest is as it was, and stays so.
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
    // One that succeeds is no failure, though it returns from the same call.
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

/// By how many arguments there are, and how long each is.
#[rstest]
#[case::usual(4096, &[
    (3, 1_000),
    // As long as what is read at once, and one more or less.
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

/// With another name and another user than the main thread's.
#[test]
fn a_failed_exec_of_a_thread_is_one_of_its_process() {
    let mut threads = Command::new(THREADS);
    threads.args(["exec-fails", "/missing"]);
    threads.stdin(Stdio::null()).stdout(Stdio::null());
    let builder = Tracker::builder().events(Kinds::ALL);
    let mut follow = builder.follow(&mut threads).expect("it starts");
    let pid = follow.pid();
    let (mut events, mut lives) = (Vec::new(), Lives::default());
    let status = eventually("it ends", || {
        let read = follow.read(Duration::ZERO, |item| match item {
            Item::Event(event) => {
                lives.put(&event);
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

    // Its child is of the thread that has forked it, by user and by name.
    assert_eq!(kinds(&of_child), ["fork", "exit"]);
    for event in &of_child {
        let process = &event.process;
        assert_eq!((process.uid, process.comm()), (4711, "thread".into()));
        assert_eq!(
            (process.ppid, process.parent_start_time),
            (pid, Some(start))
        );
    }
    assert_eq!(lives.len(), 2);
    let of_process = &lives.all()[0];
    assert_eq!((of_process.process.pid, of_process.failed_execs), (pid, 1));
    assert_eq!(lives.all()[1].parent, Some(0));
}
