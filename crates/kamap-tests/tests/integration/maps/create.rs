//! Creating maps: why the kernel refuses, and pins that may exist already.

use std::fs;
use std::sync::Barrier;
use std::thread;

use kamap_bpf::{
    AnyMap, Array, Check, Error, Hash, LruHash, Map, MapSpec, MapType, Queue, UpdateMode,
};
use kamap_tests::BpfFs;
use rstest::rstest;

#[rstest]
#[case::lru_without_memory(
    MapType::LRU_HASH,
    (4, 8),
    MapSpec::new("lru", 8).no_prealloc(),
    "an LRU map needs its memory from the beginning (not `no_prealloc`)"
)]
#[case::name(
    MapType::HASH,
    (4, 8),
    MapSpec::new("no/slash", 8),
    "a name has only letters, digits, `_` and `.`"
)]
#[case::zero_entries(
    MapType::ARRAY,
    (4, 8),
    MapSpec::new("none", 0),
    "it needs room for one entry at least"
)]
#[case::trie_with_memory(
    MapType::LPM_TRIE,
    (8, 8),
    MapSpec::new("trie", 8),
    "an LPM trie needs the flag `no_prealloc`"
)]
#[case::map_of_nothing(
    MapType::ARRAY_OF_MAPS,
    (4, 4),
    MapSpec::new("outer", 8),
    "a map of maps needs a map that is like those that it will hold"
)]
#[case::ring_of_any_size(
    MapType::RINGBUF,
    (0, 0),
    MapSpec::new("ring", 5_000),
    "the size of a ring buffer is a power of two, and whole pages"
)]
#[case::no_known_cause(
    MapType::HASH,
    (0, 8),
    MapSpec::new("hash", 8),
    "Invalid argument (os error 22)"
)]
fn a_refused_map_is_reported_with_the_cause(
    #[case] kind: MapType,
    #[case] sizes: (u32, u32),
    #[case] spec: MapSpec<'_>,
    #[case] cause: &str,
) {
    let error = AnyMap::create(kind, sizes, &spec).expect_err("it is refused");
    let told = error.to_string();
    assert!(
        told.starts_with("the kernel refused map `") && told.ends_with(cause),
        "{told}"
    );
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
}

#[test]
fn a_typed_map_is_refused_with_the_cause_as_well() {
    let spec = MapSpec::new("lru", 8).no_prealloc();
    let error = Map::<LruHash<u32, u64>>::create_with(&spec).expect_err("it is refused");
    assert_eq!(
        error.to_string(),
        "the kernel refused map `lru` of 8 entries: an LRU map needs its memory from the \
         beginning (not `no_prealloc`)"
    );
}

#[test]
fn a_pin_is_opened_or_created() {
    let bpffs = BpfFs::mount();
    let path = bpffs.at("counts");
    let spec = MapSpec::new("counts", 8).no_prealloc();
    let open = |spec: &MapSpec<'_>| {
        Map::<Hash<u32, u64>>::open_or_create_pinned(&path, spec, Check::Layout)
    };
    let first = open(&spec).expect("it can be created");
    first
        .insert(&1, &10, UpdateMode::Any)
        .expect("there is room");
    drop(first);
    let second = open(&spec).expect("it is pinned");
    assert_eq!(second.get(&1).expect("it can be read"), Some(10));

    let larger = open(&MapSpec::new("counts", 9).no_prealloc());
    assert_eq!(
        larger.expect_err("it has less room").to_string(),
        "map `counts` has max_entries 8, expected 9"
    );
    let allocated = open(&MapSpec::new("counts", 8));
    assert_eq!(
        allocated.expect_err("it has a flag").to_string(),
        "map `counts` has flags 1, expected 0"
    );
    let array = Map::<Array<u64>>::open_or_create_pinned(&path, &spec, Check::Layout);
    assert!(matches!(array, Err(Error::WrongKind { .. })), "{array:?}");

    // The kernel keeps no BTF for this type, so it is not compared.
    let path = bpffs.at("queue");
    for _ in 0..2 {
        let spec = MapSpec::new("queue", 8);
        let queue = Map::<Queue<u32>>::open_or_create_pinned(&path, &spec, Check::Layout);
        queue.expect("it fits").push(&7).expect("there is room");
    }
}

#[test]
fn all_who_create_a_pin_at_once_get_the_same_map() {
    let bpffs = BpfFs::mount();
    for round in 0..50 {
        let path = bpffs.at(&format!("map{round}"));
        let start = Barrier::new(2);
        let open = || {
            start.wait();
            let spec = MapSpec::new("raced", 8);
            let map = Map::<Array<u64>>::open_or_create_pinned(&path, &spec, Check::Layout);
            map.expect("either creates it").info().map(|info| info.id)
        };
        let ids = thread::scope(|scope| {
            let other = scope.spawn(open);
            [open(), other.join().expect("it does not panic")]
        });
        let [one, other] = ids.map(|id| id.expect("it is there"));
        assert_eq!(one, other);
    }
}

#[test]
fn what_is_not_a_pin_is_reported_as_what_it_is() {
    let bpffs = BpfFs::mount();
    let folder = bpffs.at("folder");
    fs::create_dir(&folder).expect("it can be made");
    for (path, what) in [
        (folder.as_path(), "a directory"),
        (
            "/etc/passwd".as_ref(),
            "a file that is not in a BPF file system",
        ),
    ] {
        let told = format!("cannot open `{}` as a pin: it is {what}", path.display());
        let errors = [
            Map::<Array<u64>>::open_pinned(path, Check::Layout).expect_err("it is not a pin"),
            AnyMap::open_pinned(path).expect_err("it is not a pin"),
            kamap_bpf::open_program_pinned(path).expect_err("it is not a pin"),
        ];
        for error in errors {
            assert!(matches!(error, Error::NotAPin { .. }), "{error:?}");
            assert_eq!(error.to_string(), told);
        }
    }
}
