//! Cgroups of processes, and filters by them: the cgroup at the time of the event counts.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

use kamap::{Event, Filter, Kinds, Tracker};
use kamap_tests::stream::{Stream, kinds, with};
use kamap_tests::table::row;
use kamap_tests::{Cgroups, Held, eventually};

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

/// The path of a cgroup from the root of the hierarchy, as the process has it in /proc.
#[track_caller]
fn path_of(child: &Held) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", child.pid()));
    let text = text.expect("it is alive");
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    path.expect("there is v2").into()
}

fn known_path(process: &kamap::Process) -> Option<&Path> {
    process.cgroup().map(kamap::Cgroup::path)
}

#[test]
fn rows_and_events_have_the_path_of_their_cgroup() {
    let cgroups = Cgroups::mount();
    let service = cgroups.below("nginx.service");
    let (tracker, mut stream) = with(Tracker::builder().events(Kinds::LIFE));
    let child = Held::start(&mut held());
    let pid = child.pid();
    let current = || row(&tracker, pid).expect("it is alive");
    assert_eq!(known_path(&current()), Some(&*path_of(&child)));
    move_to(&service, &child);
    let path = path_of(&child);
    let found = current();
    assert_eq!(known_path(&found), Some(&*path));
    // Its parent is no slice.
    assert_eq!(found.cgroup().and_then(kamap::Cgroup::unit), None);
    assert_eq!(
        tracker.table().snapshot().expect("it is read").get(pid),
        Some(&found)
    );

    assert!(child.release().success());
    let life = stream.life(pid);
    assert_eq!(kinds(&life), ["fork", "exec", "exit"]);
    assert_ne!(known_path(&life[0].process), Some(&*path));
    assert_eq!(known_path(&life[2].process), Some(&*path));
}

#[test]
fn a_cgroup_that_was_seen_is_known_after_it_was_removed() {
    let cgroups = Cgroups::mount();
    let [seeded, seen, unseen] = ["seeded", "seen", "unseen"].map(|name| cgroups.below(name));
    let children = [(); 3].map(|()| Held::start(&mut held()));
    let pids = [0, 1, 2].map(|at| children[at].pid());
    move_to(&seeded, &children[0]);
    let (tracker, mut stream) = with(Tracker::builder().events(Kinds::EXIT));
    move_to(&seen, &children[1]);
    let paths = [0, 1].map(|at| path_of(&children[at]));
    assert_eq!(
        known_path(&row(&tracker, pids[1]).expect("it is alive")),
        Some(&*paths[1])
    );
    // Nobody looks at it there.
    move_to(&unseen, &children[2]);
    let ids = [&seeded, &seen, &unseen].map(|group| id(group));
    for child in children {
        assert!(child.release().success());
    }
    for group in [&seeded, &seen, &unseen] {
        fs::remove_dir(group).expect("nothing is in it");
    }
    let mut told = |at: usize| {
        let exit = stream.life(pids[at]).pop().expect("it has ended");
        assert_eq!(exit.process.cgroup_id, ids[at]);
        known_path(&exit.process).map(Path::to_owned)
    };
    assert_eq!(told(0).as_ref(), Some(&paths[0]));
    // The reader of events has not seen the other two, but shares what the table has.
    assert_eq!(told(1).as_ref(), Some(&paths[1]));
    assert_eq!(told(2), None);
}

/// Takes this capability from the calling thread.
fn drop_capability(number: u32) {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    struct Sets {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    /// `_LINUX_CAPABILITY_VERSION_3`
    const VERSION: u32 = 0x2008_0522;

    let (header, none) = (
        Header {
            version: VERSION,
            pid: 0,
        },
        [(); 2].map(|()| Sets {
            effective: 0,
            permitted: 0,
            inheritable: 0,
        }),
    );
    let mut sets = none;
    // SAFETY: both point to what capget(2) reads and writes: a header, and two sets of this version.
    let got = unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) };
    assert_eq!(got, 0, "{}", std::io::Error::last_os_error());
    sets[number as usize / 32].effective &= !(1 << (number % 32));
    // SAFETY: the same, and capset(2) writes neither.
    let set = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn without_a_privilege_all_cgroups_are_searched() {
    const CAP_DAC_READ_SEARCH: u32 = 2;
    const CAP_DAC_OVERRIDE: u32 = 1;
    let hierarchy = Cgroups::mount();
    let [one, other] = ["one", "other"].map(|name| hierarchy.below(name));
    let deep = one.join("deep");
    fs::create_dir(&deep).expect("it can be made");
    let found = |cgroups: &kamap::Cgroups, group: &Path| {
        let cgroup = cgroups.get(id(group))?;
        Some(cgroup.path().to_owned())
    };
    let privileged = kamap::Cgroups::new();
    let expected = [&one, &other, &deep].map(|group| found(&privileged, group));
    assert!(
        expected[2]
            .as_ref()
            .is_some_and(|path| path.ends_with("one/deep"))
    );
    assert_eq!(found(&privileged, hierarchy.root()), Some("/".into()));

    let unprivileged = kamap::Cgroups::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            drop_capability(CAP_DAC_READ_SEARCH);
            drop_capability(CAP_DAC_OVERRIDE);
            let later =
                |group: &Path| eventually("it is searched again", || found(&unprivileged, group));
            assert_eq!(found(&unprivileged, &deep), expected[2]);
            // The same search has found the others.
            assert_eq!(found(&unprivileged, &one), expected[0]);
            assert_eq!(found(&unprivileged, hierarchy.root()), Some("/".into()));
            let new = hierarchy.below("new");
            assert!(later(&new).ends_with("new"));
            let removed = id(&new);
            fs::remove_dir(&new).expect("nothing is in it");
            assert!(
                unprivileged
                    .get(removed)
                    .is_some_and(|found| found.path().ends_with("new"))
            );
        });
    });
    fs::remove_dir(&deep).expect("nothing is in it");
}
