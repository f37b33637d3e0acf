//! Many entries with few system calls.

use kamap_bpf::{BatchBuf, Error, Hash, Map, UpdateMode};

#[test]
fn what_was_done_before_an_error_is_counted() {
    let map = Map::<Hash<u32, u64>>::create("part", 1_000).expect("it can be created");
    let full = map.insert_many((0..2_000).map(|key| (key, u64::from(key))));
    let full = full.expect_err("there is no room");
    assert_eq!(full.done, 1_000);
    assert_eq!(
        full.to_string(),
        "after 1000: map `part` is full (1000 entries)"
    );
    assert_eq!(map.iter().count(), 1_000);

    map.freeze().expect("nobody maps it");
    let frozen = map.insert_many([(0, 1), (1, 2)]).expect_err("it is frozen");
    assert!(matches!(frozen.source, Error::Frozen { .. }), "{frozen}");
    assert_eq!(frozen.done, 0);
    let frozen = map.remove_many(0..10).expect_err("it is frozen");
    assert!(matches!(frozen.source, Error::Frozen { .. }), "{frozen}");
    assert_eq!(frozen.done, 0);
}

#[test]
fn keys_that_are_not_there_stop_no_removal() {
    let map = Map::<Hash<u16, u64>>::create("gaps", 2_000).expect("it can be created");
    for key in (0..2_000).step_by(3) {
        map.insert(&key, &1, UpdateMode::Any)
            .expect("there is room");
    }
    let removed = map.remove_many(0..1_000).expect("it may be written");
    assert_eq!(removed, 334);
    assert_eq!(map.iter().count(), 333);
    assert_eq!(map.remove_many([]).expect("it may be written"), 0);
    assert_eq!(map.insert_many([]).expect("it may be written"), 0);
}

#[test]
fn batches_of_any_size_read_everything_once() {
    let map = Map::<Hash<[u8; 3], u16>>::create("sizes", 1_000).expect("it can be created");
    let key = |i: u16| [i as u8, (i >> 8) as u8, 7];
    map.insert_many((0..900).map(|i| (key(i), i)))
        .expect("there is room");
    for room in [0, 1, 8, 64, 256, 0x4000_0001, usize::MAX] {
        let mut buf = BatchBuf::with_room(room);
        for _ in 0..2 {
            let mut seen = vec![false; 900];
            let mut batches = map.batches(&mut buf);
            while let Some(batch) = batches.next_batch().expect("it can be read") {
                assert!(batch.len() > 0);
                for (found, i) in batch {
                    assert_eq!(found, key(i));
                    assert!(
                        !std::mem::replace(&mut seen[usize::from(i)], true),
                        "{i} came twice"
                    );
                }
            }
            assert!(batches.next_batch().expect("it has ended").is_none());
            assert!(seen.iter().all(|seen| *seen));
        }
    }
}
