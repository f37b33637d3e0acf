//! Typed maps that the tests create.

mod allocations;
mod bulk;
mod churn;
mod create;
mod handles;
mod kinds;
mod layout;
mod lock;
mod sections;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;

use kamap_bpf::{Array, Check, Error, Hash, Map, MapData, UpdateMode};
use rstest::rstest;

#[track_caller]
fn filled<K: MapData + Ord>(keys: impl Iterator<Item = K>, max_entries: u32) -> Map<Hash<K, u64>> {
    let map = Map::<Hash<K, u64>>::create("filled", max_entries).expect("it can be created");
    for (i, key) in keys.enumerate() {
        assert!(
            map.insert(&key, &(i as u64), UpdateMode::IfAbsent)
                .expect("there is room")
        );
    }
    map
}

/// All entries, each of which must come once.
#[track_caller]
fn entries<K: MapData + Ord>(map: &Map<Hash<K, u64>>) -> BTreeMap<K, u64> {
    let mut entries = BTreeMap::new();
    for entry in map {
        let (key, value) = entry.expect("it can be read");
        assert_eq!(entries.insert(key, value), None, "a key came twice");
    }
    entries
}

#[rstest]
#[case(0, 1)]
#[case(1, 1)]
#[case(2, 2)]
#[case(255, 256)]
#[case(256, 256)]
#[case(257, 1_000)]
#[case(4_096, 4_096)]
#[case(50_000, 65_536)]
fn every_entry_comes_exactly_once(#[case] count: u32, #[case] max_entries: u32) {
    let map = filled(0..count, max_entries);
    let expected = (0..count).map(|key| (key, u64::from(key))).collect();
    assert_eq!(entries(&map), expected);
}

#[test]
fn keys_smaller_than_a_cursor_are_fine() {
    let bytes = filled(0..=u8::MAX, 256);
    assert_eq!(entries(&bytes).len(), 256);
    let words = filled((0..1_000_u16).map(|key| key * 64), 1_000);
    assert_eq!(entries(&words).len(), 1_000);
    let triples = filled((0..=u8::MAX).map(|byte| [byte, 7, 9]), 256);
    assert_eq!(entries(&triples).len(), 256);
}

#[test]
fn large_values_come_whole() {
    let map = Map::<Hash<u32, [u8; 4096]>>::create("large", 1_000).expect("it can be created");
    for key in 0..1_000 {
        map.insert(&key, &[key as u8; 4096], UpdateMode::Any)
            .expect("there is room");
    }
    let mut count = 0;
    for entry in &map {
        let (key, value) = entry.expect("it can be read");
        assert!(value.iter().all(|byte| *byte == key as u8));
        count += 1;
    }
    assert_eq!(count, 1_000);
}

#[test]
fn get_insert_and_remove_tell_what_they_found() {
    let map = Map::<Hash<u32, u64>>::create("told", 1).expect("it can be created");
    assert_eq!(map.get(&1).expect("it can be read"), None);
    assert!(!map.remove(&1).expect("it may be written"));
    assert!(
        !map.insert(&1, &10, UpdateMode::IfPresent)
            .expect("it may be written")
    );
    assert!(
        map.insert(&1, &11, UpdateMode::IfAbsent)
            .expect("it may be written")
    );
    assert!(
        !map.insert(&1, &12, UpdateMode::IfAbsent)
            .expect("it may be written")
    );
    assert_eq!(map.get(&1).expect("it can be read"), Some(11));
    assert!(
        map.insert(&1, &13, UpdateMode::IfPresent)
            .expect("it may be written")
    );
    assert!(
        map.insert(&1, &14, UpdateMode::Any)
            .expect("it may be written")
    );
    assert_eq!(map.get(&1).expect("it can be read"), Some(14));

    let full = map
        .insert(&2, &20, UpdateMode::Any)
        .expect_err("there is room for one");
    assert_eq!(full.to_string(), "map `told` is full (1 entries)");
    assert!(map.remove(&1).expect("it may be written"));
    assert!(
        map.insert(&2, &20, UpdateMode::Any)
            .expect("there is room again")
    );
}

#[test]
fn a_map_of_another_kind_or_size_is_refused() {
    let map = Map::<Hash<u32, u64>>::create("mine", 8).expect("it can be created");
    let fd = || {
        map.as_fd()
            .try_clone_to_owned()
            .expect("it can be duplicated")
    };

    let kind = Map::<Array<u64>>::from_fd(fd(), Check::Layout).expect_err("it is a hash map");
    assert!(
        matches!(&kind, Error::WrongKind { map, .. } if map == "mine"),
        "{kind}"
    );
    let key =
        Map::<Hash<u64, u64>>::from_fd(fd(), Check::Layout).expect_err("its keys have 4 bytes");
    assert_eq!(
        key.to_string(),
        "the keys of map `mine` have 4 bytes, those of the Rust type 8"
    );
    let value =
        Map::<Hash<u32, u32>>::from_fd(fd(), Check::Layout).expect_err("its values have 8 bytes");
    assert_eq!(
        value.to_string(),
        "the values of map `mine` have 8 bytes, those of the Rust type 4"
    );
    let file = File::open("/dev/null").expect("it is there").into();
    let file = Map::<Hash<u32, u64>>::from_fd(file, Check::Layout).expect_err("it is no map");
    assert!(matches!(file, Error::NotAMap { .. }), "{file}");

    let same = Map::<Hash<u32, u64>>::from_fd(fd(), Check::Layout).expect("it is the same");
    map.insert(&1, &2, UpdateMode::Any).expect("there is room");
    drop(map);
    assert_eq!(same.get(&1).expect("it outlives the other"), Some(2));
}

#[test]
fn a_map_that_cannot_be_made_is_refused_by_name() {
    for (name, max_entries) in [("none", 0), ("no/slash", 1), ("zero\0", 1)] {
        let error = Map::<Hash<u32, u64>>::create(name, max_entries).expect_err("it is refused");
        assert!(
            matches!(&error, Error::Refused { map, .. } if map == name),
            "{error}"
        );
    }
}
