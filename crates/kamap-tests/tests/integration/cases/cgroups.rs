//! Filters by cgroup: the cgroup of the process at the time of the event counts.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kamap::{Event, Filter, Kinds, Tracker};
use kamap_tests::stream::{Stream, kinds, with};
use kamap_tests::table::row;
use kamap_tests::{Cgroups, Held};

use crate::programs::held;

fn id(group: &Path) -> u64 {
    fs::metadata(group).expect("it is there").ino()
}

#[track_caller]
fn move_to(group: &Path, child: &Held) {
    let procs = group.join("cgroup.procs");
    fs::write(procs, child.pid().to_string()).expect("it can be moved");
}

#[track_caller]
fn of_group(group: &Path) -> (Tracker, Stream) {
    let filter = Filter::new(Kinds::LIFE).cgroup_id(id(group));
    with(Tracker::builder().events(filter))
}

#[test]
fn a_group_filter_passes_what_happens_below_the_group() {
    let cgroups = Cgroups::mount();
    let [one, other] = ["one", "other"].map(|name| cgroups.below(name));
    let (tracker, mut of_parent) = of_group(cgroups.group());
    let (_of_one, mut of_one) = of_group(&one);

    let [in_one, in_other, outside] = [(); 3].map(|()| Held::start(&mut held()));
    move_to(&one, &in_one);
    move_to(&other, &in_other);
    let pids = [&in_one, &in_other].map(Held::pid);
    for (pid, group) in pids.into_iter().zip([&one, &other]) {
        assert_eq!(
            row(&tracker, pid).expect("it is alive").cgroup_id,
            id(group)
        );
    }
    for child in [outside, in_other, in_one] {
        assert!(child.release().success());
    }
    for (pid, group) in pids.into_iter().zip([&one, &other]) {
        let life = of_parent.life(pid);
        assert_eq!(kinds(&life), ["exit"]);
        assert_eq!(life[0].process.cgroup_id, id(group));
    }
    assert_eq!(kinds(&of_one.life(pids[0])), ["exit"]);
    let told = |stream: &Stream| -> Vec<_> {
        let events = stream.all.iter();
        events.map(|event: &Event| event.process.pid).collect()
    };
    assert_eq!(told(&of_parent), [pids[1], pids[0]]);
    assert_eq!(told(&of_one), [pids[0]]);
}

#[test]
fn a_process_that_moves_is_judged_by_where_it_is_when_something_happens() {
    let cgroups = Cgroups::mount();
    let (_tracker, mut stream) = of_group(cgroups.group());
    let leaves = Held::start(cgroups.hold(&mut held()));
    let comes = Held::start(&mut held());
    move_to(cgroups.root(), &leaves);
    move_to(cgroups.group(), &comes);
    let pids = [&leaves, &comes].map(Held::pid);
    assert!(leaves.release().success());
    assert!(comes.release().success());
    // It ended after the other one.
    assert_eq!(kinds(&stream.life(pids[1])), ["exit"]);
    let of_first = stream
        .all
        .iter()
        .filter(|event| event.process.pid == pids[0]);
    let of_first: Vec<_> = of_first.cloned().collect();
    assert_eq!(kinds(&of_first), ["exec"]);
}
