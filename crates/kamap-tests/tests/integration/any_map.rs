//! Maps opened without knowing their types.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kamap_bpf::{AnyMap, Error, MapSpec, MapType, UpdateMode};
use kamap_tests::{BpfFs, Program, SetOnDrop, possible_cpus, table};
use libbpf_rs::libbpf_sys as sys;
use rstest::rstest;

#[track_caller]
fn make(kind: &str, key_size: u32, value_size: u32, max_entries: u32) -> AnyMap {
    let flags = if kind == "lpm_trie" {
        sys::BPF_F_NO_PREALLOC
    } else {
        0
    };
    let kind = MapType::from_name(kind).expect("there is such a type");
    let spec = MapSpec::new("any", max_entries).flags(flags);
    AnyMap::create(kind, (key_size, value_size), &spec).expect("it can be made")
}

/// All entries, each of which must come once.
#[track_caller]
fn entries(map: &AnyMap) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut entries = BTreeMap::new();
    let end = map.walk(|key, value| -> ControlFlow<()> {
        let twice = entries.insert(key.to_vec(), value.to_vec());
        assert_eq!(twice, None, "{key:?} came twice");
        ControlFlow::Continue(())
    });
    assert_eq!(end.expect("it can be walked"), ControlFlow::Continue(()));
    entries
}

#[test]
fn wrong_lengths_are_refused() {
    for (kind, value_len) in [("hash", 6), ("percpu_hash", 8 * possible_cpus())] {
        let map = make(kind, 4, 6, 8);
        assert_eq!(map.value_len(), value_len);
        let [key, value] = [vec![0; 4], vec![0; value_len]];
        assert!(
            map.insert(&key, &value, UpdateMode::Any, false)
                .expect("it fits")
        );
        for len in [0, 3, 5] {
            for answer in [
                map.get(&vec![0; len], false).map(drop),
                map.take(&vec![0; len], false).map(drop),
                map.remove(&vec![0; len]).map(drop),
                map.next_key(Some(&vec![0; len])).map(drop),
                map.insert(&vec![0; len], &value, UpdateMode::Any, false)
                    .map(drop),
            ] {
                let error = answer.expect_err("the key is too short or too long");
                let told = format!("a key of map `any` has 4 bytes, not {len}");
                assert_eq!(error.to_string(), told);
            }
        }
        for len in [0, value_len - 1, value_len + 1, 6 * (possible_cpus() + 1)] {
            let error = map.insert(&key, &vec![0; len], UpdateMode::Any, false);
            let error = error.expect_err("the value is too short or too long");
            assert!(
                matches!(error, Error::WrongLength { part: "value", .. }),
                "{error}"
            );
        }
        assert_eq!(entries(&map).len(), 1);
    }
}

#[rstest]
// Their values are so large that they do not fit into one batch.
#[case::hash("hash", 3, 2_000)]
#[case::lru_hash("lru_hash", 8, 1_000)]
#[case::percpu_hash("percpu_hash", 4, 999)]
#[case::lru_percpu_hash("lru_percpu_hash", 4, 8)]
#[case::lpm_trie("lpm_trie", 8, 4)]
fn a_walk_shows_what_stays_once_while_others_come_and_go(
    #[case] kind: &str,
    #[case] key_size: u32,
    #[case] value_size: u32,
) {
    const STABLE: u32 = 100;
    // A nearly full LRU map would evict the entries that must stay.
    let max_entries = if kind.starts_with("lru") { 4_096 } else { 512 };
    let map = make(kind, key_size, value_size, max_entries);
    let value = vec![7; map.value_len()];
    let key = |number: u32| {
        let mut key = if kind == "lpm_trie" {
            // Prefixes of 24 bits; some of them extend a prefix of 16 bits.
            let prefix: u32 = if number.is_multiple_of(3) { 16 } else { 24 };
            let [a, b, c, _] = (number << 8).to_be_bytes();
            [
                prefix.to_ne_bytes().as_slice(),
                &[a, b, if prefix == 16 { 0 } else { c }, 0],
            ]
            .concat()
        } else {
            number.to_le_bytes().to_vec()
        };
        key.resize(key_size as usize, 0);
        key
    };
    let stable: Vec<_> = (0..STABLE).map(|number| key(number * 65)).collect();
    for key in &stable {
        map.insert(key, &value, UpdateMode::Any, false)
            .expect("there is room");
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _done = SetOnDrop(&done);
        scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                number = (number + 1) % 3_000;
                let key = key(100_000 + number);
                map.insert(&key, &value, UpdateMode::Any, false)
                    .expect("there is room");
                map.remove(&key).expect("it can be removed");
            }
        });
        for _ in 0..100 {
            let found = entries(&map);
            for key in &stable {
                assert!(found.contains_key(key), "{key:?} is missing");
            }
        }
    });
}

