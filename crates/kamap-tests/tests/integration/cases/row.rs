//! The fields of a row.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use kamap::{Clock, Origin};
use kamap_tests::table::{as_stat, row, tracker};
use kamap_tests::{Cgroups, Held, eventually, stat};
use rstest::rstest;

use crate::programs::{HELD, held};

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
    // By descriptor, because another user may not have access to the folder of HELD.
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
fn a_user_that_a_process_becomes_is_shown_across_an_exec() {
    let tracker = tracker();
    let script = "echo; read x
                  exec setpriv --reuid=4711 --regid=4712 --clear-groups sh -c 'echo; read x'";
    let mut child = Held::start(Command::new("sh").args(["-c", script]));
    let pid = child.pid();
    let before = row(&tracker, pid).expect("it has exec'd");
    assert_eq!((before.uid, before.gid, before.execs), (0, 0, 1));

    child.say("\n");
    assert_eq!(child.line(), "", "it has exec'd");
    let process = row(&tracker, pid).expect("it has exec'd");
    assert_eq!((process.uid, process.gid, process.execs), (4711, 4712, 3));
    assert_eq!(as_stat(&process), stat(pid).expect("it is alive"));
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
fn the_threads_of_the_kernel_are_marked() {
    let tracker = tracker();
    let kthreadd = row(&tracker, 2).expect("it is always there");
    assert_eq!(kthreadd.comm(), "kthreadd");
    assert!(kthreadd.kernel_thread);
    assert_eq!((kthreadd.exe(), kthreadd.args().count()), (None, 0));
}

#[test]
fn cgroup_ids_are_the_inode_numbers_of_their_folders() {
    let cgroups = Cgroups::mount();
    let tracker = tracker();
    let child = Held::start(&mut held());
    let text = fs::read_to_string(format!("/proc/{}/cgroup", child.pid())).expect("it is alive");
    let path = text
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .expect("there is v2");
    let folder = fs::metadata(cgroups.root().join(path)).expect("it is there");
    let process = row(&tracker, child.pid()).expect("it has exec'd");
    assert_eq!(process.cgroup_id, folder.ino());
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
fn an_executable_on_another_mount_has_its_whole_path() {
    let tracker = tracker();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let nested = folder.path().join("nested");
    // The mounts are in a mount namespace of the child.
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

#[test]
fn a_row_has_the_pid_of_the_process_in_its_own_namespace() {
    let tracker = tracker();
    let outside = Held::start(&mut held());
    // The shell is the first process of its namespace, what it starts the second.
    let script = "exec 3<&0; \"$0\" <&3 & wait";
    let mut unshare = Command::new("unshare");
    let inside = Held::start(unshare.args(["--pid", "--fork", "sh", "-c", script, HELD]));
    let of = |ppid: u32| {
        let table = tracker.table().snapshot().expect("it is read");
        let mut children = table.into_iter().filter(|process| process.ppid == ppid);
        children.next().expect("it has a child")
    };
    let shell = of(inside.pid());
    let child = of(shell.pid);
    let namespace = |pid: u32| {
        let namespace = fs::metadata(format!("/proc/{pid}/ns/pid"));
        namespace.map(|namespace| namespace.ino() as u32).ok()
    };
    for (process, vpid) in [(&shell, 1), (&child, 2)] {
        assert_eq!(process.vpid, Some(vpid));
        assert_eq!(process.pid_ns, namespace(process.pid));
        assert_ne!(process.pid_ns, namespace(outside.pid()));
    }
    let process = row(&tracker, outside.pid()).expect("it is alive");
    assert_eq!(process.vpid, Some(outside.pid()));
    assert_eq!(process.pid_ns, namespace(outside.pid()));
    assert!(outside.release().success());
    assert!(inside.release().success());
}
