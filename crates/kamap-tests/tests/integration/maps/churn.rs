//! Reading a map while others write it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use super::kinds::Net;
use kamap::maps::{Creatable, Hash, Hashed, LpmTrie, LruHash, Map, PerCpu, PerCpuHash, Put};

const ROUNDS: u32 = 2_000;
/// Keys below are there all the time.
const STABLE: u32 = 40;

/// Lets `read` and `write` run at the same time until each has run so often.
pub(super) fn while_written(
    rounds: u32,
    mut write: impl FnMut(u32) + Send,
    mut read: impl FnMut(),
) {
    let (written, done) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        // Also if reading panics, or there would be no end.
        let _ending = Ending(&done);
        let writer = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                write(written.fetch_add(1, Ordering::Relaxed));
            }
        });
        let mut read_rounds = 0;
        // A writer that panicked has ended; the scope tells.
        while (read_rounds < rounds || written.load(Ordering::Relaxed) < rounds)
            && !writer.is_finished()
        {
            read();
            read_rounds += 1;
        }
    });
}

/// Tells another thread to end.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Inserts, replaces and removes: each round a key above `STABLE` comes, one goes, and
/// a stable one is replaced.
#[track_caller]
fn churns<T>(name: &str, max_entries: u32, value: impl Fn(u32) -> T::Value + Sync)
where
    T: Hashed<Key = u32> + Creatable,
    T::Value: Debug + PartialEq,
{
    let map = Map::<T>::create(name, max_entries).expect("it can be created");
    for key in 0..STABLE {
        map.insert(&key, &value(key), Put::Any)
            .expect("there is room");
    }
    let write = |round: u32| {
        let key = STABLE + round % 997;
        map.insert(&key, &value(key), Put::Any)
            .expect("there is room");
        let stable = round % STABLE;
        map.insert(&stable, &value(stable), Put::Any)
            .expect("it is there");
        map.remove(&key).expect("it can be removed");
    };
    let read = || {
        let mut seen = BTreeSet::new();
        for entry in &map {
            let (key, found) = entry.expect("it can be read");
            assert_eq!(found, value(key), "the value of {key} is another's");
            assert!(seen.insert(key), "{key} came twice");
        }
        for key in 0..STABLE {
            assert!(seen.contains(&key), "{key} did not come");
        }
    };
    while_written(ROUNDS, write, read);
}

#[test]
fn what_stays_in_a_hash_map_comes_exactly_once() {
    churns::<Hash<u32, [u32; 16]>>("churned", 64, |key| [key; 16]);
}

#[test]
fn what_stays_in_an_lru_hash_map_comes_exactly_once() {
    // Of a map this large, nothing that is used is forgotten.
    churns::<LruHash<u32, u64>>("churned", 4_096, u64::from);
}

#[test]
fn what_stays_in_a_per_cpu_hash_map_comes_exactly_once() {
    churns::<PerCpuHash<u32, u64>>("churned", 64, |key| {
        PerCpu::same(u64::from(key)).expect("CPUs are known")
    });
}

#[test]
fn values_that_two_write_as_a_whole_are_never_torn() {
    let map = Map::<Hash<u32, [u64; 512]>>::create("torn", 4).expect("it can be created");
    let put = |round: u32| {
        map.insert(&1, &[u64::from(round); 512], Put::Any)
            .expect("there is room");
    };
    put(0);
    while_written(ROUNDS, put, || {
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
                map.insert(&key, &(key + 1), Put::Any)
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
        map.insert(&net(i, 1), &i, Put::Any).expect("there is room");
    }
    let write = |round: u32| {
        let i = round % STABLE;
        map.insert(&net(i, 0), &i, Put::Any).expect("there is room");
        map.insert(&net(i, 7), &i, Put::Any).expect("there is room");
        map.remove(&net(i, 0)).expect("it can be removed");
        map.remove(&net(i, 7)).expect("it can be removed");
    };
    while_written(ROUNDS / 4, write, || {
        let mut seen = BTreeSet::new();
        for entry in &map {
            let (key, _) = entry.expect("it can be read");
            assert!(seen.insert(key), "{key:?} came twice");
        }
        for i in 0..STABLE {
            assert!(seen.contains(&net(i, 1)), "{i} did not come");
        }
    });
}
