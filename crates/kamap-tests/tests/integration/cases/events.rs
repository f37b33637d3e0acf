//! The stream of events, compared with wait().

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kamap::{Event, EventKind, Filter, Kinds, Process, Tracker};
use kamap_tests::stream::{Stream, end, kinds, tracker, with};
use kamap_tests::table::{row, snapshot};
use kamap_tests::{Held, SetOnDrop, Tiny, eventually, repetitions, stat};
use rstest::rstest;

use crate::programs::{FORKED, HELD, STARTS, THREADS, held};

/// Without what only rows have.
fn without_own_pid(process: &Process) -> Process {
    let mut process = process.clone();
    (process.vpid, process.pid_ns) = (None, None);
    process
}

#[test]
fn a_life_is_told_from_fork_to_exit() {
    let (tracker, mut stream) = tracker();
    let child = Held::start(held().args(["7", "two words"]));
    let pid = child.pid();
    let process = without_own_pid(&row(&tracker, pid).expect("it has exec'd"));
    assert_eq!(child.release().code(), Some(7));
    let life = stream.life(pid);
    assert_eq!(kinds(&life), ["fork", "exec", "exit"]);
    let [fork, exec, exit] = &life[..] else {
        panic!("three events: {life:?}");
    };
    assert!(fork.time < exec.time && exec.time < exit.time);
    assert_eq!(fork.process.ppid, std::process::id());
    assert_eq!(fork.time, fork.process.start_time);
    assert_eq!(exec.process, process);
    assert_eq!(Some(exec.time), process.last_exec_time);
    assert_eq!(
        exit.process, process,
        "an exit has the last exec's arguments"
    );
    let end = end(exit).expect("it is an exit");
    assert_eq!((end.exit_code(), end.signal()), (Some(7), None));
    assert!(!end.core_dumped() && !end.success());
    assert!(end.max_rss >= 100 * 1024, "{end:?}");
    assert!(end.cpu_time < exit.time - fork.time);
}

/// Runs a program that ends or is killed.
fn run(script: &str) -> (u32, ExitStatus) {
    let mut child = Command::new("bash")
        .args(["-c", script])
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let pid = child.id();
    (pid, child.wait().expect("it can be waited for"))
}

#[rstest]
#[case::success("exit 0")]
#[case::failure("exit 1")]
#[case::all_bits("exit 255")]
#[case::killed("kill -KILL $$")]
#[case::terminated("kill -TERM $$")]
#[case::dumped("ulimit -c unlimited; cd ${TMPDIR:-/tmp}; kill -ABRT $$")]
#[case::not_dumped("ulimit -c 0; kill -SEGV $$")]
fn an_exit_has_the_status_of_wait(#[case] script: &str) {
    let (_tracker, mut stream) = tracker();
    let (pid, status) = run(script);
    let life = stream.life(pid);
    let exits: Vec<_> = life.iter().filter_map(end).collect();
    let [end] = exits[..] else {
        panic!("one exit: {life:?}");
    };
    assert_eq!(end.status, status.into_raw());
    assert_eq!(
        (end.exit_code(), end.signal(), end.core_dumped()),
        (status.code(), status.signal(), status.core_dumped())
    );
}

#[rstest]
#[case::leader_first("leader-first", 1)]
#[case::together("together", 1)]
#[case::exec("exec", 2)]
fn threads_that_leave_or_exec_are_one_life(#[case] what: &str, #[case] execs: usize) {
    let (_tracker, mut stream) = tracker();
    for _ in 0..20 {
        let child = Held::start(Command::new(THREADS).args([what, "/bin/true"]));
        let pid = child.pid();
        let status = child.release();
        let life = stream.life(pid);
        let mut expected = vec!["exec"; execs];
        expected.insert(0, "fork");
        expected.push("exit");
        assert_eq!(kinds(&life), expected);
        let end = life.last().and_then(end).expect("it has ended");
        assert_eq!(end.status, status.into_raw());
    }
}

