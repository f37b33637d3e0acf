//! Reading a map while others write it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::thread;

use kamap_bpf::{
    AnyMap, BatchBuf, Creatable, Error, Hash, Hashed, LpmTrie, LruHash, Map, PerCpu, PerCpuHash,
    UpdateMode,
};
use kamap_tests::maps::{Net, while_written};

const ROUNDS: u32 = 2_000;
/// Keys below these are always present: few, or more than fit into a small batch.
const STABLE: u32 = 40;
const MANY: u32 = 300;

/// Inserts, replaces and removes: in each round a key above `MANY` is inserted, another one is
/// removed, and a stable one is replaced. The map is read with small and large batches: so that
/// most batches end inside the map, some because they are full, or so that one batch has
/// everything.
#[track_caller]
fn churns<T>(name: &str, max_entries: u32, value: impl Fn(u32) -> T::Value + Sync)
where
    T: Hashed<Key = u32> + Creatable,
    T::Value: Debug + PartialEq,
{
    let map = Map::<T>::create(name, max_entries).expect("it can be created");
    for key in 0..MANY {
        map.insert(&key, &value(key), UpdateMode::Any)
            .expect("there is room");
    }
    let write = |round: u32| {
        let key = MANY + round % 997;
        map.insert(&key, &value(key), UpdateMode::Any)
            .expect("there is room");
        let stable = round % MANY;
        map.insert(&stable, &value(stable), UpdateMode::Any)
            .expect("it is there");
        map.remove(&key).expect("it can be removed");
    };
    let rooms = [1, 8, 64, 1_024];
    let (mut round, mut grew) = (0, false);
    let read = || {
        let room = rooms[round % rooms.len()];
        round += 1;
        let mut buf = BatchBuf::with_room(room);
        let mut batches = map.batches(&mut buf);
        let steps_at_first = steps_left(&batches);
        let mut seen = vec![false; (MANY + 997) as usize];
        let mut count = 0;
        while let Some(batch) = batches.next_batch().expect("it can be read") {
            count += 1;
            grew |= batch.len() > room;
            for (key, found) in batch {
                assert_eq!(found, value(key), "the value of {key} is another's");
                let twice = std::mem::replace(&mut seen[key as usize], true);
                assert!(!twice, "{key} came twice");
            }
        }
        for key in 0..MANY {
            assert!(seen[key as usize], "{key} did not come");
        }
        assert!(count > 1 || room > MANY as usize, "all in one of {room}");
        // One step for each batch, which has at least one bucket, one to double the batch, and one
        // for the end.
        let steps = steps_at_first - steps_left(&batches);
        let growing = max_entries.ilog2();
        assert!(steps <= count + u64::from(growing) + 1, "{steps} steps");
        assert!(steps <= u64::from(max_entries.next_power_of_two() + growing));
    };
    while_written(ROUNDS, write, read);
    // With so few buckets, some have more than one key.
    assert!(grew || max_entries > 2 * MANY, "there was room enough");
}

/// How many steps a walk has left before it returns an error.
#[track_caller]
fn steps_left(walk: &impl Debug) -> u64 {
    let shown = format!("{walk:?}");
    let (_, left) = shown.split_once("steps_left: ").expect("it is shown");
    let digits = left.split(|c: char| !c.is_ascii_digit()).next();
    digits
        .and_then(|digits| digits.parse().ok())
        .expect("it is a number")
}

#[test]
fn what_stays_in_a_hash_map_comes_exactly_once() {
    churns::<Hash<u32, [u32; 16]>>("churned", 512, |key| [key; 16]);
}

#[test]
fn what_stays_in_an_lru_hash_map_comes_exactly_once() {
    // The map is so large that it evicts nothing that is in use.
    churns::<LruHash<u32, u64>>("churned", 4_096, u64::from);
}

#[test]
fn what_stays_in_a_per_cpu_hash_map_comes_exactly_once() {
    churns::<PerCpuHash<u32, u64>>("churned", 512, |key| {
        PerCpu::same(u64::from(key)).expect("CPUs are known")
    });
}

