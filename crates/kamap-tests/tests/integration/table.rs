//! The table, against what wait() and /proc say.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use kamap::{Clock, Origin, Process, Tracker};
use kamap_tests::{Held, Loaded, Stat, allow_many_files, eventually, processes, stat, ticks};
use rstest::rstest;

use crate::programs::{DROPPED, FORKED, HELD, THREADS, Tiny, held};

#[track_caller]
fn tracker() -> Tracker {
    Tracker::builder().start().expect("the tracker starts")
}

#[track_caller]
fn row(tracker: &Tracker, pid: u32) -> Option<Process> {
    tracker.table().get(pid).expect("the table can be read")
}

/// The rows of the children of this test, by PID.
#[track_caller]
fn snapshot(tracker: &Tracker) -> HashMap<u32, Process> {
    let snapshot = tracker.table().snapshot().expect("the table can be read");
    let mut rows = HashMap::new();
    for process in snapshot {
        let twice = rows.insert(process.pid, process);
        assert!(twice.is_none(), "a PID came twice: {twice:?}");
    }
    rows
}

/// What /proc says of a process, from its row.
fn as_stat(process: &Process) -> Stat {
    let lossy = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
    Stat {
        pid: process.pid,
        start: ticks(process.start_time),
        ppid: process.ppid,
        uid: process.uid,
        gid: process.gid,
        comm: process.comm().into_owned(),
        exe: process.exe().map(|exe| lossy(exe.as_os_str())),
        args: process.args().map(lossy).collect(),
        ended: false,
    }
}

#[test]
fn a_pid_appears_on_exec_and_disappears_on_exit() {
    let tracker = tracker();
    let child = Held::start(held().arg("7"));
    let pid = child.pid();

    let process = row(&tracker, pid).expect("it has exec'd");
    assert_eq!(process.origin, Origin::Exec);
    assert_eq!(process.execs, 1);
    assert!(snapshot(&tracker).contains_key(&pid));

    assert_eq!(child.release().code(), Some(7));
    assert_eq!(row(&tracker, pid), None);
    assert!(!snapshot(&tracker).contains_key(&pid));
}

#[test]
fn a_tracker_that_is_dropped_leaves_nothing_behind() {
    let mut child = Held::start(&mut Command::new(DROPPED));
    let loaded = Loaded::by(child.pid());
    assert_eq!(loaded.links.len(), 3, "{loaded:?}");
    assert!(!loaded.is_gone());
    child.say("\n");
    assert_eq!(child.line(), "", "it has dropped the tracker");
    assert_eq!(Loaded::by(child.pid()), Loaded::default());
    eventually("the kernel has freed all of it", || {
        loaded.is_gone().then_some(())
    });
    assert!(child.release().success());
}

#[test]
fn a_killed_process_disappears() {
    let tracker = tracker();
    let child = Held::start(&mut held());
    let pid = child.pid();
    assert!(row(&tracker, pid).is_some());
    assert_eq!(child.kill().signal(), Some(libc::SIGKILL));
    assert_eq!(row(&tracker, pid), None);
}

#[test]
fn a_row_says_what_proc_says() {
    let tracker = tracker();
    let before = Clock::since_boot();
    let child = Held::start(held().args(["0", "", "two words", "grün"]));
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    let after = Clock::since_boot();

    let expected = stat(child.pid()).expect("it is alive");
    assert_eq!(as_stat(&process), expected);
    assert_eq!(process.ppid, std::process::id());
    assert_eq!(process.comm(), "held");
    assert_eq!(
        process.args().skip(1).collect::<Vec<_>>(),
        ["0", "", "two words", "grün"]
    );
    assert_eq!(
        process.file().map(|file| file.as_os_str()),
        Some(HELD.as_ref())
    );
    assert!(!process.args_cut && !process.kernel_thread);

    let exec = process.last_exec_time.expect("it has exec'd");
    assert_eq!(process.first_exec_time, Some(exec));
    assert!(before <= process.start_time && process.start_time <= exec && exec <= after);
    let clock = tracker.clock().system_time(process.start_time);
    let off = clock
        .elapsed()
        .expect("it lies behind")
        .abs_diff(after - process.start_time);
    assert!(
        off < Duration::from_secs(10),
        "the time of day is off by {off:?}"
    );
}

