//! What goes on when what is attached is replaced.

use kamap::{Clock, Item, Pinned, Reader, Replaced};
use kamap_bpf::{AnyMap, UpdateMode};
use kamap_tests::eventually;
use serde_json::Value;

use super::killed::StoppedAttach;
use super::{GROUP, Place, as_user, run_child};

/// Counts so many missed runs of programs that were replaced before, in what is attached now.
fn set_missed_before(place: &Place, missed: u64) {
    let path = place.dir().join("description");
    let description = AnyMap::open_pinned(path).expect("it is there");
    let key = 0_u32.to_ne_bytes();
    let value = description.get(&key, false).expect("it can be read");
    let mut value = value.expect("it is there");
    // See `struct kamap_description`.
    value[40..48].copy_from_slice(&missed.to_ne_bytes());
    let set = description.insert(&key, &value, UpdateMode::Any, false);
    set.expect("root can");
}

/// Nothing makes the kernel skip a run, so the count of those that were replaced is set by hand. That of the
/// programs that are attached is added to it in any case.
#[test]
fn missed_runs_of_programs_that_were_replaced_stay_among_the_losses() {
    let place = Place::new();
    let group = GROUP.to_string();
    place.says(&["attach", "--group", &group]);
    set_missed_before(&place, 7);
    let missed = |reader: &Reader| reader.losses().expect("they can be read").missed_runs;
    let of_now = || missed(&Reader::open(place.dir()).expect("it is attached"));
    let first = of_now();
    assert!(first >= 7, "{first}");
    for _ in 0..2 {
        place.says(&["attach", "--replace"]);
        assert!(of_now() >= first);
        assert!(of_now() < first + 1000, "they are not counted twice");
    }
    // Whoever may only read what iterators print is told at least of those.
    let status = as_user(&place, GROUP, &["status", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("it is JSON");
    assert!(
        status["losses"]["missed_runs"].as_u64() >= Some(7),
        "{status}"
    );
}

#[test]
fn a_reader_that_stays_open_counts_the_missed_runs_of_the_programs_that_are_attached() {
    let place = Place::new();
    place.says(&["attach"]);
    let reader = Reader::open(place.dir()).expect("it is attached");
    let missed = || reader.losses().expect("they can be read").missed_runs;
    let first = missed();
    for added in [1_000_000, 2_000_000] {
        place.says(&["attach", "--replace"]);
        // As if the kernel had skipped runs of the new ones.
        set_missed_before(&place, added);
        let now = missed();
        assert!(now >= added && now < added + first + 1000, "{now}");
    }
    place.says(&["detach"]);
    assert!(missed() >= 2_000_000);
}

/// The marks in the ring that nobody has read, and nothing else of what it has.
#[track_caller]
fn marks(place: &Place) -> Vec<Replaced> {
    let pinned = Pinned::open(place.dir()).expect("it is attached");
    let mut events = pinned.events(false).expect("nobody reads them");
    let mut marks = Vec::new();
    let read = events.drain(|item| match item {
        Item::Replaced(mark) => marks.push(mark),
        Item::Event(_) => {}
        lost => panic!("{lost:?}"),
    });
    read.and_then(|()| events.acknowledge())
        .expect("they can be read");
    marks
}

#[test]
fn a_replacement_leaves_one_mark_in_the_stream() {
    let place = Place::new();
    place.says(&["attach", "--events", "--kind", "exit", "--ancestors", "3"]);
    assert_eq!(marks(&place), []);
    for _ in 0..3 {
        let before = Clock::since_boot();
        place.says(&["attach", "--replace"]);
        let after = Clock::since_boot();
        let marks = marks(&place);
        let [mark] = &marks[..] else {
            panic!("{marks:?}");
        };
        assert!(before < mark.time && mark.time < after, "{mark:?}");
        assert_eq!(mark.version, env!("CARGO_PKG_VERSION"));
    }
    assert_eq!(marks(&place), []);
}

#[test]
fn the_mark_is_a_line_of_the_events() {
    let place = Place::new();
    // That of one process, and what comes before it.
    let exit_of_child = |more: &[&str]| {
        let pid = run_child().to_string();
        let exit = ["events", "--kind", "exit", "-n", "1", "--pid", &pid];
        place.says(&[&exit[..], more].concat())
    };
    place.says(&["attach", "--events", "--kind", "exit"]);
    place.says(&["attach", "--replace"]);
    let said = exit_of_child(&["--json"]);
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("it is JSON"))
        .collect();
    let marks: Vec<_> = lines
        .iter()
        .filter(|line| line["type"] == "replaced")
        .collect();
    let [mark] = marks[..] else {
        panic!("{said}");
    };
    assert_eq!(mark["version"], env!("CARGO_PKG_VERSION"));
    assert!(mark["seq"].is_u64() && mark["time"].is_string(), "{mark}");

    place.says(&["attach", "--replace"]);
    let said = exit_of_child(&[]);
    let version = env!("CARGO_PKG_VERSION");
    let mark = format!("kamap {version} has replaced what was attached)");
    assert_eq!(said.matches(&mark).count(), 1, "{said}");
}

#[test]
fn a_new_ring_has_no_mark() {
    let place = Place::new();
    place.says(&["attach"]);
    place.says(&["attach", "--replace"]);
    place.says(&["attach", "--replace", "--events"]);
    assert_eq!(marks(&place), []);
    place.says(&["attach", "--replace"]);
    assert_eq!(marks(&place).len(), 1);
}

#[test]
fn a_replacement_that_is_killed_before_it_is_done_leaves_no_mark() {
    let place = Place::new();
    place.says(&["attach", "--events"]);
    let stopped = || StoppedAttach::after(&place, "/chmod", &["attach", "--replace"]);
    stopped().kill();
    assert_eq!(marks(&place), []);
    stopped().kill_without_guard();
    eventually("its guard has done its work", || {
        (place.names() == ["kamap"]).then_some(())
    });
    assert_eq!(marks(&place), []);
    place.says(&["attach", "--replace"]);
    assert_eq!(marks(&place).len(), 1);
}

#[test]
fn a_replacement_that_is_killed_once_it_is_done_leaves_one_mark() {
    let place = Place::new();
    place.says(&["attach", "--events"]);
    let stopped = || StoppedAttach::after(&place, "renameat2", &["attach", "--replace"]);
    stopped().kill_without_guard();
    eventually("its guard has done its work", || {
        (place.names() == ["kamap"]).then_some(())
    });
    let done = Clock::since_boot();
    let marks_of_guard = marks(&place);
    assert_eq!(marks_of_guard.len(), 1);
    assert!(marks_of_guard[0].time < done);
    // Without its guard, the next one that reads or replaces it puts the mark there.
    stopped().kill();
    assert_eq!(marks(&place).len(), 1);
    assert_eq!(marks(&place).len(), 0);
    stopped().kill();
    place.says(&["attach", "--replace"]);
    assert_eq!(marks(&place).len(), 2);
    assert_eq!(place.names(), ["kamap"]);
}
