//! Everything that cannot be recorded is counted exactly. These tests run alone.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use kamap::{AttachOptions, Cause, Item, Kinds, Losses, Origin, Process, Seen, Tracker};
use kamap_tests::stream::{end, kinds, with};
use kamap_tests::table::{row, snapshot, tracker};
use kamap_tests::{BpfFs, Held, Planted, Tiny, allow_many_files, eventually};
use rstest::rstest;

use crate::programs::{HELD, held};

#[track_caller]
fn losses(tracker: &Tracker) -> Losses {
    tracker.losses().expect("it can be read")
}

/// The PIDs of `children` without a row, in their order.
fn missing(tracker: &Tracker, children: &[Held]) -> Vec<u32> {
    let rows = snapshot(tracker);
    let pids = children.iter().map(Held::pid);
    pids.filter(|pid| !rows.contains_key(pid)).collect()
}

/// The PIDs that are missing in the table, which must have no other difference.
#[track_caller]
fn verified_missing(tracker: &Tracker) -> Vec<u32> {
    let found = tracker.verify().expect("the kernel tells");
    assert!(
        found.stale.is_empty() && found.mismatched.is_empty(),
        "{found:?}"
    );
    found.missing.iter().map(|process| process.pid).collect()
}

/// Repeats `round` until it reports that no other process has started or ended meanwhile, because
/// only then its counts are exact.
#[track_caller]
fn undisturbed<T>(round: impl FnMut() -> Option<T>) -> T {
    eventually("nothing else goes on", round)
}

/// A tracker with room for exactly `room` more processes than are alive.
fn with_room(room: u32) -> Option<Tracker> {
    let alive = snapshot(&tracker()).len() as u32;
    let tracker = Tracker::builder().max_entries(alive + room).start();
    let tracker = tracker.expect("the tracker starts");
    let exact = losses(&tracker).total() == 0 && snapshot(&tracker).len() as u32 == alive;
    exact.then_some(tracker)
}

#[rstest]
#[case::most_are_refused(16, 100)]
#[case::one_is_refused(9, 10)]
#[case::all_are_refused(0, 5)]
#[case::none_is_refused(20, 20)]
fn processes_that_find_the_table_full_are_counted(#[case] room: u32, #[case] count: usize) {
    allow_many_files();
    let tiny = Tiny::new();
    let refused = count - (room as usize).min(count);
    let (tracker, children) = undisturbed(|| {
        let tracker = with_room(room)?;
        let children: Vec<_> = (0..count).map(|_| tiny.start()).collect();
        let seen = tracker.seen().expect("it can be read");
        ((seen.fork, seen.exit) == (count as u64, 0)).then_some((tracker, children))
    });
    let lost = missing(&tracker, &children);
    assert_eq!(lost.len(), refused);
    assert_eq!(losses(&tracker).table_full, refused as u64);
    assert_eq!(losses(&tracker).total(), refused as u64);
    assert_eq!(losses(&tracker).first_refused_pid, lost.first().copied());
    assert_eq!(verified_missing(&tracker), lost);
    for child in children.iter().filter(|child| !lost.contains(&child.pid())) {
        let process = row(&tracker, child.pid()).expect("it is not lost");
        assert_eq!((process.origin, process.execs), (Origin::Exec, 1));
    }

    // Exits are not counted as lost, whether the process had a row or not.
    for child in children {
        assert!(child.release().success());
    }
    assert_eq!(losses(&tracker).total(), refused as u64);
    assert_eq!(verified_missing(&tracker), [0; 0]);
    // Now there is room.
    if room > 0 {
        let child = tiny.start();
        assert_eq!(row(&tracker, child.pid()).expect("there is room").execs, 1);
    }
}

#[test]
fn the_stream_reports_what_the_table_lost_and_how_much() {
    let tiny = Tiny::new();
    let alive = snapshot(&tracker()).len() as u32;
    let builder = Tracker::builder().max_entries(alive + 4);
    let (tracker, mut stream) = with(builder.events(Kinds::LIFE));
    let lost = || losses(&tracker).table_full;
    for _ in 0..2 {
        let before = lost();
        let children: Vec<_> = (0..32).map(|_| tiny.start()).collect();
        assert!(lost() > before, "there is no room for all");
        // Others can start meanwhile.
        eventually("the stream reports as many as were counted", || {
            stream.read();
            (stream.table_lost == lost()).then_some(())
        });
        for child in children {
            assert!(child.release().success());
        }
    }
}