#[test]
fn uid_and_gid_are_those_that_the_program_runs_with() {
    let tracker = tracker();
    // Not by name: another user may not be allowed to search the folder of HELD.
    let child = Held::start(
        Command::new("/bin/sh")
            .args(["-c", "echo; read x"])
            .uid(4711)
            .gid(4712),
    );
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    assert_eq!((process.uid, process.gid), (4711, 4712));
}

#[test]
fn a_setuid_program_shows_the_user_that_it_runs_as() {
    let tracker = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let sleep = folder.path().join("cat");
    fs::copy("/bin/cat", &sleep).expect("it can be copied");
    std::os::unix::fs::chown(&sleep, Some(4713), None).expect("root may chown");
    fs::set_permissions(&sleep, PermissionsExt::from_mode(0o4755)).expect("root may chmod");
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("root may chmod");

    let mut child = Command::new(&sleep)
        .uid(4711)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let process = eventually("it has exec'd", || {
        row(&tracker, child.id()).filter(|process| process.origin == Origin::Exec)
    });
    let expected = stat(child.id()).expect("it is alive").uid;
    child.wait().expect("it ends when its input does");
    assert_eq!((process.uid, expected), (4713, 4713));
}

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

    // Through a descriptor, since the name has gone.
    let file = fs::File::open(&copy).expect("it is there");
    fs::remove_file(&copy).expect("it can be removed");
    let by_fd = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
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
fn an_executable_on_another_mount_has_its_whole_path() {
    let tracker = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let nested = folder.path().join("nested");
    // The mounts live in a mount namespace of this child's.
    let script = "mount -t tmpfs none $1 && mkdir $1/a && mount -t tmpfs none $1/a && \
                  mkdir $1/a/b && cp $2 $1/a/b/held && exec $1/a/b/held";
    fs::create_dir(&nested).expect("it can be made");
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-ec", script, "sh"])
        .arg(&nested)
        .arg(HELD);
    let child = Held::start(&mut command);
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    assert_eq!(process.exe(), Some(nested.join("a/b/held").as_path()));
    assert_eq!(process.execs, 3);
}

#[test]
fn a_deep_executable_has_its_whole_path_and_a_long_one_the_end_of_it() {
    let tracker = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let deep = folder.path().join("d/".repeat(20));
    let long = folder.path().join("sixteen-letters-/".repeat(16));
    for (folder, whole) in [(deep, true), (long, false)] {
        fs::create_dir_all(&folder).expect("it can be made");
        let copy = folder.join("held");
        fs::copy(HELD, &copy).expect("it can be copied");
        let child = Held::start(&mut Command::new(&copy));
        let process = row(&tracker, child.pid()).expect("it has exec'd");
        let exe = process.exe().expect("it runs something");
        if whole {
            assert_eq!(exe, copy);
            assert_eq!(process.file(), Some(copy.as_path()));
        } else {
            let exe = exe.to_str().expect("it is UTF-8");
            let copy = copy.to_str().expect("it is UTF-8");
            let end = exe.strip_prefix('…').expect("it says that it is cut");
            assert!(end.starts_with('/') && end.len() > 200, "{exe}");
            assert!(copy.ends_with(end), "{exe}");
            let file = process.file().expect("it was named");
            let begin = file.to_str().and_then(|file| file.strip_suffix('…'));
            let begin = begin.expect("it says that it is cut");
            assert!(copy.starts_with(begin) && begin.len() == 255, "{begin}");
        }
    }
}

#[rstest]
#[case::fits(20, 10)]
#[case::one_argument_too_long(1, 2_000)]
#[case::many(2_000, 30)]
fn arguments_that_do_not_fit_are_cut_and_counted(#[case] count: usize, #[case] len: usize) {
    let tracker = tracker();
    let argument = "x".repeat(len);
    let child = Held::start(held().arg("0").args(std::iter::repeat_n(&argument, count)));
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    let all = stat(child.pid()).expect("it is alive").args;
    let kept: Vec<_> = process.args().map(|arg| arg.to_string_lossy()).collect();

    let fits = len * count < 500;
    assert_eq!(process.args_cut, !fits);
    let (last, whole) = kept.split_last().expect("there are some");
    assert_eq!(whole, &all[..whole.len()]);
    assert!(all[whole.len()].starts_with(&**last));
    if fits {
        assert_eq!(kept, all);
    } else {
        assert!(tracker.losses().expect("it can be read").args_cut >= 1);
    }
}

