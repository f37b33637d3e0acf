//! The commands of `docs/cookbook.md`, as they are written there.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kamap_tests::{Cgroups, Held, Loaded, eventually, executable};
use tempfile::TempDir;

use crate::programs::{HELD, KAMAP, kamap};

const PAGE: &str = include_str!("../../../../docs/cookbook.md");

/// The command below a heading.
#[track_caller]
fn recipe(heading: &str) -> &'static str {
    let (_, section) = PAGE
        .split_once(&format!("## {heading}\n"))
        .expect("it is there");
    let (_, block) = section
        .split_once("```console\n$ ")
        .expect("it has a command");
    block.lines().next().expect("it is a line")
}

/// A shell that runs the command: as root, in `folder`, where a history is.
fn shell(heading: &str, folder: &Path) -> Command {
    let functions = "sudo() { \"$@\"; }
        kamap() {
            case $1 in
            history) \"$KAMAP\" \"$1\" --dir \"$HISTORY\" \"${@:2}\" ;;
            *) \"$KAMAP\" \"$@\" ;;
            esac
        }";
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &format!("{functions}\n{}", recipe(heading))])
        .current_dir(folder)
        .env("KAMAP", KAMAP)
        .env("HISTORY", folder.join("history"))
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null());
    shell
}

/// What the command prints. It has to exit with `code`.
#[track_caller]
fn output(heading: &str, folder: &Path, code: i32) -> String {
    let ran = shell(heading, folder).output().expect("it runs");
    let [out, err] =
        [ran.stdout, ran.stderr].map(|text| String::from_utf8(text).expect("it is UTF-8"));
    assert_eq!(ran.status.code(), Some(code), "{out}{err}");
    out + &err
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

/// Records while `run` runs.
#[track_caller]
fn record(folder: &Path, run: impl FnOnce()) {
    let history = folder.join("history");
    let mut record = kamap(&["record", "--own"]);
    let mut record = record
        .arg("--dir")
        .arg(&history)
        .spawn()
        .expect("it starts");
    eventually("it records", || {
        fs::exists(&history)
            .is_ok_and(|is_there| is_there)
            .then_some(())
    });
    eventually("its programs are attached", || {
        (!Loaded::by(record.id()).is_gone()).then_some(())
    });
    run();
    // SAFETY: the child has not been waited for, so the PID is its own.
    unsafe { libc::kill(record.id().cast_signed(), libc::SIGTERM) };
    assert!(record.wait().expect("it is a child").success());
}

#[test]
fn a_cron_job_is_shown_with_all_that_it_ran() {
    let folder = folder();
    let path = folder.path().join("backup");
    let job = "#!/bin/sh\ngzip -c /etc/hostname >/dev/null\nsh -c 'exit 7' || exit 1\n";
    executable(folder.path(), "backup", job.as_bytes());
    record(folder.path(), || {
        let job = Command::new(&path).status();
        assert_eq!(job.expect("it runs").code(), Some(1));
    });
    let shown = output("What did the cron job do?", folder.path(), 0);
    let line = |command: &str| {
        let line = shown.lines().position(|line| line.ends_with(command));
        line.unwrap_or_else(|| panic!("{command}: {shown}"))
    };
    let (job, gzip, failed) = (
        line(&format!("/bin/sh {}", path.display())),
        line("├─ gzip -c /etc/hostname"),
        line("└─ sh -c 'exit 7'"),
    );
    assert!(job < gzip && gzip < failed, "{shown}");
    let status = |at: usize| {
        shown
            .lines()
            .nth(at)
            .and_then(|line| line.split_whitespace().nth(7))
    };
    assert_eq!(
        [job, gzip, failed].map(status),
        ["1", "0", "7"].map(Some),
        "{shown}"
    );
}

#[test]
fn what_starts_many_processes_is_found() {
    let folder = folder();
    let path = executable(
        folder.path(),
        "spawner",
        b"#!/bin/sh\nwhile :; do /bin/true; done\n",
    );
    let mut spawner = Command::new(path)
        .process_group(0)
        .spawn()
        .expect("it starts");
    let shown = output("What starts so many processes?", folder.path(), 0);
    spawner.kill().expect("it runs");
    spawner.wait().expect("it is a child");
    let line = shown.lines().find(|line| line.ends_with("spawner"));
    let started = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    assert!(started > Some(10.0), "{shown}");
}

#[test]
fn the_step_that_fails_is_named() {
    let folder = folder();
    fs::write(
        folder.path().join("Makefile"),
        "check:\n\t@sh -c 'exit 5'\n",
    )
    .expect("it can be written");
    let shown = output("Which step made the build fail?", folder.path(), 2);
    let (_, failed) = shown.split_once("\nFailed:\n").expect("some failed");
    assert!(
        failed.contains("sh -c 'exit 5'") && failed.contains("make -s check"),
        "{shown}"
    );
}

/// A cgroup as systemd makes one for a service, beside those that there are.
fn service(cgroups: &Cgroups) -> PathBuf {
    let slice = format!("system.slice/system-cookbook{}.slice", std::process::id());
    cgroups.root().join(slice).join("nginx.service")
}

/// Runs something named `nginx` in that cgroup.
fn nginx(folder: &Path, cgroups: &Cgroups) -> Held {
    let service = service(cgroups);
    fs::create_dir_all(&service).expect("groups can be made");
    let path = folder.join("nginx");
    fs::copy(HELD, &path).expect("it can be copied");
    let script = format!(
        "echo $$ >{}/cgroup.procs; exec {}",
        service.display(),
        path.display()
    );
    Held::start(Command::new("sh").args(["-c", &script]))
}

#[test]
fn a_process_is_shown_with_its_service_and_in_its_tree() {
    let (folder, cgroups) = (folder(), Cgroups::mount());
    let nginx = nginx(folder.path(), &cgroups);
    let heading = "Which service does this process belong to?";
    // Other processes of that name may run on this machine.
    let pgrep = folder.path().join("pgrep");
    executable(
        folder.path(),
        "pgrep",
        format!("#!/bin/sh\necho {}\n", nginx.pid()).as_bytes(),
    );
    assert!(pgrep.exists());
    let path = format!(
        "{}:{}",
        folder.path().display(),
        std::env::var("PATH").expect("it is set")
    );
    let ran = shell(heading, folder.path())
        .env("PATH", path)
        .output()
        .expect("it runs");
    let shown = String::from_utf8(ran.stdout).expect("it is UTF-8");
    let row = shown.lines().nth(1).expect("it has a row");
    let words: Vec<_> = row.split_whitespace().collect();
    assert_eq!(
        words[..3],
        [&*nginx.pid().to_string(), "root", "nginx.service"],
        "{shown}"
    );

    let shown = output("Who started whom, and how long ago?", folder.path(), 0);
    let pid = nginx.pid().to_string();
    let row = shown
        .lines()
        .find(|line| line.trim_start().starts_with(&pid));
    assert!(row.is_some_and(|row| row.ends_with("/nginx")), "{shown}");
    assert!(nginx.release().success());
    let service = service(&cgroups);
    eventually("its groups can be removed", || {
        fs::remove_dir(&service).ok()
    });
    fs::remove_dir(service.parent().expect("it is in a slice")).expect("it is empty");
    // Where systemd runs, it has other groups, and stays.
    let _ = fs::remove_dir(cgroups.root().join("system.slice"));
}

#[test]
fn a_long_command_line_is_shown_whole() {
    let folder = folder();
    let java = folder.path().join("java");
    fs::copy("/bin/true", &java).expect("it can be copied");
    let mut shell = shell("What are all 20 KB of that command line?", folder.path());
    let mut shell = shell.stdout(Stdio::piped()).spawn().expect("it starts");
    let path: String = (0..1000)
        .map(|number| format!("/opt/app/lib/{number:04}.jar:"))
        .collect();
    // Until it watches.
    eventually("it has seen one", || {
        let ran = Command::new(&java).args(["-cp", &path]).status();
        assert!(ran.expect("it runs").success());
        shell.try_wait().expect("it is a child")
    });
    let ran = shell.wait_with_output().expect("it has ended");
    let shown = String::from_utf8(ran.stdout).expect("it is UTF-8");
    let len: usize = shown.trim().parse().expect("it is a number");
    assert!(len > path.len() && len < path.len() + 500, "{shown}");
}

#[test]
fn what_a_user_executes_is_shown() {
    let folder = folder();
    let mut shell = shell("What did www-data execute?", folder.path());
    // It prints the headings when it watches.
    let mut following = Held::start(shell.process_group(0));
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ls / >/dev/null; exit 4"]).uid(33);
    assert_eq!(command.status().expect("it runs").code(), Some(4));
    let mut lines = Vec::new();
    let is_last =
        |line: &String| line.split_whitespace().nth(1) == Some("exit") && line.ends_with("exit 4'");
    while !lines.last().is_some_and(is_last) {
        lines.push(following.line());
    }
    let is_ls = |line: &String| line.contains(" exec ") && line.ends_with("ls /");
    assert!(lines.iter().any(is_ls), "{lines:?}");
    assert!(
        lines.iter().all(|line| line.contains("www-data")),
        "{lines:?}"
    );
    // SAFETY: the group is that of the child, which has not been waited for.
    unsafe { libc::kill(-following.pid().cast_signed(), libc::SIGTERM) };
    following.wait();
}

#[test]
fn the_ends_of_a_day_are_counted() {
    let folder = folder();
    record(folder.path(), || {
        for code in [9, 9, 0] {
            let script = format!("exit {code}");
            let ran = Command::new("sh").args(["-c", &script]).status();
            assert_eq!(ran.expect("it runs").code(), Some(code));
        }
    });
    let shown = output("How did everything end today?", folder.path(), 0);
    let line = shown
        .lines()
        .find(|line| line.ends_with("  9"))
        .unwrap_or_else(|| panic!("{shown}"));
    let count: u32 = line
        .split_whitespace()
        .next()
        .expect("it has a count")
        .parse()
        .expect("it is a number");
    assert!(count >= 2, "{shown}");
}