#[test]
fn what_was_lost_gets_its_row_once_there_is_room() {
    const ROOM: usize = 16;
    allow_many_files();
    let tiny = Tiny::new();
    let (tracker, mut children) = undisturbed(|| {
        let tracker = with_room(ROOM as u32)?;
        let children: Vec<_> = (0..3 * ROOM).map(|_| tiny.start()).collect();
        let seen = tracker.seen().expect("it can be read");
        ((seen.fork, seen.exit) == (3 * ROOM as u64, 0)).then_some((tracker, children))
    });
    let lost = missing(&tracker, &children);
    assert_eq!(lost.len(), 2 * ROOM);
    // There is no room yet.
    assert!(tracker.refill().expect("the kernel lists its tasks"));
    assert_eq!(missing(&tracker, &children), lost);

    // Room for half of them.
    children.retain(|child| lost.contains(&child.pid()));
    assert!(tracker.refill().expect("the kernel lists its tasks"));
    let still = missing(&tracker, &children);
    assert_eq!(still.len(), ROOM);
    assert_eq!(verified_missing(&tracker), still);

    // Room for all of them.
    children.retain(|child| still.contains(&child.pid()));
    assert!(tracker.refill().expect("the kernel lists its tasks"));
    assert_eq!(verified_missing(&tracker), [0; 0]);
    for child in &children {
        let process = row(&tracker, child.pid()).expect("there is room");
        assert_eq!((process.origin, process.execs), (Origin::Seed, 0));
    }
    assert!(
        !tracker.refill().expect("the kernel lists its tasks"),
        "nothing is lacking"
    );
    // Each was counted once.
    assert_eq!(losses(&tracker).table_full, 2 * ROOM as u64);
}

#[test]
fn a_process_that_was_lost_is_in_the_table_again_when_it_execs() {
    let (tracker, child, lost) = undisturbed(|| {
        let tracker = with_room(1)?;
        let filler = Held::start(&mut held());
        let script = "echo; read x; exec sh -c 'echo; read x; exec \"$0\"' \"$0\"";
        let mut child = Held::start(Command::new("sh").args(["-c", script, HELD]));
        // An exec of a process without a row is not another loss.
        child.say("\n");
        assert_eq!(child.line(), "", "it has exec'd");
        let lost = (row(&tracker, child.pid()), losses(&tracker).table_full);
        assert!(filler.release().success());
        child.say("\n");
        assert_eq!(child.line(), "", "it has exec'd");
        let seen = tracker.seen().expect("it can be read");
        ((seen.fork, seen.exit) == (2, 1)).then_some((tracker, child, lost))
    });
    assert_eq!(lost, (None, 1));
    let process = row(&tracker, child.pid()).expect("there is room");
    assert_eq!((process.origin, process.execs), (Origin::Exec, 1));
    assert_eq!(losses(&tracker).total(), 1);
    assert_eq!(verified_missing(&tracker), [0; 0]);
}