#[test]
fn a_fork_without_exec_is_told_of() {
    let (_tracker, mut stream) = tracker();
    let mut parent = Held::start(&mut Command::new(FORKED));
    let pid = parent.said().parse().expect("it prints a PID");
    parent.let_go();
    assert_eq!(parent.line(), "0", "the child has been waited for");
    let life = stream.life(pid);
    assert_eq!(kinds(&life), ["fork", "exit"]);
    assert_eq!(life[0].process.ppid, parent.pid());
    assert_eq!(life[1].process.execs, 0);
}

#[test]
fn what_was_alive_before_ends_once() {
    let before = Held::start(&mut held());
    let (_tracker, mut stream) = tracker();
    let pid = before.pid();
    assert!(before.release().success());
    assert_eq!(kinds(&stream.life(pid)), ["exit"]);
}

#[rstest]
#[case::short(4096, 10, 10)]
#[case::longer_than_a_row(4096, 1, 1_000)]
#[case::many(4096, 300, 12)]
#[case::cut(4096, 1, 10_000)]
#[case::a_long_bound(131_072, 1, 100_000)]
#[case::cut_at_a_long_bound(131_072, 3, 100_000)]
#[case::a_short_bound(100, 10, 100)]
fn arguments_are_whole_up_to_the_bound(
    #[case] bound: u32,
    #[case] count: usize,
    #[case] len: usize,
) {
    let (tracker, mut stream) = with(Tracker::builder().events(Kinds::LIFE).max_args(bound));
    let arguments: Vec<_> = (0..count)
        .map(|i| format!("{i}{}", "x".repeat(len)))
        .collect();
    let child = Held::start(held().arg("0").args(&arguments));
    let pid = child.pid();
    assert!(child.release().success());
    let life = stream.life(pid);
    let exec = &life[1].process;
    let mut given = vec![HELD.to_owned(), "0".to_owned()];
    given.extend(arguments);
    let given: Vec<u8> = given
        .iter()
        .flat_map(|arg| [arg.as_bytes(), b"\0"].concat())
        .collect();
    let kept: Vec<u8> = exec
        .args()
        .flat_map(|arg| [arg.as_encoded_bytes(), b"\0"].concat())
        .collect();
    let cut = given.len() > bound as usize;
    assert_eq!(exec.args_cut, cut, "{} bytes", given.len());
    if cut {
        // The last argument that was kept has no NUL after it.
        let kept = kept.strip_suffix(b"\0").expect("it was added above");
        assert!(given.starts_with(kept));
        assert!((bound as usize - 1..=bound as usize).contains(&kept.len()));
        assert!(tracker.losses().expect("it can be read").event_args_cut > 0);
    } else {
        assert_eq!(kept, given);
    }
    assert_eq!(life[2].process, life[1].process, "the exit has them too");
}

#[test]
fn the_time_of_all_threads_is_told() {
    let (_tracker, mut stream) = tracker();
    for _ in 0..3 {
        let mut command = Command::new(THREADS);
        let child = command
            .arg("busy")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let pid = child.spawn().expect("it starts").id();
        // SAFETY: plain bits, all 0.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        let mut status = 0;
        // SAFETY: both are valid for writing.
        let waited = unsafe { libc::wait4(pid.cast_signed(), &mut status, 0, &mut usage) };
        assert_eq!((waited.cast_unsigned(), status), (pid, 0));
        let time = |time: libc::timeval| {
            Duration::new(time.tv_sec as u64, 0) + Duration::from_micros(time.tv_usec as u64)
        };
        let taken = time(usage.ru_utime) + time(usage.ru_stime);
        let life = stream.life(pid);
        let told = life.last().and_then(end).expect("it has ended").cpu_time;
        // At least what the eight threads have used, and at most the final time, which wait()
        // returns in two parts, each rounded to microseconds.
        let least = 8 * Duration::from_millis(100);
        let most = taken + Duration::from_micros(2);
        assert!(
            (least..=most).contains(&told),
            "{told:?}, not between {least:?} and {most:?}"
        );
    }
}

