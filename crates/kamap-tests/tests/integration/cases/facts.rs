//! Fields that can change while a process lives show the present value; others never change.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::process::Command;
use std::time::Duration;

use kamap::{Clock, Event, Filter, Kinds, Process, Tracker};
use kamap_tests::stream::{end, kinds, tracker, with};
use kamap_tests::table::{as_stat, row, snapshot};
use kamap_tests::{Held, Tiny, stat, ticks};
use rstest::rstest;

use crate::programs::{BECOMES, HELD, held};

/// A user that no other process has.
const UID: u32 = 4711;

/// Makes a child change something; returns what it then prints.
#[track_caller]
fn becomes(child: &mut Held, what: &str) -> String {
    child.say(&format!("{what}\n"));
    child.line()
}

/// Changes everything that a child can change about itself; returns its PID, which can be another
/// one.
#[track_caller]
fn changed(child: &mut Held) -> u32 {
    let orphan = becomes(child, "orphan").parse().expect("it prints a PID");
    for change in ["name first", "comm a new name", &format!("user {UID}")] {
        assert_eq!(becomes(child, change), "");
    }
    orphan
}

/// Compares the fields that can change with /proc.
#[track_caller]
fn assert_current(process: &Process) {
    let expected = stat(process.pid).expect("it is alive");
    assert_eq!(as_stat(process), expected);
    assert_eq!((process.uid, process.gid), (UID, UID + 1));
    assert_eq!(process.comm(), "a new name");
    let parent = stat(expected.ppid).expect("it is alive");
    assert_eq!(process.parent_start_time.map(ticks), Some(parent.start));
}

#[rstest]
#[case::by_a_tracker_that_was_there_before(true)]
#[case::by_a_tracker_that_came_later(false)]
fn user_name_and_parent_are_shown_as_they_are_now(#[case] before: bool) {
    let earlier = before.then(tracker);
    let mut child = Held::start(&mut Command::new(BECOMES));
    let parent = child.pid();
    let pid = changed(&mut child);
    let (tracker, mut stream) = earlier.unwrap_or_else(tracker);

    let process = row(&tracker, pid).expect("it is alive");
    assert_current(&process);
    assert_ne!(process.ppid, parent);
    assert_current(&snapshot(&tracker)[&pid]);

    // Change them once more.
    assert_eq!(becomes(&mut child, "name other"), "");
    assert_eq!(row(&tracker, pid).expect("it is alive").comm(), "other");
    assert_eq!(snapshot(&tracker)[&pid].comm(), "other");
    assert_eq!(becomes(&mut child, "name a new name"), "");

    child.let_go();
    let exit = stream.life(pid).pop().expect("it has ended");
    assert_eq!(end(&exit).and_then(|end| end.exit_code()), Some(7));
    let ended = exit.process;
    assert_eq!(
        (ended.uid, ended.gid, ended.comm()),
        (UID, UID + 1, "a new name".into())
    );
    assert_eq!(
        (ended.ppid, ended.parent_start_time),
        (process.ppid, process.parent_start_time)
    );
    assert!(ended.args().eq(process.args()));
}

#[test]
fn a_user_filter_judges_an_event_by_the_user_of_that_moment() {
    let of = |uid| with(Tracker::builder().events(Filter::new(Kinds::LIFE).uid(uid)));
    let (_old, mut of_old) = of(0);
    let (_new, mut of_new) = of(UID);
    let mut child = Held::start(&mut Command::new(BECOMES));
    let pid = child.pid();
    assert_eq!(becomes(&mut child, &format!("user {UID}")), "");
    assert_eq!(child.release().code(), Some(7));
    assert_eq!(kinds(&of_new.life(pid)), ["exit"]);
    // When this one's events have come, all earlier ones have.
    let last = Tiny::new().run();
    of_old.life(last);
    let life = of_old.all.into_iter();
    let life: Vec<_> = life.filter(|event| event.process.pid == pid).collect();
    assert_eq!(kinds(&life), ["fork", "exec"]);
}

#[rstest]
#[case::by_a_tracker_that_was_there_before(true)]
#[case::by_a_tracker_that_came_later(false)]
fn an_executable_is_shown_where_it_is_now(#[case] before: bool) {
    let earlier = before.then(kamap_tests::table::tracker);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    fs::copy(HELD, &first).expect("it can be copied");
    let child = Held::start(&mut Command::new(&first));
    let pid = child.pid();
    fs::rename(&first, &second).expect("it can be renamed");
    let tracker = earlier.unwrap_or_else(kamap_tests::table::tracker);

    let process = row(&tracker, pid).expect("it is alive");
    assert_eq!(process.exe(), Some(&*second));
    assert_eq!(as_stat(&process), stat(pid).expect("it is alive"));
    assert_eq!(snapshot(&tracker)[&pid], process);

    fs::remove_file(&second).expect("it can be removed");
    let process = row(&tracker, pid).expect("it is alive");
    let deleted = format!("{} (deleted)", second.display());
    assert_eq!(process.exe(), Some(deleted.as_ref()));
    assert_eq!(as_stat(&process), stat(pid).expect("it is alive"));
    assert_eq!(snapshot(&tracker)[&pid], process);
}

/// Checks that the parent of an event is the first of its ancestors.
#[track_caller]
fn assert_parent_is_first_ancestor(event: &Event) {
    let parent = event.ancestors.first();
    let parent = parent.map(|parent| (parent.pid, Some(parent.start_time)));
    // The first process has none.
    let told = (event.process.ppid, event.process.parent_start_time);
    assert_eq!(parent.unwrap_or_default(), told, "{event:?}");
}

