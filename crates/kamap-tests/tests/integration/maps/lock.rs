//! Values with a lock.

use kamap_bpf::{Array, Error, Hash, Lockable, Map, MapData, SpinLock, UpdateMode};
use kamap_tests::maps::{replace, while_written};

#[derive(Clone, Copy, MapData)]
#[repr(C)]
struct Locked {
    lock: SpinLock,
    words: [u32; 4095],
}

fn value(word: u32) -> Locked {
    Locked {
        lock: SpinLock::default(),
        words: [word; 4095],
    }
}

#[track_caller]
fn is_whole(value: &Locked) {
    assert!(value.words == [value.words[0]; 4095], "it is torn");
}

/// Reads a map with one value, at key 0, while `write` writes it.
#[track_caller]
fn is_never_torn<T>(map: &Map<T>, write: impl Fn(&Locked) + Sync)
where
    T: Lockable<Key = u32, Value = Locked>,
{
    let values = [value(0), value(1)];
    write(&values[0]);
    while_written(
        1_000,
        |round| write(&values[round as usize % 2]),
        || {
            is_whole(&map.get(&0).expect("it can be read").expect("it is there"));
            for entry in map {
                is_whole(&entry.expect("it can be read").1);
            }
        },
    );
}

#[test]
fn what_is_written_under_the_lock_is_never_torn() {
    let array = Map::<Array<Locked>>::create("array", 1).expect("it can be created");
    let array = array.locked().expect("its values have a lock");
    is_never_torn(&array, |value| array.set(0, value).expect("it is there"));
    let hash = Map::<Hash<u32, Locked>>::create("hash", 1).expect("it can be created");
    let hash = hash.locked().expect("its values have a lock");
    // In place: without a lock, a hash map would replace the element.
    is_never_torn(&hash, |value| {
        hash.insert(&0, value, UpdateMode::Any)
            .expect("there is room");
    });
}

#[test]
fn an_element_is_written_in_place_under_its_lock() {
    let map = Map::<Hash<u32, Locked>>::create("place", 64).expect("it can be created");
    let map = map.locked().expect("its values have a lock");
    let insert_all = || {
        for key in 0..64 {
            map.insert(&key, &value(key), UpdateMode::Any)
                .expect("there is room");
        }
    };
    let order = || {
        map.keys()
            .collect::<Result<Vec<_>, _>>()
            .expect("it can be read")
    };
    insert_all();
    let before = order();
    // A replaced element becomes the first of its bucket, and some of the 64 buckets have several
    // elements.
    insert_all();
    assert_eq!(order(), before);
}

#[test]
fn every_operation_of_a_locked_map_works() {
    let map = Map::<Hash<u32, Locked>>::create("hash", 8).expect("it can be created");
    let map = map.locked().expect("its values have a lock");
    assert!(
        map.insert(&1, &value(1), UpdateMode::IfAbsent)
            .expect("there is room")
    );
    assert!(
        !map.insert(&1, &value(2), UpdateMode::IfAbsent)
            .expect("it may be written")
    );
    assert!(
        map.insert(&1, &value(3), UpdateMode::IfPresent)
            .expect("it may be written")
    );
    assert!(
        !map.insert(&2, &value(3), UpdateMode::IfPresent)
            .expect("it may be written")
    );
    let entries = (2..8).map(|key| (key, value(key)));
    assert_eq!(map.insert_many(entries).expect("there is room"), 6);
    assert_eq!(
        map.get(&1)
            .expect("it can be read")
            .map(|value| value.words[5]),
        Some(3)
    );
    assert_eq!(
        map.take(&1)
            .expect("it may be written")
            .map(|value| value.words[5]),
        Some(3)
    );
    assert!(map.remove(&2).expect("it may be written"));
    assert_eq!(map.remove_many([3]).expect("it may be written"), 1);
    let count = map.drain(|key, value| assert_eq!(value.words[7], key));
    assert_eq!(count.expect("it may be written"), 4);
}

#[test]
fn every_operation_on_values_of_a_locked_map_takes_the_lock() {
    let map = Map::<Hash<u32, Locked>>::create("hash", 8).expect("it can be created");
    let map = map.locked().expect("its values have a lock");
    // The kernel refuses to lock values without a lock.
    let lockless = Map::<Hash<u32, [u32; 4096]>>::create("lockless", 8);
    let lockless = lockless.expect("it can be created");
    lockless
        .insert(&1, &[7; 4096], UpdateMode::Any)
        .expect("there is room");
    replace(&map, &lockless);
    let clone = map.try_clone().expect("it can be cloned");
    let many = map.insert_many([(1, value(1))]);
    for answer in [
        map.get(&1).map(drop),
        clone.get(&1).map(drop),
        map.insert(&1, &value(1), UpdateMode::Any).map(drop),
        map.take(&1).map(drop),
        map.iter().next().expect("there is an answer").map(drop),
        map.drain(|_, _| ()).map(drop),
        many.map(drop).map_err(|partial| partial.source),
    ] {
        let error = answer.expect_err("there is no lock");
        let Error::Kernel { source, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(source.raw_os_error(), Some(libc::EINVAL), "{error}");
    }
    // Operations on keys only take no lock.
    assert_eq!(map.next_key(None).expect("it can be read"), Some(1));
    assert_eq!(map.remove_many([2]).expect("it may be written"), 0);
    assert!(map.remove(&1).expect("it may be written"));
}

#[test]
fn a_map_of_values_without_a_lock_is_not_locked() {
    let map = Map::<Hash<u32, u64>>::create("lockless", 8).expect("it can be created");
    let error = map.locked().expect_err("its values have no lock");
    assert_eq!(
        error.to_string(),
        "the values of map `lockless` have no `struct bpf_spin_lock` in their BTF"
    );
}
