//! Which processes the default view shows, and how JSON identifies them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use kamap_tests::Held;
use kamap_tests::command::{Tables, output, row, rows};
use serde_json::{Value, json};

use crate::programs::{FORKED, KAMAP, held, kamap};

/// A shell that prints a line, and forks for each line that it reads.
const FORKING: &str = "echo; while read x; do (echo; read y); done";

#[test]
fn a_fork_of_a_program_that_was_executed_since_is_shown() {
    let mut kamap = Tables::start(kamap(&[]));
    let daemon = Held::start(&mut Command::new(FORKED));
    let child: u32 = daemon.said().parse().expect("it prints a PID");
    let table = kamap.fresh_table();
    let shown = row(&table, child).expect("its program was executed since");
    assert_eq!(
        (&shown["origin"], &shown["execs"]),
        (&json!("fork"), &json!(0))
    );
    assert_eq!(shown["args"], json!([FORKED]));
    assert_eq!(
        row(&table, daemon.pid()).expect("it has exec'd")["origin"],
        "exec"
    );
}

#[test]
fn a_subshell_of_a_shell_that_was_there_is_not_shown_unless_asked_for() {
    let mut shell = Held::start(Command::new("sh").args(["-c", FORKING]));
    let (mut kamap, mut all) = (Tables::start(kamap(&[])), Tables::start(kamap(&["--all"])));
    shell.say("\n");
    assert_eq!(shell.line(), "", "it has forked");
    let ppid = shell.pid();
    let of_shell = |table: &Value| {
        let forked = rows(table).iter().filter(|row| row["ppid"] == ppid);
        forked.cloned().collect::<Vec<_>>()
    };
    let forked = of_shell(&all.fresh_table());
    assert_eq!(forked.len(), 1, "{forked:?}");
    assert_eq!(forked[0]["origin"], "fork");
    let table = kamap.fresh_table();
    assert!(of_shell(&table).is_empty() && row(&table, ppid).is_none());
}

#[test]
fn a_process_that_is_asked_for_by_its_pid_is_shown_whatever_its_origin() {
    let before = Held::start(&mut held());
    let forked = Held::start(&mut Command::new(FORKED));
    let child = forked.said().parse().expect("a PID");
    let asked = BTreeSet::from([1, before.pid(), child]);
    let pids: Vec<_> = asked.iter().map(u32::to_string).collect();
    let table = output(kamap(&["--once", "--json", "--pid", &pids.join(",")]));
    let table: Value = serde_json::from_str(&table).expect("it is JSON");
    let pids = rows(&table).iter().map(|row| row["pid"].as_u64());
    assert_eq!(
        pids.collect::<BTreeSet<_>>(),
        asked.iter().map(|&pid| Some(pid.into())).collect()
    );
}

#[test]
fn a_pid_that_no_process_has_is_an_error() {
    let mut gone = Command::new("true").spawn().expect("it starts");
    let pid = gone.id().to_string();
    gone.wait().expect("it ends");
    let output = Command::new(KAMAP)
        .args(["--once", "--pid", &pid])
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let stderr = String::from_utf8(output.stderr).expect("it is UTF-8");
    assert_eq!(stderr, format!("kamap: no process has PID {pid}\n"));
}

#[test]
fn an_empty_first_table_says_what_will_appear() {
    let mut kamap = Command::new(KAMAP);
    let mut kamap = Held::start(kamap.args(["--interval", "20ms", "--ppid", "4294967295"]));
    assert!(kamap.said().contains("COMMAND"));
    let line = kamap.line();
    assert!(line.starts_with("(processes ") && line.contains("appear here when they exec"));
    assert!(line.contains("--all"), "{line}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first line of `kamap events`, and the events of the process that `run` starts and waits for.
#[track_caller]
fn events(run: impl FnOnce() -> u32) -> (Value, Vec<Value>) {
    let mut kamap = Command::new(KAMAP);
    let kinds = "fork,exec,exec_failed,exit";
    let mut kamap =
        Held::start(kamap.args(["events", "--json", "--ancestors", "1", "--kind", kinds]));
    let first = serde_json::from_str(kamap.said()).expect("it is JSON");
    // The first line is printed when the programs are attached.
    let pid = run();
    let mut life = Vec::new();
    loop {
        let line: Value = serde_json::from_str(&kamap.line()).expect("it is JSON");
        if line["seq"].is_u64() {
            let above = &line["ancestors"][0];
            assert_eq!(
                above["start_boottime_ns"], line["parent"]["start_boottime_ns"],
                "{line}"
            );
            assert_eq!(
                (&above["pid"], &line["ppid"]),
                (&line["parent"]["pid"], &above["pid"])
            );
        }
        if line["pid"] == pid {
            let is_exit = line["type"] == "exit";
            life.push(line);
            if is_exit {
                return (first, life);
            }
        }
    }
}

#[test]
fn json_has_the_exact_bytes_and_the_identity_of_process_parent_and_boot() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let name = b"\xff\xc3(x".to_vec();
    let path = folder.path().join(OsString::from_vec(name.clone()));
    std::fs::copy(kamap_tests::TINY, &path).expect("it can be copied");
    let (first, life) = events(|| {
        let name = OsString::from_vec(name.clone());
        let child = Held::start(Command::new(&path).arg0(&name).arg("0").arg(&name));
        let pid = child.pid();
        assert!(child.release().success());
        pid
    });
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let boot_id = boot_id.expect("there is /proc");
    assert_eq!((&first["type"], &first["v"]), (&json!("stream"), &json!(1)));
    assert_eq!(first["boot_id"], boot_id.trim());
    let kinds: Vec<_> = life.iter().map(|event| event["type"].as_str()).collect();
    assert_eq!(kinds, [Some("fork"), Some("exec"), Some("exit")]);
    let path = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    for event in &life[1..] {
        assert_eq!(event["comm_hex"], hex(&name));
        assert_eq!(
            (&event["exe_hex"], &event["file_hex"]),
            (&json!(hex(path)), &json!(hex(path)))
        );
        assert_eq!(
            event["args_hex"],
            json!([hex(&name), hex(b"0"), hex(&name)])
        );
        assert_eq!(event["start_boottime_ns"], life[0]["start_boottime_ns"]);
        assert_eq!(event["parent"]["pid"], std::process::id());
    }
    let own = std::process::id();
    let me = output(kamap(&["--once", "--json", "--pid", &own.to_string()]));
    let me: Value = serde_json::from_str(&me).expect("it is JSON");
    assert_eq!(me["boot_id"], first["boot_id"]);
    let me = row(&me, own).expect("it is alive");
    assert_eq!(
        me["start_boottime_ns"],
        life[1]["parent"]["start_boottime_ns"]
    );
    assert!(
        me.get("comm_hex").is_none() && me.get("args_hex").is_none(),
        "{me}"
    );
}

#[test]
fn json_has_an_empty_file_where_the_empty_path_was_to_be_executed() {
    let (_, life) = events(|| {
        let mut child = Held::start(&mut Command::new(crate::programs::FAILS));
        child.say("1 \n");
        assert_eq!(child.line(), libc::ENOENT.to_string());
        let pid = child.pid();
        assert!(child.release().success());
        pid
    });
    let failed = life.iter().find(|event| event["type"] == "exec_failed");
    let failed = failed.expect("one has failed");
    assert_eq!(
        (&failed["file"], &failed["errno"]),
        (&json!(""), &json!("ENOENT"))
    );
}
