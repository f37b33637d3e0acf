//! Following a command and everything that descends from it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kamap::{AttachOptions, Error, Event, Follow, Item, Kinds, ProcessTree, Tracker};
use kamap_tests::stream::kinds;
use kamap_tests::{BpfFs, Loaded, SetOnDrop, Tiny};
use rstest::rstest;

/// Follows a command to its end.
#[track_caller]
fn to_the_end(follow: &mut Follow) -> (ExitStatus, Vec<Event>) {
    let (status, events) = to_the_end_among_others(follow);
    let numbers = events.iter().map(|event| event.seq);
    assert!(numbers.eq(0..events.len() as u64), "no number is left out");
    (status, events)
}

/// The same where others have events, too.
#[track_caller]
fn to_the_end_among_others(follow: &mut Follow) -> (ExitStatus, Vec<Event>) {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let status = follow.read(Duration::from_secs(1), |item| match item {
            Item::Event(event) => {
                assert!(events.last().is_none_or(|last| last.seq < event.seq));
                events.push(event);
            }
            other => panic!("{other:?}"),
        });
        if let Some(status) = status.expect("it can be read") {
            return (status, events);
        }
    }
}

#[track_caller]
fn follow(command: &mut Command) -> Follow {
    Tracker::builder().follow(command).expect("it starts")
}

/// Prints the PID of each of its processes: of itself, of a child that execs, of one that
/// does not, and of two that lose their parent and get another.
const FAMILY: &str = r#"
echo $$
printf -v longer_than_a_row %2000s
bash -c 'echo $$; exit 3' "$longer_than_a_row"
(echo $BASHPID)
( (echo $BASHPID; bash -c 'echo $$; :'; :) & )
wait
read end < "$1"
exit 7
"#;

#[rstest]
#[case::by_an_own_tracker(None)]
#[case::by_what_is_attached(Some(BpfFs::mount()))]
fn exactly_the_descendants_are_followed_whoever_their_parent_is(#[case] bpffs: Option<BpfFs>) {
    let pinned = bpffs.as_ref().map(|bpffs| {
        let builder = Tracker::builder().events(Kinds::LIFE).ring_size(1 << 24);
        let pinned = builder.attach(bpffs.at("kamap"), &AttachOptions::default());
        pinned.expect("root can")
    });
    let tiny = Tiny::new();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (pids, pipe) = (folder.path().join("pids"), folder.path().join("pipe"));
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .expect("it runs")
            .success()
    );
    let done = AtomicBool::new(false);
    let (status, events) = thread::scope(|scope| {
        let _done = SetOnDrop(&done);
        // Another thread of this process starts processes all the time, with more arguments than
        // are kept.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let mut other = Command::new(tiny.path());
                let other = other.arg("x".repeat(10_000)).stdin(Stdio::null());
                let ended = other.stdout(Stdio::null()).status();
                assert!(ended.expect("it starts").success());
            }
        });
        let output = std::fs::File::create(&pids).expect("it can be made");
        let mut family = Command::new("bash");
        family
            .args(["-c", FAMILY, "family"])
            .arg(&pipe)
            .stdout(output);
        let mut follow = match &pinned {
            None => follow(&mut family),
            Some(pinned) => {
                let follower = pinned.follower(Kinds::LIFE, false);
                let follower = follower.expect("nobody reads the events");
                follower.run(&mut family).expect("it starts")
            }
        };
        // Only the first child of this thread is followed.
        tiny.run();
        // It ends when the end of all five has been read.
        kamap_tests::eventually("all have told their PID", || {
            let told = std::fs::read_to_string(&pids).expect("it can be read");
            (told.lines().count() == 5).then_some(())
        });
        std::fs::write(&pipe, "end\n").expect("it reads");
        if pinned.is_some() {
            return to_the_end_among_others(&mut follow);
        }
        let ended = to_the_end(&mut follow);
        let losses = follow.losses().expect("it can be read");
        assert!(
            losses.args_cut > 0 && losses.event_args_cut == 0,
            "{losses:?}"
        );
        ended
    });
    assert_eq!(status.code(), Some(7));

    let told = std::fs::read_to_string(&pids).expect("it can be read");
    let told: BTreeSet<u32> = told
        .lines()
        .map(|pid| pid.parse().expect("a PID"))
        .collect();
    let mut lives: BTreeMap<u32, Vec<Event>> = BTreeMap::new();
    for event in events {
        lives.entry(event.process.pid).or_default().push(event);
    }
    // The process that bash forks to fork again, and that ends, prints nothing.
    let silent: Vec<_> = lives.keys().filter(|pid| !told.contains(pid)).collect();
    assert_eq!(silent.len(), 1, "{silent:?}");
    assert!(told.iter().all(|pid| lives.contains_key(pid)));
    assert_eq!(told.len(), 5);
    for life in lives.values() {
        let kinds = kinds(life);
        assert_eq!(kinds.first(), Some(&"fork"));
    }
}