#[rstest]
#[case::hash("hash", 4)]
#[case::lpm_trie("lpm_trie", 8)]
#[case::devmap_hash("devmap_hash", 4)]
fn a_walk_goes_on_where_the_key_has_gone(#[case] kind: &str, #[case] key_size: u32) {
    let map = make(kind, key_size, 4, 64);
    // The loopback device, which every machine has.
    let value = 1_u32.to_ne_bytes();
    for number in 0..64_u32 {
        let mut key = vec![];
        if kind == "lpm_trie" {
            key.extend(32_u32.to_ne_bytes());
        }
        key.extend(number.to_be_bytes());
        assert!(
            map.insert(&key, &value, UpdateMode::IfAbsent, false)
                .expect("there is room")
        );
    }
    let mut seen = BTreeSet::new();
    let end = map.walk(|key, _| -> ControlFlow<()> {
        assert!(seen.insert(key.to_vec()), "{key:?} came twice");
        if seen.len() % 3 == 0 {
            assert!(map.remove(key).expect("it can be removed"));
        }
        ControlFlow::Continue(())
    });
    assert_eq!(end.expect("it can be walked"), ControlFlow::Continue(()));
    assert_eq!(seen.len(), 64);
    assert_eq!(entries(&map).len(), 64 - 64 / 3);
}

#[rstest]
#[case::lpm_trie("lpm_trie")]
#[case::devmap_hash("devmap_hash")]
fn a_walk_that_never_comes_to_an_end_is_given_up(#[case] kind: &str) {
    let is_trie = kind == "lpm_trie";
    let map = make(kind, if is_trie { 8 } else { 4 }, 4, 1);
    // The loopback device, which every machine has.
    let value = 1_u32.to_ne_bytes();
    let mut number = 0_u32;
    let mut key = || {
        number += 1;
        let prefix = is_trie.then_some(32_u32.to_ne_bytes());
        [prefix.as_slice().concat(), number.to_be_bytes().to_vec()].concat()
    };
    let put = |key: &[u8]| {
        let put = map.insert(key, &value, UpdateMode::IfAbsent, false);
        assert!(put.expect("there is room for one"));
    };
    put(&key());
    let mut count = 0;
    let end = map.walk(|last, _| -> ControlFlow<()> {
        count += 1;
        assert!(map.remove(last).expect("it can be removed"));
        // The key after the current one.
        put(&key());
        ControlFlow::Continue(())
    });
    let error = end.expect_err("there is always another one");
    assert!(matches!(error, Error::Unstable { .. }), "{error}");
    assert_eq!(error.to_string(), "map `any` could not be read to its end");
    assert!((2..10_000).contains(&count), "{count}");
}