#[test]
fn an_exit_without_its_exec_has_what_a_row_holds_of_its_arguments_and_counts_as_cut() {
    let start = || Held::start(held().args(["0", &"x".repeat(2_000)]));
    let ends = |child: Held, tracker: &Tracker, stream: &mut Stream| {
        let pid = child.pid();
        assert!(child.release().success());
        let exit = stream.life(pid).pop().expect("it has ended");
        assert!(exit.process.args_cut);
        tracker.losses().expect("it can be read").event_args_cut
    };
    let before = start();
    let filter = Filter::new(Kinds::LIFE).pid(before.pid());
    let (tracker, mut stream) = with(Tracker::builder().events(filter));
    assert_eq!(ends(before, &tracker, &mut stream), 1);
    drop((tracker, stream));
    let (tracker, mut stream) = with(Tracker::builder().events(Kinds::EXIT));
    assert!(ends(start(), &tracker, &mut stream) > 0);
}

#[test]
fn a_fork_has_the_text_of_who_forks() {
    let (tracker, mut stream) = tracker();
    let parent = row(&tracker, std::process::id()).expect("it is alive");
    // A sibling of the process that forks.
    let other = Held::start(Command::new(STARTS).args(["clone-parent", HELD]));
    let pid: u32 = other.said().parse().expect("it prints a PID");
    let mut fork_of = |pid: u32| {
        eventually("its fork is told", || {
            stream.read();
            let of_pid = |event: &&Event| event.process.pid == pid;
            Some(stream.all.iter().find(of_pid)?.process.clone())
        })
    };
    let first = fork_of(other.pid());
    assert_eq!(
        (first.exe(), first.args_cut),
        (parent.exe(), parent.args_cut)
    );
    assert!(first.args().eq(parent.args()));
    let sibling = fork_of(pid);
    assert_eq!(sibling.ppid, std::process::id());
    assert!(sibling.args().eq([STARTS, "clone-parent", HELD]));
    // SAFETY: takes numbers, and asks for no status. The child is this process's own,
    // and has not been waited for.
    unsafe {
        libc::kill(pid.cast_signed(), libc::SIGKILL);
        libc::waitpid(pid.cast_signed(), std::ptr::null_mut(), 0);
    }
}

#[test]
fn reading_ends_though_each_event_brings_others() {
    let tiny = Tiny::new();
    let (_tracker, mut stream) = tracker();
    tiny.run();
    let mut count = 0;
    let read = stream.events.read(Duration::ZERO, |_| {
        count += 1;
        assert!(count < 100, "it goes on");
        tiny.run();
    });
    read.expect("it can be read");
    assert!(count >= 3);
}

/// A stream whose filter nothing passes.
#[track_caller]
fn silent() -> (Tracker, Stream) {
    // No process has this PID.
    with(Tracker::builder().events(Filter::new(Kinds::ALL).pid(u32::MAX)))
}

#[test]
fn reading_waits_as_long_as_it_is_told_where_there_is_nothing() {
    let (_tracker, mut stream) = silent();
    for millis in [0, 1, 30, 60, 250] {
        let timeout = Duration::from_millis(millis);
        let began = Instant::now();
        let read = stream.events.read(timeout, |item| panic!("{item:?}"));
        read.expect("it can be read");
        let waited = began.elapsed();
        assert!(waited >= timeout, "{waited:?} of {timeout:?}");
        assert!(waited < timeout + Duration::from_secs(10), "{waited:?}");
    }
}