#[test]
fn values_that_two_write_as_a_whole_are_never_torn() {
    let map = Map::<Hash<u32, [u64; 512]>>::create("torn", 4).expect("it can be created");
    let put = |round: u32| {
        map.insert(&1, &[u64::from(round); 512], UpdateMode::Any)
            .expect("there is room");
    };
    put(0);
    while_written(2_000, put, || {
        for entry in &map {
            let (_, value) = entry.expect("it can be read");
            assert!(value == [value[0]; 512], "{value:?}");
        }
    });
}

#[test]
fn draining_against_an_inserter_loses_and_doubles_nothing() {
    const KEYS: u32 = 20_000;
    let map = Map::<Hash<u32, u32>>::create("drained", KEYS).expect("it can be created");
    let mut seen = BTreeMap::new();
    thread::scope(|scope| {
        let inserter = scope.spawn(|| {
            for key in 0..KEYS {
                map.insert(&key, &(key + 1), UpdateMode::Any)
                    .expect("there is room");
            }
        });
        loop {
            let done = inserter.is_finished();
            let count = map.drain(|key, value| {
                assert_eq!(seen.insert(key, value), None, "{key} came twice");
            });
            if count.expect("it may be written") == 0 && done {
                break;
            }
        }
    });
    assert_eq!(seen, (0..KEYS).map(|key| (key, key + 1)).collect());
}

#[test]
fn what_stays_in_a_trie_comes_exactly_once() {
    let map = Map::<LpmTrie<Net, u32>>::create("churned", 256).expect("it can be created");
    let net = |i: u32, last| Net {
        prefix_len: 32,
        address: [10, 0, i as u8, last],
    };
    for i in 0..STABLE {
        map.insert(&net(i, 1), &i, UpdateMode::Any)
            .expect("there is room");
    }
    let write = |round: u32| {
        let i = round % STABLE;
        map.insert(&net(i, 0), &i, UpdateMode::Any)
            .expect("there is room");
        map.insert(&net(i, 7), &i, UpdateMode::Any)
            .expect("there is room");
        map.remove(&net(i, 0)).expect("it can be removed");
        map.remove(&net(i, 7)).expect("it can be removed");
    };
    let fd = map.as_fd().try_clone_to_owned();
    let untyped = AnyMap::from_fd(fd.expect("it can be duplicated")).expect("it is a map");
    let mut typed = false;
    while_written(500, write, || {
        let mut seen = BTreeSet::new();
        let mut see = |address| assert!(seen.insert(address), "{address:?} came twice");
        typed = !typed;
        if typed {
            for entry in &map {
                let (key, _) = entry.expect("it can be read");
                see(key.address);
            }
        } else {
            let end = untyped.walk(|key, _| -> ControlFlow<()> {
                see(*key.last_chunk().expect("it has an address"));
                ControlFlow::Continue(())
            });
            assert!(end.expect("it can be read").is_continue());
        }
        for i in 0..STABLE {
            let stable = net(i, 1).address;
            assert!(seen.contains(&stable), "{i} did not come, typed: {typed}");
        }
    });
}

#[test]
fn a_walk_over_a_trie_that_never_comes_to_an_end_is_given_up() {
    let map = Map::<LpmTrie<Net, u32>>::create("endless", 1).expect("it can be created");
    let net = |i: u32| Net {
        prefix_len: 32,
        address: i.to_be_bytes(),
    };
    map.insert(&net(0), &0, UpdateMode::Any)
        .expect("there is room");
    let mut walk = map.iter();
    let mut found = 0;
    let error = loop {
        match walk.next().expect("there is always another one") {
            Ok((key, value)) => {
                assert_eq!((key, value), (net(found), found));
                found += 1;
                assert!(map.remove(&key).expect("it can be removed"));
                // The key after the current one.
                let put = map.insert(&net(found), &found, UpdateMode::Any);
                assert!(put.expect("there is room for one"));
            }
            Err(err) => break err,
        }
    };
    assert!(
        matches!(&error, Error::Unstable { map } if map == "endless"),
        "{error}"
    );
    assert!((1_000..10_000).contains(&found), "{found}");
    assert!(walk.next().is_none(), "an error ends the walk");
}
