//! What processes exec, and how.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use kamap_tests::{Held, stat};

use crate::fixtures::{as_stat, row, tracker};
use crate::programs::HELD;

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
