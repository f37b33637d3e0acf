//! What is lost because the ring or the table has no room.

use std::process::Command;

use kamap_tests::{Held, Tiny};
use serde_json::Value;

use super::load::{Ran, status};
use super::{Folder, gaps};
use crate::programs::held;

#[test]
fn what_a_full_ring_loses_is_shown_at_its_place_and_the_table_is_whole_again_after_it() {
    let folder = Folder::new();
    let mut recording = folder.record(&["--ring-size", "262144"]);
    let tiny = Tiny::new();
    let before = Ran::words(&["sh", "-c", "exit 5"]);
    let ends: Vec<_> = (0..20).map(|_| Held::start(&mut held())).collect();
    let goes_on = Held::start(&mut held());
    folder.catch_up(&mut recording);
    recording.signal(libc::SIGSTOP);
    let lives = |count: &str| {
        let ran = Command::new(tiny.path()).args(["lives", count]).status();
        assert!(ran.expect("it runs").success());
    };
    lives("3000");
    let ended: Vec<_> = ends.iter().map(Held::pid).collect();
    for held in ends {
        assert!(held.release().success());
    }
    let begun = Held::start(&mut held());
    lives("3000");
    recording.signal(libc::SIGCONT);
    folder.go_on(&mut recording);
    let after = Ran::words(&["sh", "-c", "exit 7"]);
    folder.catch_up(&mut recording);
    assert_eq!(status(&folder.lives_of(after.pid)[0]), Some(7 << 8));
    for &pid in &ended {
        folder.until_ended(pid);
    }
    let lines = folder.lines();
    let gaps = gaps(&lines);
    assert!(!gaps.is_empty());
    assert!(gaps[0]["lost"]["ring_full"].as_u64() > Some(0), "{gaps:?}");
    let place = |is_it: &dyn Fn(&Value) -> bool| lines.iter().position(is_it).expect("it is there");
    let first = place(&|line| line["pid"] == before.pid);
    let gap = place(&|line| line["type"] == "gap");
    let last = place(&|line| line["pid"] == after.pid);
    assert!(first < gap && gap < last, "{first} {gap} {last}");
    let one = |pid: u32| {
        let lives: Vec<_> = lines.iter().filter(|line| line["pid"] == pid).collect();
        assert_eq!(lives.len(), 1, "{lives:?}");
        lives[0]
    };
    for pid in ended {
        assert_eq!(one(pid)["running"], false, "{}", one(pid));
    }
    assert_eq!(one(goes_on.pid())["running"], true);
    assert_eq!(one(begun.pid())["running"], true);
    assert_eq!(one(begun.pid())["args"], one(goes_on.pid())["args"]);
    // Whatever it says is running does run.
    let running: Vec<i64> = folder.query("SELECT pid FROM lives WHERE end IS NULL");
    folder.catch_up(&mut recording);
    let still: Vec<i64> = folder.query("SELECT pid FROM lives WHERE end IS NULL");
    for pid in running.iter().filter(|pid| still.contains(pid)) {
        assert!(
            std::fs::exists(format!("/proc/{pid}")).expect("it can be looked for"),
            "{pid}"
        );
    }
    recording.end();
}