#[test]
fn a_fork_without_exec_is_a_row_of_its_own() {
    let tracker = tracker();
    let mut parent = Held::start(&mut Command::new(FORKED));
    let pid = parent.said().parse().expect("it prints a PID");

    let process = row(&tracker, pid).expect("it was forked");
    assert_eq!((process.origin, process.execs), (Origin::Fork, 0));
    assert_eq!(process.ppid, parent.pid());
    assert_eq!(
        (process.first_exec_time, process.last_exec_time),
        (None, None)
    );
    // What it inherited.
    assert_eq!(as_stat(&process), stat(pid).expect("it is alive"));

    parent.let_go();
    assert_eq!(parent.line(), "0", "the child has been waited for");
    assert_eq!(row(&tracker, pid), None);
    assert!(parent.release().success());
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

#[test]
fn what_was_alive_before_is_seeded_and_leaves_like_any_other() {
    let before = Held::start(&mut held());
    let pid = before.pid();
    let tracker = tracker();
    let process = row(&tracker, pid).expect("it was alive");
    assert_eq!((process.origin, process.execs), (Origin::Seed, 0));
    let mut known = as_stat(&process);
    let mut expected = stat(pid).expect("it is alive");
    // A test of their own.
    (known.args, expected.args) = (Vec::new(), Vec::new());
    assert_eq!(known, expected);
    before.release();
    assert_eq!(row(&tracker, pid), None);
}

#[test]
fn the_arguments_of_what_was_alive_before_are_read() {
    let before = Held::start(held().args(["0", "some argument"]));
    let tracker = tracker();
    let process = row(&tracker, before.pid()).expect("it was alive");
    assert_eq!(
        process.args().skip(1).collect::<Vec<_>>(),
        ["0", "some argument"]
    );
    assert!(!process.args_cut);
}

#[test]
fn a_zombie_is_no_live_process() {
    let mut zombie = Command::new("true").spawn().expect("it starts");
    let pid = zombie.id();
    eventually("it has ended", || stat(pid).filter(|stat| stat.ended));
    let tracker = tracker();
    assert_eq!(row(&tracker, pid), None);
    zombie.wait().expect("it can be reaped");
}

#[test]
fn the_threads_of_the_kernel_are_marked() {
    let tracker = tracker();
    let kthreadd = row(&tracker, 2).expect("it is always there");
    assert_eq!(kthreadd.comm(), "kthreadd");
    assert!(kthreadd.kernel_thread);
    assert_eq!((kthreadd.exe(), kthreadd.args().count()), (None, 0));
}

#[test]
fn threads_are_no_rows() {
    let tracker = tracker();
    let (tid, told) = std::sync::mpsc::channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        // SAFETY: takes nothing and cannot fail.
        tid.send(unsafe { libc::gettid() })
            .expect("somebody listens");
        ends.recv().ok();
    });
    let tid = told.recv().expect("it tells").cast_unsigned();
    assert_ne!(tid, std::process::id());
    assert_eq!(row(&tracker, tid), None);
    drop(end);
    thread.join().expect("it ends");
    assert!(
        row(&tracker, std::process::id()).is_some(),
        "its process lives on"
    );
}

#[test]
fn cgroup_ids_are_the_inode_numbers_of_their_folders() {
    struct Mounted(tempfile::TempDir);
    impl Drop for Mounted {
        fn drop(&mut self) {
            duct::cmd!("umount", self.0.path())
                .run()
                .expect("it can be unmounted");
        }
    }
    let cgroups = tempfile::tempdir().expect("a folder can be made");
    duct::cmd!("mount", "-t", "cgroup2", "none", cgroups.path())
        .run()
        .expect("it can be mounted");
    let cgroups = Mounted(cgroups);

    let tracker = tracker();
    let child = Held::start(&mut held());
    let text = fs::read_to_string(format!("/proc/{}/cgroup", child.pid())).expect("it is alive");
    let path = text
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .expect("there is v2");
    let folder = fs::metadata(cgroups.0.path().join(path)).expect("it is there");
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    assert_eq!(process.cgroup_id, folder.ino());
}