#[test]
fn a_walk_needs_room_for_a_bucket_only() {
    // A batch has room for one such value, and some of the 60 keys share one of the 64 buckets.
    const LEN: usize = 40_000;
    let map = make("hash", 4, LEN as u32, 60);
    for number in 0..60_u32 {
        let value = vec![number as u8; LEN];
        map.insert(&number.to_ne_bytes(), &value, UpdateMode::IfAbsent, false)
            .expect("there is room");
    }
    let found = entries(&map);
    assert_eq!(found.len(), 60);
    for (key, value) in &found {
        assert_eq!((value[0], value[LEN - 1]), (key[0], key[0]));
    }
    let mut count = 0;
    let broken = map.walk(|_, _| {
        count += 1;
        if count == 20 {
            ControlFlow::Break("enough")
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!(
        broken.expect("it can be read"),
        ControlFlow::Break("enough")
    );
    assert_eq!(count, 20);
}

#[test]
fn what_is_no_map_is_refused_whatever_it_is() {
    let folder = BpfFs::mount();
    let program = Program::load();
    let path = folder.at("program");
    program.pin(&path);
    let fd = kamap_bpf::open_program_id(program.id).expect("it is there");
    let error = AnyMap::open_pinned(&path).expect_err("it is a program");
    assert!(matches!(error, Error::NotAMap { .. }), "{error}");
    let error = AnyMap::unpin(&path).expect_err("it is a program");
    assert!(matches!(error, Error::NotAMap { .. }), "{error}");
    assert!(path.exists());
    let error = AnyMap::from_fd(fd).expect_err("it is a program");
    assert!(matches!(error, Error::NotAMap { .. }), "{error}");
    let file = std::fs::File::open("/dev/null").expect("it is there");
    let error = AnyMap::from_fd(file.into()).expect_err("it is a file");
    assert!(matches!(error, Error::NotAMap { .. }), "{error}");
}

#[test]
fn each_kind_that_can_be_made_can_be_opened() {
    let hash = make("hash", 4, 4, 1);
    let mut opened = 0;
    for kind in MapType::all() {
        let name = kind.name().expect("it has one");
        let (key_size, value_size, max_entries) = match name {
            "ringbuf" | "user_ringbuf" => (0, 0, 4_096),
            "arena" => (0, 0, 1),
            "queue" | "stack" | "bloom_filter" => (0, 4, 1),
            "lpm_trie" | "stack_trace" => (8, 8, 1),
            "cgroup_storage" | "percpu_cgroup_storage" => (8, 8, 0),
            "insn_array" => (4, 16, 1),
            _ => (4, 4, 1),
        };
        let flags = match name {
            "lpm_trie" => sys::BPF_F_NO_PREALLOC,
            "arena" => sys::BPF_F_MMAPABLE,
            _ => 0,
        };
        let spec = MapSpec::new("any", max_entries).flags(flags);
        let spec = if name.ends_with("_of_maps") {
            spec.inner(&hash)
        } else {
            spec
        };
        let key_size = if name == "stack_trace" { 4 } else { key_size };
        let made = AnyMap::create(kind, (key_size, value_size), &spec);
        let map = match made {
            Ok(map) => map,
            // Some types need BTF, others a newer kernel.
            Err(Error::Refused { .. }) => continue,
            Err(err) => panic!("{name}: {err}"),
        };
        assert_eq!(map.info().kind, kind);
        let types = map.types().expect("they are known");
        assert_eq!(
            (types.key.size, types.value.size),
            (map.key_len(), map.value_len())
        );
        // Walking an empty map ends at once, or is not possible.
        match map.walk(|_, _| -> ControlFlow<()> { ControlFlow::Continue(()) }) {
            Ok(end) => assert_eq!(end, ControlFlow::Continue(())),
            Err(Error::NotOfKind { .. }) => {}
            Err(err) => panic!("{name}: {err}"),
        }
        opened += 1;
    }
    assert!(opened >= 22, "{opened}");
}

#[test]
fn maps_of_programs_are_read_by_their_btf() {
    let tracker = table::tracker();
    let ids = kamap_tests::Loaded::by(std::process::id()).maps;
    let map = |name: &str| {
        let mut maps = ids.iter().filter_map(|id| AnyMap::open_id(*id).ok());
        let map = maps.find(|map| map.info().name.ends_with(name));
        map.unwrap_or_else(|| panic!("there is no map {name}"))
    };
    // The variables of the programs.
    let variables = map(".bss");
    let types = variables.types().expect("they can be read");
    let (key, value) = entries(&variables).pop_first().expect("there is one");
    assert_eq!(types.key.read(&key).to_string(), "0");
    let shown = types.value.read(&value).to_string();
    assert!(shown.contains("events_lost: 0"), "{shown}");
    assert_eq!(types.parse_value(&shown).ok(), Some(value));

    let map = map("processes");
    let types = map.types().expect("they can be read");
    let pid = std::process::id();
    let key = types.parse_key(&pid.to_string()).expect("it is a PID");
    let value = map
        .get(&key, false)
        .expect("it can be read")
        .expect("this test is alive");
    let shown = types.value.read(&value).to_string();
    let parsed = types.parse_value(&shown).expect("it can be read again");
    assert_eq!(types.value.read(&parsed).to_string(), shown);
    assert!(shown.contains(&format!("pid: {pid}")), "{shown}");
    drop(tracker);
}

#[test]
fn a_handle_for_reading_or_writing_alone_says_so() {
    let [read, written] = [sys::BPF_F_RDONLY, sys::BPF_F_WRONLY].map(|flags| {
        let spec = MapSpec::new("handle", 1).flags(flags);
        AnyMap::create(MapType::ARRAY, (4, 1), &spec).expect("it can be made")
    });
    let key = 0_u32.to_ne_bytes();
    assert_eq!(
        read.get(&key, false).expect("it may be read"),
        Some(vec![0])
    );
    assert!(
        written
            .insert(&key, &[1], UpdateMode::Any, false)
            .expect("it may be written")
    );
    let walked = written.walk(|_, _| -> ControlFlow<()> { panic!("nothing may be read") });
    for (answer, operation) in [
        (
            read.insert(&key, &[1], UpdateMode::Any, false).map(drop),
            "insert",
        ),
        (written.get(&key, false).map(drop), "look up"),
        (walked.map(drop), "read a batch"),
    ] {
        let error = answer.expect_err("it is not allowed");
        let told = format!("not permitted to {operation} in map `handle`: ");
        assert!(error.to_string().starts_with(&told), "{error}");
        assert!(matches!(error, Error::Denied { .. }), "{error}");
    }
}