#[test]
fn the_lives_of_a_command_are_a_tree() {
    let script = "bash -c 'exit 3'; bash -c '/bin/true; exit 4'; kill -9 $$";
    let mut follow = follow(Command::new("bash").args(["-c", script]));
    let (status, events) = to_the_end(&mut follow);
    assert_eq!(status.signal(), Some(libc::SIGKILL));
    let mut tree = ProcessTree::default();
    for event in &events {
        tree.add(event).expect("nothing contradicts it");
    }
    let branches: Vec<_> = tree
        .branches()
        .into_iter()
        .map(|branch| {
            let (time, end) = branch.life.end.expect("it has ended");
            let comm = branch.life.process.comm().into_owned();
            assert_eq!(
                branch.life.duration(),
                Some(time - branch.life.process.start_time)
            );
            (branch.depth, branch.last, comm, end.status)
        })
        .collect();
    let branch = |depth, last, comm: &str, status| (depth, last, comm.to_owned(), status);
    assert_eq!(
        branches,
        [
            branch(0, true, "bash", libc::SIGKILL),
            branch(1, false, "bash", 3 << 8),
            branch(1, true, "bash", 4 << 8),
            branch(2, true, "true", 0),
        ]
    );
    assert_eq!(
        tree.processes()
            .iter()
            .filter(|life| life.has_failed())
            .count(),
        3
    );
}

#[test]
fn what_a_command_leaves_behind_is_followed_on() {
    let script = "sleep 1000 < /dev/null > /dev/null 2>&1 & exit 0";
    let mut follow = follow(Command::new("bash").args(["-c", script]));
    let (status, events) = to_the_end(&mut follow);
    assert!(status.success());
    let mut tree = ProcessTree::default();
    for event in &events {
        tree.add(event).expect("nothing contradicts it");
    }
    let running: Vec<_> = tree
        .processes()
        .iter()
        .filter(|life| life.end.is_none())
        .collect();
    let [left] = running[..] else {
        panic!("one is left: {tree:?}");
    };
    let pid = left.process.pid;
    // SAFETY: takes numbers only. It is the one that was left behind, which nobody else
    // ends.
    unsafe { libc::kill(pid.cast_signed(), libc::SIGKILL) };
    let end = kamap_tests::eventually("its end is told", || {
        let mut end = None;
        let read = follow.read(Duration::ZERO, |item| {
            if let Item::Event(event) = item {
                assert_eq!(event.process.pid, pid);
                end = kamap_tests::stream::end(&event);
            }
        });
        assert_eq!(read.expect("it can be read"), Some(status));
        end
    });
    assert_eq!(end.signal(), Some(libc::SIGKILL));
}

#[test]
fn a_signal_reaches_the_command() {
    let mut follow = follow(Command::new("sleep").arg("1000").stdin(Stdio::null()));
    follow.signal(libc::SIGTERM);
    let (status, _) = to_the_end(&mut follow);
    assert_eq!(status.signal(), Some(libc::SIGTERM));
    // No process is left to receive it.
    follow.signal(libc::SIGTERM);
}

#[test]
fn a_command_that_does_not_exist_leaves_nothing_attached() {
    let err = Tracker::builder()
        .follow(&mut Command::new("/missing"))
        .expect_err("it cannot start");
    assert!(matches!(&err, Error::Spawn { program, .. } if program == "/missing"));
    assert_eq!(
        err.to_string(),
        "failed to run `/missing`: No such file or directory (os error 2)"
    );
    assert!(Loaded::by(std::process::id()).links.is_empty());
}

#[test]
fn whoever_waits_by_epoll_is_woken_when_the_command_ends() {
    let mut follow = follow(Command::new(kamap_tests::TINY).stdin(Stdio::null()));
    let mut ready = libc::pollfd {
        fd: follow.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one struct, valid for reading and writing.
    let count = unsafe { libc::poll(&raw mut ready, 1, 60_000) };
    assert_eq!((count, ready.revents), (1, libc::POLLIN));
    let (status, events) = to_the_end(&mut follow);
    assert!(status.success());
    assert!(!events.is_empty());
}