#[rstest]
#[case(1)]
#[case(10)]
#[case(1_000)]
fn children_at_once_are_all_seen_in_and_out(#[case] count: usize) {
    let tracker = tracker();
    allow_many_files();
    let tiny = Tiny::new();
    let children: Vec<_> = (0..count).map(|_| tiny.start()).collect();
    let pids: Vec<_> = children.iter().map(Held::pid).collect();

    let rows = snapshot(&tracker);
    for pid in &pids {
        let process = rows.get(pid).unwrap_or_else(|| panic!("{pid} is missing"));
        assert_eq!((process.origin, process.execs), (Origin::Exec, 1));
    }
    for child in children {
        assert!(child.release().success());
    }
    let rows = snapshot(&tracker);
    assert!(pids.iter().all(|pid| !rows.contains_key(pid)));
    assert_eq!(tracker.losses().expect("it can be read").total(), 0);
}

#[test]
fn twenty_thousand_children_in_sequence_are_all_seen_in_and_out() {
    const CHILDREN: u64 = 20_000;
    let tiny = Tiny::new();
    let tracker = tracker();
    for i in 0..CHILDREN {
        let child = tiny.start();
        let pid = child.pid();
        let process = row(&tracker, pid).unwrap_or_else(|| panic!("number {i}, {pid}, is missing"));
        assert_eq!(
            (process.origin, process.execs),
            (Origin::Exec, 1),
            "number {i}"
        );
        assert!(child.release().success());
        assert_eq!(row(&tracker, pid), None, "number {i} is still there");
    }
    let seen = tracker.seen().expect("it can be read");
    assert!(
        seen.fork >= CHILDREN && seen.exec >= CHILDREN && seen.exit >= CHILDREN,
        "{seen:?}"
    );
    assert_eq!(tracker.losses().expect("it can be read").total(), 0);
}

#[test]
fn a_process_whose_main_thread_leaves_first_lives_on() {
    let tracker = tracker();
    let mut child = Held::start(Command::new(THREADS).arg("leader-first"));
    let pid = child.pid();
    eventually("its main thread has left", || {
        stat(pid).filter(|stat| stat.ended)
    });
    let process = row(&tracker, pid).expect("it lives on");
    assert_eq!((process.origin, process.execs), (Origin::Exec, 1));
    // What was alive before is told apart in the same way.
    let later = self::tracker();
    assert_eq!(row(&later, pid).expect("it lives on").origin, Origin::Seed);

    child.let_go();
    // Of the first thread or the last: that depends on the kernel.
    assert!(matches!(child.release().code(), Some(3 | 5)));
    assert_eq!(row(&tracker, pid), None);
    assert_eq!(row(&later, pid), None);
    assert_eq!(tracker.losses().expect("it can be read").total(), 0);
}

#[test]
fn a_thread_that_execs_takes_its_process_along() {
    let tracker = tracker();
    let mut child = Held::start(Command::new(THREADS).args(["exec", "/bin/cat"]));
    let pid = child.pid();
    let start = row(&tracker, pid).expect("it has exec'd").start_time;
    child.let_go();
    // `cat` finds its input closed and ends, so catch it, or its end.
    let execs = eventually("it has exec'd", || match row(&tracker, pid) {
        Some(process) if process.execs == 1 => None,
        row => Some(row),
    });
    if let Some(process) = execs {
        assert_eq!((process.execs, process.start_time), (2, start));
        assert_eq!(process.comm(), "cat");
    }
    assert!(child.release().success());
    assert_eq!(row(&tracker, pid), None);
}

#[test]
fn threads_that_leave_together_are_one_process() {
    let tracker = tracker();
    for _ in 0..200 {
        let child = Held::start(Command::new(THREADS).arg("together"));
        let pid = child.pid();
        assert!(row(&tracker, pid).is_some());
        assert!(child.release().code().is_some());
        assert_eq!(row(&tracker, pid), None);
    }
    assert_eq!(tracker.losses().expect("it can be read").total(), 0);
}

