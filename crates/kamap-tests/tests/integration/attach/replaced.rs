//! What goes on when what is attached is replaced.

use kamap::Reader;
use kamap_bpf::{AnyMap, UpdateMode};

use super::{GROUP, Place, as_user};

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
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("it is JSON");
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