#[test]
fn the_parent_is_the_first_ancestor_also_of_an_orphan() {
    for count in [1, 3] {
        let (tracker, mut stream) = with(Tracker::builder().events(Kinds::ALL).ancestors(count));
        let mut child = Held::start(&mut Command::new(BECOMES));
        let parent = child.pid();
        let orphan = becomes(&mut child, "orphan")
            .parse()
            .expect("it prints a PID");
        let adopted = row(&tracker, orphan).expect("it is alive").ppid;
        child.let_go();
        let life = stream.life(orphan);
        assert_eq!(kinds(&life), ["fork", "exit"]);
        assert_eq!(life[0].process.ppid, parent);
        assert_eq!(life[1].process.ppid, adopted);
        assert_ne!(adopted, parent);
        assert_eq!(life[0].process.parent_start_time, {
            let lives = stream.life(parent);
            Some(lives[0].process.start_time)
        });
        // Also for all other processes.
        stream.all.iter().for_each(assert_parent_is_first_ancestor);
    }
}

/// What /proc shows about a process that has not ended.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    ppid: u32,
    uid: u32,
    gid: u32,
    comm: String,
}

/// All processes, by PID and start time. Without arguments, because another test can block reading
/// them.
fn shown_by_proc() -> HashMap<(u32, u64), Shown> {
    let all = procfs::process::all_processes().expect("/proc can be read");
    all.filter_map(|process| {
        let process = process.ok()?;
        let (stat, status) = (process.stat().ok()?, process.status().ok()?);
        let shown = Shown {
            ppid: stat.ppid.cast_unsigned(),
            uid: status.euid,
            gid: status.egid,
            comm: stat.comm,
        };
        // PF_EXITING of include/linux/sched.h.
        let ended = stat.flags & 0x4 != 0;
        (!ended).then_some(((stat.pid.cast_unsigned(), stat.starttime), shown))
    })
    .collect()
}

#[test]
fn a_snapshot_shows_of_each_process_what_proc_shows() {
    let mut child = Held::start(&mut Command::new(BECOMES));
    let tracker = kamap_tests::table::tracker();
    let pid = changed(&mut child);
    for look in 0..5 {
        assert_eq!(becomes(&mut child, &format!("name look {look}")), "");
        let before = shown_by_proc();
        let rows = snapshot(&tracker);
        let after = shown_by_proc();
        let mut compared = BTreeSet::new();
        for (identity, stat) in before {
            // A process that has changed meanwhile cannot be compared.
            if after.get(&identity) != Some(&stat) {
                continue;
            }
            let (pid, start) = identity;
            let process = rows
                .get(&pid)
                .unwrap_or_else(|| panic!("missing: {pid} {stat:?}"));
            assert_eq!(ticks(process.start_time), start);
            let ids = (process.ppid, process.uid, process.gid);
            assert_eq!(ids, (stat.ppid, stat.uid, stat.gid), "{pid} {stat:?}");
            let mut parents = after.keys().filter(|(pid, _)| *pid == stat.ppid);
            let parent = parents.next().map(|(_, start)| *start);
            assert_eq!(process.parent_start_time.map(ticks), parent);
            // For a kernel worker, /proc also shows what it works on.
            if !process.kernel_thread {
                assert_eq!(process.comm(), stat.comm);
                compared.insert(pid);
            }
        }
        assert!(compared.contains(&pid) && compared.contains(&std::process::id()));
    }
    child.let_go();
}

#[test]
fn two_trackers_agree_on_who_is_who() {
    const PROCESSES: usize = 300;
    let tiny = Tiny::new();
    let mut both = [tracker(), tracker()];
    let held = Held::start(&mut held());
    let pids: Vec<u32> = (0..PROCESSES).map(|_| tiny.run()).collect();
    let last = *pids.last().expect("there are some");

    let identities = both.each_mut().map(|(_, stream)| {
        stream.life(last);
        let events = stream.all.iter();
        let events = events.filter(|event| pids.contains(&event.process.pid));
        let identity = |process: &Process| {
            let parent = (process.ppid, process.parent_start_time);
            ((process.pid, process.start_time), parent)
        };
        events
            .map(|event| identity(&event.process))
            .collect::<BTreeSet<_>>()
    });
    assert!(identities[0].len() >= PROCESSES);
    assert_eq!(identities[0], identities[1]);

    // The start time of a parent is that of its own row.
    let [first, second] = both.each_ref().map(|(tracker, _)| snapshot(tracker));
    let this = &first[&std::process::id()];
    for process in [&first, &second].map(|rows| &rows[&held.pid()]) {
        assert_eq!(process.ppid, this.pid);
        assert_eq!(process.parent_start_time, Some(this.start_time));
    }
    for process in first.values() {
        // Others can end meanwhile.
        if let Some(again) = second.get(&process.pid)
            && again.start_time == process.start_time
            && again.ppid == process.ppid
        {
            assert_eq!(process.parent_start_time, again.parent_start_time);
        }
        if let Some(parent) = first.get(&process.ppid)
            && Some(parent.start_time) >= process.parent_start_time
        {
            assert_eq!(process.parent_start_time, Some(parent.start_time));
        }
    }
    let of_this: BTreeSet<_> = identities[0]
        .iter()
        .filter(|(_, (ppid, _))| *ppid == this.pid)
        .map(|(_, (_, start_time))| *start_time)
        .collect();
    assert_eq!(of_this, BTreeSet::from([Some(this.start_time)]));
}

#[test]
fn a_boot_has_one_name_and_a_tracker_one_clock() {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("there is /proc");
    assert_eq!(Clock::boot_id().expect("there is /proc"), id.trim_end());
    let tracker = kamap_tests::table::tracker();
    let clock = || tracker.clock().system_time(Duration::ZERO);
    let first = clock();
    for _ in 0..100 {
        assert_eq!(clock(), first);
    }
}
