//! What is lost because the ring or the table has no room.

use std::process::Command;

use kamap_tests::{Held, Tiny, eventually};
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
    for &pid in &ended {
        folder.until_ended(pid);
    }
    let place = |lines: &[Value], is_it: &dyn Fn(&Value) -> bool| lines.iter().position(is_it);
    // Not the first one where others fill the small ring again.
    let lines = eventually("the place of the gap is before what ran then", || {
        let after = Ran::words(&["sh", "-c", "exit 7"]);
        folder.go_on(&mut recording);
        let lines = folder.lines();
        let gap = place(&lines, &|line| line["type"] == "gap");
        let after =
            place(&lines, &|line| line["pid"] == after.pid).filter(|&after| gap < Some(after))?;
        (status(&lines[after])? == 7 << 8).then_some(lines)
    });
    let gaps = gaps(&lines);
    assert!(!gaps.is_empty());
    assert!(gaps[0]["lost"]["ring_full"].as_u64() > Some(0), "{gaps:?}");
    let first = place(&lines, &|line| line["pid"] == before.pid);
    assert!(first.is_some());
    assert!(first < place(&lines, &|line| line["type"] == "gap"));
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
    folder.go_on(&mut recording);
    let still: Vec<i64> = folder.query("SELECT pid FROM lives WHERE end IS NULL");
    for pid in running.iter().filter(|pid| still.contains(pid)) {
        assert!(
            std::fs::exists(format!("/proc/{pid}")).expect("it can be looked for"),
            "{pid}"
        );
    }
    recording.end();
}