#[test]
fn a_signal_ends_the_wait_for_events() {
    let (_tracker, mut stream) = silent();
    let came = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(libc::SIGUSR1, Arc::clone(&came)).expect("it can be handled");
    // SAFETY: takes nothing and cannot fail.
    let reader = unsafe { libc::pthread_self() };
    let ended = AtomicBool::new(false);
    let began = Instant::now();
    thread::scope(|scope| {
        let _ended = SetOnDrop(&ended);
        // Repeatedly, because a signal before the wait does not end it.
        scope.spawn(|| {
            while !ended.load(Ordering::Acquire) {
                // SAFETY: the thread waits for this one, so it is there.
                unsafe { libc::pthread_kill(reader, libc::SIGUSR1) };
                thread::park_timeout(Duration::from_millis(10));
            }
        });
        let read = stream
            .events
            .read(Duration::from_secs(60), |item| panic!("{item:?}"));
        read.expect("it can be read");
    });
    assert!(came.load(Ordering::Relaxed));
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn every_process_of_two_workers_is_told_of_in_order() {
    let lives_each = repetitions(3_000) as usize;
    let tiny = &Tiny::new();
    let (tracker, mut stream) = with(Tracker::builder().events(Kinds::LIFE).ring_size(16 << 20));
    let ran: Vec<(u32, usize)> = thread::scope(|scope| {
        let worker = |worker: usize| {
            move || {
                let life = |i: usize| {
                    let number = worker * lives_each + i;
                    let mut command = Command::new(tiny.path());
                    command
                        .arg(number.to_string())
                        .stdin(Stdio::null())
                        .stdout(Stdio::null());
                    let mut child = command.spawn().expect("it starts");
                    let pid = child.id();
                    assert!(child.wait().expect("it ends").success());
                    (pid, number)
                };
                (0..lives_each).map(life).collect::<Vec<_>>()
            }
        };
        let workers = [scope.spawn(worker(0)), scope.spawn(worker(1))];
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("it ends"))
            .collect()
    });
    for (pid, _) in [&ran[lives_each - 1], &ran[2 * lives_each - 1]] {
        stream.life(*pid);
    }
    let mut lives: HashMap<(u32, Duration), Vec<Event>> = HashMap::new();
    for event in stream.all {
        let identity = (event.process.pid, event.process.start_time);
        lives.entry(identity).or_default().push(event);
    }
    let mut found = HashMap::new();
    for (&(pid, _), life) in &lives {
        if kinds(life) != ["fork", "exec", "exit"] {
            continue;
        }
        // Other tests run the same program without a number.
        if let Some(number) = life[1].process.args().nth(1)
            && life[1].process.comm() == "tiny"
        {
            let number: usize = number
                .to_str()
                .and_then(|number| number.parse().ok())
                .expect("a number");
            assert!(found.insert(number, pid).is_none(), "{number} came twice");
            assert!(end(&life[2]).expect("it is an exit").success());
        }
    }
    for (pid, number) in ran {
        assert_eq!(found.get(&number), Some(&pid), "number {number}");
    }
    assert_eq!(
        (
            stream.lost,
            tracker.losses().expect("it can be read").total()
        ),
        (0, 0)
    );
}

#[test]
fn what_finds_no_room_is_counted_and_the_table_stays_exact() {
    const LIVES: u64 = 500;
    let tiny = Tiny::new();
    let (tracker, mut stream) = with(Tracker::builder().events(Kinds::LIFE).ring_size(65_536));
    // Nothing reads meanwhile.
    for _ in 0..LIVES {
        tiny.run();
    }
    let child = tiny.start();
    assert!(row(&tracker, child.pid()).is_some());
    let found = tracker.verify().expect("the kernel tells");
    assert!(found.is_exact(), "{found:?}");

    eventually("all that happened was delivered or lost", || {
        stream.read();
        let seen = tracker.seen().expect("it can be read");
        let produced = seen.fork + seen.exec + seen.exit;
        (stream.all.len() as u64 + stream.lost == produced).then_some(())
    });
    assert!(stream.lost > LIVES, "{}", stream.lost);
    assert_eq!(
        tracker.losses().expect("it can be read").ring_full,
        stream.lost
    );

    // Now there is room.
    let pid = child.pid();
    assert!(child.release().success());
    assert_eq!(kinds(&stream.life(pid)), ["exit"]);
}