#[test]
fn a_full_table_counts_what_it_cannot_hold_and_recovers() {
    const CHILDREN: usize = 300;
    allow_many_files();
    let tiny = Tiny::new();
    // Other tests come and go meanwhile, so nothing here counts on an exact number.
    let room = processes().len() as u32 + 150;
    let tracker = Tracker::builder()
        .max_entries(room)
        .start()
        .expect("the tracker starts");
    assert_eq!(tracker.table().max_entries(), room);

    let children: Vec<_> = (0..CHILDREN).map(|_| tiny.start()).collect();
    let mut refused = eventually("one finds the table full when it execs, too", || {
        let script = "echo; read x; exec \"$0\"";
        let child = Held::start(Command::new("sh").args(["-c", script, HELD]));
        row(&tracker, child.pid()).is_none().then_some(child)
    });
    let rows = snapshot(&tracker);
    let missing = |child: &&Held| !rows.contains_key(&child.pid());
    let missing = children.iter().filter(missing).count() as u64;
    assert!(missing > 0 && rows.len() <= room as usize, "{missing}");
    // Each of them, and the last one, was counted when it started.
    let losses = tracker.losses().expect("it can be read");
    assert!(losses.table_full > missing, "{losses:?}, {missing} missing");
    assert_eq!(losses.total(), losses.table_full);
    assert!(losses.first_refused_pid.is_some());

    // What leaves makes room: for what starts, and for what execs.
    for child in children {
        assert!(child.release().success());
    }
    eventually("there is room", || {
        (snapshot(&tracker).len() + 100 <= room as usize).then_some(())
    });
    let child = tiny.start();
    assert_eq!(row(&tracker, child.pid()).expect("there is room").execs, 1);
    refused.say("\n");
    assert_eq!(refused.line(), "", "it has exec'd");
    let process = row(&tracker, refused.pid()).expect("there is room");
    assert_eq!((process.origin, process.execs), (Origin::Exec, 1));
}

#[test]
fn a_tracker_that_starts_amid_a_storm_is_exact() {
    let tiny = Tiny::new();
    let tiny = &tiny;
    let trackers_left = &AtomicUsize::new(5);
    let trackers: Vec<_> = thread::scope(|scope| {
        let storm = move || (0..20_000).take_while(|_| trackers_left.load(Ordering::Relaxed) > 0);
        for _ in 0..3 {
            scope.spawn(move || storm().for_each(|_| tiny.run()));
        }
        let start = |_| {
            let tracker = tracker();
            trackers_left.fetch_sub(1, Ordering::Relaxed);
            tracker
        };
        (0..5).map(start).collect()
    });
    for tracker in &trackers {
        compare_with_proc(tracker);
        assert_eq!(tracker.losses().expect("it can be read").total(), 0);
    }
}

#[test]
fn the_table_holds_what_proc_holds() {
    compare_with_proc(&tracker());
}

/// Both directions: what lives throughout is in the table, and what is in the
/// table lives, or started meanwhile.
#[track_caller]
fn compare_with_proc(tracker: &Tracker) {
    let begun = ticks(Clock::since_boot());
    let before = processes();
    let rows = snapshot(tracker);
    let after = processes();

    let identity = |stat: &Stat| (stat.pid, stat.start);
    let mut compared = 0;
    for stat in before.iter().filter(|stat| !stat.ended) {
        let Some(later) = after.iter().find(|later| identity(later) == identity(stat)) else {
            continue;
        };
        if later.ended {
            continue;
        }
        let process = rows
            .get(&stat.pid)
            .unwrap_or_else(|| panic!("missing: {stat:?}"));
        assert_eq!(ticks(process.start_time), stat.start);
        compared += 1;
    }
    assert!(compared > 10, "only {compared} processes were compared");
    for process in rows.values() {
        let known = |stat: &&Stat| identity(stat) == (process.pid, ticks(process.start_time));
        assert!(
            before.iter().chain(&after).any(|stat| known(&stat))
                || ticks(process.start_time) >= begun,
            "a ghost: {process:?}"
        );
    }
}
