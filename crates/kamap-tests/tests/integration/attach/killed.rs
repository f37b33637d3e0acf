//! What is left of an attach that is killed together with its guard.

use std::fs;
use std::process::{Child, Command, Stdio};

use kamap_tests::{eventually, processes};
use serde_json::Value;

use super::{Place, text};
use crate::programs::KAMAP;

/// A `kamap attach` that has stopped, and its guard.
pub(super) struct StoppedAttach {
    strace: Child,
    pid: u32,
    guard: u32,
}

impl StoppedAttach {
    /// Runs `kamap` with these arguments and stops it after its first call of `syscall`, a name or
    /// `/` and a pattern.
    #[track_caller]
    pub(super) fn after(place: &Place, syscall: &str, arguments: &[&str]) -> Self {
        let trace = tempfile::NamedTempFile::new().expect("a file can be made");
        let mut strace = Command::new("strace");
        // Only kamap itself, not its guard: without -f.
        strace.args(["-qq", "-o"]).arg(trace.path());
        strace.arg("-e").arg(format!("trace={syscall}"));
        strace
            .arg("-e")
            .arg(format!("inject={syscall}:signal=STOP:when=1"));
        strace.arg(KAMAP).args(arguments).arg("--dir");
        let strace = strace.arg(place.dir()).stdin(Stdio::null()).spawn();
        let strace = strace.expect("it starts");
        eventually("it has stopped", || {
            let trace = fs::read_to_string(trace.path()).ok()?;
            trace.contains("stopped by SIGSTOP").then_some(())
        });
        let pid = child_of(strace.id()).expect("it has not ended");
        let guard = child_of(pid).expect("it has a guard");
        Self { strace, pid, guard }
    }

    /// Kills both, at once as far as they can tell.
    pub(super) fn kill(self) {
        // SAFETY: takes numbers. Nobody has waited for the guard, since its parent is stopped.
        let killed = unsafe { libc::kill(self.guard.cast_signed(), libc::SIGKILL) };
        assert_eq!(killed, 0);
        self.kill_without_guard();
    }

    /// Lets its guard do its work.
    pub(super) fn kill_without_guard(mut self) {
        // SAFETY: takes numbers. Nobody has waited for it, since it has not ended.
        let killed = unsafe { libc::kill(self.pid.cast_signed(), libc::SIGKILL) };
        assert_eq!(killed, 0);
        self.strace.wait().expect("it is a child");
        let proc = format!("/proc/{}", self.pid);
        eventually("it has gone", || (!fs::exists(&proc).ok()?).then_some(()));
    }
}

/// The child of a process that has one.
fn child_of(pid: u32) -> Option<u32> {
    let mut all = processes().into_iter();
    Some(all.find(|process| process.ppid == pid)?.pid)
}

/// What a second attach on its way has left.
fn leave_something(place: &Place, arguments: &[&str]) -> String {
    let stopped = StoppedAttach::after(place, "/chmod", arguments);
    let folder = format!("kamap-new-{}", stopped.pid);
    // Of one that is at work, nothing is left.
    let running = place.run(&["status"]);
    let said = text(&running.stdout) + &text(&running.stderr);
    assert!(!said.contains(&folder), "{said}");
    stopped.kill();
    assert!(place.names().contains(&folder), "{:?}", place.names());
    folder
}

#[test]
fn what_a_killed_attach_and_its_killed_guard_leave_is_named_and_removed_by_the_next_attach() {
    let place = Place::new();
    let folder = leave_something(&place, &["attach"]);
    let refusal = place.refuses(&["status"]);
    assert!(refusal.contains("nothing is attached"), "{refusal}");
    assert!(refusal.contains(&folder), "{refusal}");
    assert!(
        refusal.contains("left of a killed `kamap attach`"),
        "{refusal}"
    );
    place.says(&["attach"]);
    assert_eq!(place.names(), ["kamap"]);
    let status = place.json(&["status", "--json"]);
    assert_eq!(status["leftovers"], Value::Array(Vec::new()));
}

#[test]
fn what_a_killed_replacement_leaves_is_named_beside_what_is_attached_and_removed_by_the_next() {
    let place = Place::new();
    place.says(&["attach"]);
    let folder = leave_something(&place, &["attach", "--replace"]);
    let said = place.says(&["status"]);
    assert!(said.contains(&folder), "{said}");
    let status = place.json(&["status", "--json"]);
    let path = place.bpffs.at(&folder);
    assert_eq!(status["leftovers"], serde_json::json!([path]));
    place.says(&["attach", "--replace"]);
    assert_eq!(place.names(), ["kamap"]);
}

#[test]
fn what_a_killed_attach_leaves_is_removed_by_a_detach_that_finds_nothing_else() {
    let place = Place::new();
    leave_something(&place, &["attach"]);
    place.says(&["detach", "--if-attached"]);
    assert_eq!(place.names(), [""; 0]);
}