#[test]
fn a_table_rebuilt_from_the_stream_is_the_kernels() {
    let runs = repetitions(500) as usize;
    let tiny = Tiny::new();
    let (tracker, mut stream) = with(Tracker::builder().events(Kinds::LIFE).ring_size(16 << 20));
    let started = AtomicUsize::new(0);
    let (from, mut rebuilt, children) = thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let children: Vec<_> = (0..50).map(|_| tiny.start()).collect();
            for _ in 0..runs {
                tiny.run();
                started.fetch_add(1, Ordering::Relaxed);
            }
            children
        });
        // While all of these run.
        eventually("half has run", || {
            (started.load(Ordering::Relaxed) > runs / 2).then_some(())
        });
        let from = tracker.next_seq().expect("it can be read");
        let rebuilt = snapshot(&tracker);
        assert!(!worker.is_finished());
        (from, rebuilt, worker.join().expect("it ends"))
    });
    // Each run is a fork, an exec and an exit.
    assert!(from as usize > 3 * (runs / 2), "{from}");
    let mut at = from as usize;
    eventually("both are the same", || {
        stream.read();
        for event in stream.all.get(at..).unwrap_or_default() {
            let process = &event.process;
            match event.kind {
                EventKind::Exit(_) => {
                    rebuilt.remove(&process.pid);
                }
                _ => {
                    rebuilt.insert(process.pid, process.clone());
                }
            }
        }
        at = at.max(stream.all.len());
        let rows = |table: &HashMap<u32, Process>| -> HashMap<u32, Process> {
            let rows = table
                .iter()
                .map(|(&pid, process)| (pid, without_own_pid(process)));
            rows.collect()
        };
        (rows(&snapshot(&tracker)) == rows(&rebuilt)).then_some(())
    });
    assert!(
        children
            .iter()
            .all(|child| rebuilt.contains_key(&child.pid()))
    );
}

#[test]
fn a_stream_is_read_to_its_end_after_detaching() {
    let (mut tracker, mut stream) = tracker();
    let tiny = Tiny::new();
    for _ in 0..100 {
        tiny.run();
    }
    tracker.detach();
    stream.drain();
    let end = tracker.next_seq().expect("it can be read");
    assert!(end >= 300, "{end}");
    assert_eq!((stream.all.len() as u64, stream.lost), (end, 0));
    // Nothing is recorded after that.
    tiny.run();
    stream.drain();
    assert_eq!(stream.all.len() as u64, end);
}

#[test]
fn kinds_that_nobody_asked_for_are_not_told() {
    let (_tracker, mut stream) = with(Tracker::builder().events(Kinds::EXIT));
    for _ in 0..3 {
        let (pid, _) = run("exit 0");
        assert_eq!(kinds(&stream.life(pid)), ["exit"]);
    }
    let mut quiet = Tracker::builder().start().expect("the tracker starts");
    assert!(quiet.take_events().is_none());
}

#[test]
fn what_a_filter_holds_back_takes_no_room() {
    let child = Held::start(&mut held());
    let filter = Filter::new(Kinds::LIFE).pid(child.pid());
    let (tracker, mut stream) = with(Tracker::builder().events(filter).ring_size(4096));
    let tiny = Tiny::new();
    for _ in 0..100 {
        tiny.run();
    }
    let pid = child.pid();
    assert!(child.release().success());
    assert_eq!(kinds(&stream.life(pid)), ["exit"]);
    assert_eq!((stream.all.len(), stream.lost), (1, 0));
    assert_eq!(tracker.next_seq().expect("it can be read"), 1);
}

#[test]
fn an_event_has_as_many_ancestors_as_were_asked_for() {
    // The ancestors according to /proc, beginning with this process.
    let mut line = vec![];
    let mut pid = std::process::id();
    while let Some(process) = stat(pid) {
        line.push((process.pid, process.comm));
        pid = process.ppid;
    }
    for most in [1, 32] {
        let (_tracker, mut stream) = with(Tracker::builder().events(Kinds::LIFE).ancestors(most));
        let child = Held::start(held().args(["0", "some arguments"]));
        let pid = child.pid();
        assert!(child.release().success());
        let life = stream.life(pid);
        assert_eq!(kinds(&life), ["fork", "exec", "exit"]);
        for event in &life {
            let ancestors = event.ancestors.iter();
            let ancestors: Vec<_> = ancestors
                .map(|ancestor| (ancestor.pid, ancestor.comm().into_owned()))
                .collect();
            // The machine's first process has no ancestors.
            let expected = &line[..line.len().min(most as usize)];
            assert_eq!(ancestors[..expected.len()], *expected);
            assert!(ancestors.len() <= most as usize);
        }
        assert!(life[1].process.args().eq([HELD, "0", "some arguments"]));
    }
}