#[rstest]
#[case::by_an_own_tracker(false)]
#[case::by_what_is_attached(true)]
fn what_finds_no_room_is_followed_all_the_same(#[case] is_attached: bool) {
    // Two children that end at once, then one that ends when it may, like its parent.
    let script = "echo; read x; (exec /missing) 2>&-; /bin/true; echo
                  read x; (exec \"$0\"); exit 3";
    let (pid, events, reported, status) = undisturbed(|| {
        let filler = Held::start(&mut held());
        let alive = snapshot(&tracker()).len() as u32;
        let builder = Tracker::builder().events(Kinds::ALL).max_entries(alive);
        let bpffs = is_attached.then(BpfFs::mount);
        let (follower, before) = match &bpffs {
            None => (builder.follower(), Seen::default()),
            Some(bpffs) => {
                let pinned = builder.attach(bpffs.at("kamap"), &AttachOptions::default());
                let pinned = pinned.expect("root can");
                let follower = pinned.follower(Kinds::ALL, false);
                let reader = pinned.reader().expect("root can");
                (follower, reader.seen().expect("it can be read"))
            }
        };
        let (stdin, mut says) = io::pipe().expect("it can be made");
        let (said, stdout) = io::pipe().expect("it can be made");
        let mut said = BufReader::new(said);
        let mut line = || said.read_line(&mut String::new()).expect("it is UTF-8");
        let mut command = Command::new("/bin/bash");
        command
            .args(["-c", script, HELD])
            .stdin(stdin)
            .stdout(stdout);
        let mut follow = follower
            .expect("it starts")
            .run(&mut command)
            .expect("it runs");
        drop(command);
        let (mut events, mut reported) = (Vec::new(), 0);
        let mut read = |follow: &mut kamap::Follow| {
            let read = follow.read(Duration::ZERO, |item| match item {
                Item::Event(event) => events.push(event),
                Item::Lost(lost) if lost.cause == Cause::TableFull => reported += lost.count,
                other => panic!("{other:?}"),
            });
            read.expect("it can be read")
        };
        // There is no room for the command, nor for its first children.
        assert_eq!(line(), 1, "it has exec'd");
        writeln!(says).expect("it reads");
        assert_eq!(line(), 1, "they have ended");
        let has_row = |follow: &kamap::Follow| {
            let row = follow.reader().table().get(follow.pid());
            row.expect("the table can be read").is_some()
        };
        let refused = !has_row(&follow);
        // The command gets room when the table is refilled.
        assert!(filler.release().success());
        read(&mut follow);
        let refilled = has_row(&follow);
        writeln!(says).expect("it reads");
        assert_eq!(line(), 1, "its last child has exec'd");
        drop(says);
        let status = eventually("it ends", || read(&mut follow));
        let seen = follow.reader().seen().expect("it can be read");
        let (forks, exits) = (seen.fork - before.fork, seen.exit - before.exit);
        let lost = follow.losses().expect("it can be read");
        let alone = refused && refilled && (forks, exits, lost.table_full) == (4, 2, 4);
        alone.then(|| (follow.pid(), events, reported, status))
    });
    assert_eq!(status.code(), Some(3));
    assert_eq!(reported, 4, "by the stream as well");
    let (of_command, of_others): (Vec<_>, Vec<_>) = events
        .into_iter()
        .partition(|event| event.process.pid == pid);
    assert_eq!(kinds(&of_command), ["fork", "exec", "exit"]);
    let told = of_command.last().and_then(end).expect("it has ended");
    assert_eq!(told.exit_code(), Some(3));
    assert_eq!(
        kinds(&of_others),
        ["fork", "failed", "fork", "exec", "fork", "exec"]
    );
}

#[test]
fn seeding_counts_what_finds_no_room() {
    let (tracker, alive) = undisturbed(|| {
        let before = snapshot(&self::tracker()).len();
        let tracker = Tracker::builder()
            .max_entries(16)
            .start()
            .expect("it starts");
        let after = snapshot(&self::tracker()).len();
        (before == after && tracker.seen().expect("it can be read").fork == 0)
            .then_some((tracker, after))
    });
    assert_eq!(snapshot(&tracker).len(), 16);
    assert_eq!(losses(&tracker).table_full, alive as u64 - 16);
    let first = losses(&tracker).first_refused_pid.expect("there are some");
    assert!(verified_missing(&tracker).contains(&first));
}

#[test]
fn runs_without_a_place_to_work_are_counted_and_the_table_is_mended() {
    const CHILDREN: u64 = 10;
    let tiny = Tiny::new();
    let (tracker, planted, children) = undisturbed(|| {
        let tracker = tracker();
        let planted = Planted::find();
        planted.take_drafts(true);
        let children: Vec<_> = (0..CHILDREN).map(|_| tiny.start()).collect();
        let seen = tracker.seen().expect("it can be read");
        ((seen.fork, seen.exec) == (CHILDREN, CHILDREN)).then_some((tracker, planted, children))
    });
    // A fork and an exec each.
    assert_eq!(losses(&tracker).missed_runs, 2 * CHILDREN);
    assert_eq!(losses(&tracker).total(), 2 * CHILDREN);
    let pids: Vec<_> = children.iter().map(Held::pid).collect();
    assert_eq!(missing(&tracker, &children), pids);
    assert_eq!(verified_missing(&tracker), pids);

    planted.take_drafts(false);
    assert!(tracker.refill().expect("the kernel lists its tasks"));
    assert_eq!(verified_missing(&tracker), [0; 0]);
    for pid in pids {
        assert_eq!(
            row(&tracker, pid).expect("it is alive").origin,
            Origin::Seed
        );
    }
    assert_eq!(losses(&tracker).missed_runs, 2 * CHILDREN);
}

#[test]
fn an_exec_that_was_missed_is_found_and_counted_by_the_next_one() {
    let tracker = tracker();
    let script = "echo; read x; exec sh -c 'echo; read x; exec \"$0\"' \"$0\"";
    let mut command = Command::new("sh");
    let mut child = Held::start(command.args(["-c", script, HELD]).stderr(Stdio::null()));
    let planted = Planted::find();
    planted.take_drafts(true);
    child.say("\n");
    assert_eq!(child.line(), "", "it has exec'd");
    planted.take_drafts(false);

    assert!(losses(&tracker).missed_runs > 0);
    assert_eq!(row(&tracker, child.pid()).expect("it is alive").execs, 1);
    let found = tracker.verify().expect("the kernel tells");
    let mut mismatched = found.mismatched.iter();
    let mismatch = mismatched.find(|mismatch| mismatch.process.pid == child.pid());
    let field = mismatch.expect("it missed an exec").fields[0];
    assert_eq!((field.name, field.table + 1), ("exec_id", field.kernel));

    child.say("\n");
    assert_eq!(child.line(), "", "it has exec'd");
    assert_eq!(row(&tracker, child.pid()).expect("it is alive").execs, 3);
    let found = tracker.verify().expect("the kernel tells");
    assert!(found.mismatched.is_empty(), "{found:?}");
}

#[rstest]
#[case::all_of_it(|tracker: &Tracker, pid| snapshot(tracker).remove(&pid))]
#[case::one_row(row)]
fn reading_the_table_adds_what_was_lost(#[case] read: fn(&Tracker, u32) -> Option<Process>) {
    let tiny = Tiny::new();
    let tracker = tracker();
    let planted = Planted::find();
    planted.take_drafts(true);
    let child = tiny.start();
    let pid = child.pid();
    assert!(verified_missing(&tracker).contains(&pid));
    planted.take_drafts(false);
    assert!(verified_missing(&tracker).contains(&pid));

    let process = read(&tracker, pid).expect("it is added");
    assert_eq!(
        (process.origin, process.comm()),
        (Origin::Seed, "tiny".into())
    );
    assert!(!verified_missing(&tracker).contains(&pid));
    assert!(
        !tracker.refill().expect("the kernel lists its tasks"),
        "nothing is lacking"
    );
}
