//! What cannot be recorded is counted, to the last one.

use std::process::Command;

use kamap::{Origin, Tracker};
use kamap_tests::{Held, allow_many_files, eventually, processes};

use crate::fixtures::{row, snapshot};
use crate::programs::{HELD, Tiny};

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
