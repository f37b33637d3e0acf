//! Handles: access modes, ways to open them, pins, errors.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use kamap_bpf::{
    AnyMap, Array, BatchBuf, Check, Error, Hash, LpmTrie, Map, MapSpec, MapType, Queue, ReadOnly,
    SpinLock, UpdateMode, WriteOnly,
};
use kamap_tests::maps::{Net, replace};
use kamap_tests::{BpfFs, Program};
use libbpf_rs::libbpf_sys;

type Counts = Hash<u32, u64>;

fn counts(name: &str) -> Map<Counts> {
    let map = Map::<Counts>::create(name, 8).expect("it can be created");
    map.insert(&1, &10, UpdateMode::Any).expect("there is room");
    map
}

#[test]
fn a_clone_outlives_the_original() {
    let map = counts("cloned");
    let clone = map.try_clone().expect("it can be cloned");
    drop(map);
    assert_eq!(clone.get(&1).expect("it can be read"), Some(10));
    assert_eq!(clone.name(), "cloned");
}

#[test]
fn a_map_can_become_its_file_descriptor() {
    let map = counts("given");
    let number = map.as_raw_fd();
    assert_eq!(number, map.as_fd().as_raw_fd());
    let fd = OwnedFd::from(map);
    assert_eq!(fd.as_raw_fd(), number);
    let any = AnyMap::from_fd(fd).expect("it is a map");
    assert_eq!(any.as_raw_fd(), number);
    let map = Map::<Counts>::from_fd(any.into(), Check::Layout).expect("it is the same");
    assert_eq!(map.get(&1).expect("it can be read"), Some(10));
}

#[test]
fn pins_keep_a_map_and_can_be_taken_away() {
    let bpffs = BpfFs::mount();
    let (first, second) = (bpffs.at("first"), bpffs.at("second"));
    let map = counts("pinned");
    map.pin(&first).expect("the place is free");
    map.pin(&second).expect("the place is free");
    let taken = map.pin(&first).expect_err("the place is taken");
    assert!(
        matches!(&taken, Error::Pin { path, .. } if *path == first),
        "{taken}"
    );
    let outside = map
        .pin("/dev/null/x")
        .expect_err("it is no BPF file system");
    assert!(
        outside
            .to_string()
            .starts_with("failed to pin or unpin map `pinned` at `/dev/null/x`")
    );

    drop(map);
    let map = Map::<Counts>::open_pinned(&first, Check::Layout).expect("it is pinned");
    let again = Map::<Counts>::open_pinned(&second, Check::Layout).expect("it is pinned");
    map.insert(&2, &20, UpdateMode::Any).expect("there is room");
    assert_eq!(again.get(&2).expect("it can be read"), Some(20));

    let other = counts("other");
    let refused = other.unpin(&first).expect_err("it is another map's");
    assert!(matches!(refused, Error::PinnedOther { .. }), "{refused}");
    assert!(map.unpin(&first).expect("it is pinned"));
    assert!(!map.unpin(&first).expect("it is no longer"));
    assert!(!first.exists() && second.exists());

    let none = Map::<Counts>::open_pinned(&first, Check::Layout).expect_err("it is no longer");
    assert_eq!(
        none.to_string(),
        format!("there is no map pinned at `{}`", first.display())
    );
}

#[test]
fn a_pinned_program_is_no_map() {
    let bpffs = BpfFs::mount();
    let path = bpffs.at("program");
    Program::load().pin(&path);
    let error = Map::<Counts>::open_pinned(&path, Check::Layout).expect_err("it is a program");
    assert!(matches!(error, Error::NotAMap { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!(
            "what is pinned at `{}` is a BPF program, not a map",
            path.display()
        )
    );
    let map = counts("map");
    let error = map.unpin(&path).expect_err("it is a program");
    assert!(matches!(error, Error::PinnedOther { .. }), "{error}");
    assert!(path.exists());
}

#[test]
fn handles_do_what_they_were_opened_for() {
    let bpffs = BpfFs::mount();
    let path = bpffs.at("map");
    let map = counts("modes");
    map.pin(&path).expect("the place is free");
    let reader = Map::<Counts, ReadOnly>::open_pinned(&path, Check::Layout).expect("it is pinned");
    let writer = Map::<Counts, WriteOnly>::open_pinned(&path, Check::Layout).expect("it is pinned");
    writer
        .insert(&2, &20, UpdateMode::Any)
        .expect("it may write");
    assert_eq!(reader.get(&2).expect("it may read"), Some(20));
    assert_eq!(reader.iter().count(), 2);

    let reading = |fd: &dyn AsFd| fd.as_fd().try_clone_to_owned().expect("it can be cloned");
    let fd: OwnedFd = reading(&reader);
    let error = Map::<Counts>::from_fd(fd, Check::Layout).expect_err("it may only read");
    assert_eq!(
        error.to_string(),
        "the file descriptor of map `modes` is read-only, expected read-write"
    );
    let error = Map::<Counts, ReadOnly>::from_fd(reading(&writer), Check::Layout)
        .expect_err("it may only write");
    assert_eq!(
        error.to_string(),
        "the file descriptor of map `modes` is write-only, expected read-only"
    );
    let by_all =
        Map::<Counts, ReadOnly>::from_fd(reading(&map), Check::Layout).expect("it may read");
    assert_eq!(by_all.get(&2).expect("it may read"), Some(20));
}

#[test]
fn a_frozen_map_is_read_but_not_written() {
    let map = counts("frozen");
    assert!(!map.info().expect("it is there").frozen);
    map.freeze().expect("nobody maps it");
    assert!(map.info().expect("it is there").frozen);
    assert_eq!(map.get(&1).expect("it can be read"), Some(10));
    assert_eq!(map.iter().count(), 1);
    let any = AnyMap::from_fd(map.try_clone().expect("it can be cloned").into());
    let any = any.expect("it is a map");
    let key = 1_u32.to_ne_bytes();
    for refused in [
        map.insert(&1, &2, UpdateMode::Any).map(drop),
        map.remove(&1).map(drop),
        map.take(&1).map(drop),
        map.drain(|_, _| ()).map(drop),
        map.freeze(),
        any.insert(&key, &[0; 8], UpdateMode::Any, false).map(drop),
        any.remove(&key).map(drop),
        any.take(&key, false).map(drop),
        any.freeze(),
    ] {
        let error = refused.expect_err("it is frozen");
        assert_eq!(
            error.to_string(),
            "map `frozen` is frozen: only BPF programs can write it"
        );
    }
}

#[test]
fn a_map_whose_memory_is_mapped_for_writing_is_not_frozen() {
    let options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
        map_flags: libbpf_sys::BPF_F_MMAPABLE,
        ..Default::default()
    };
    let (kind, name) = (libbpf_sys::BPF_MAP_TYPE_ARRAY, c"mapped");
    // SAFETY: a C string, and options with their size.
    let fd = unsafe { libbpf_sys::bpf_map_create(kind, name.as_ptr(), 4, 8, 1, &options) };
    assert!(fd >= 0, "{}", io::Error::from_raw_os_error(-fd));
    // SAFETY: `fd` is new; nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let (writable, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a new mapping, at an address that the kernel chooses.
    let memory =
        unsafe { libc::mmap(std::ptr::null_mut(), 8, writable, shared, fd.as_raw_fd(), 0) };
    assert_ne!(memory, libc::MAP_FAILED, "{}", io::Error::last_os_error());

    let map = Map::<Array<u64>>::from_fd(fd, Check::Sizes).expect("it is an array");
    let busy = map.freeze().expect_err("it is mapped");
    assert_eq!(
        busy.to_string(),
        "map `mapped` cannot be frozen while it is written or its memory is mapped for writing"
    );
    // SAFETY: nobody uses the memory.
    unsafe { libc::munmap(memory, 8) };
    map.freeze().expect("it is no longer mapped");
}

#[test]
fn what_the_kernel_denies_or_cannot_do_is_told_as_that() {
    let map = counts("denied");
    let id = map.info().expect("it is there").id;
    let reader = Map::<Counts, ReadOnly>::open_id(id, Check::Sizes).expect("it is there");
    let writer = Map::<Counts, WriteOnly>::open_id(id, Check::Sizes).expect("it is there");

    #[track_caller]
    fn is_denied<T>(answer: Result<T, Error>, operation: &str) {
        let error = answer.err().expect("it is not allowed");
        assert!(matches!(error, Error::Denied { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!(
                "not permitted to {operation} in map `denied`: Operation not permitted (os error 1)"
            )
        );
    }
    replace(&map, &writer);
    is_denied(map.get(&1), "look up");
    is_denied(map.next_key(None), "find the next key");
    let mut entries = map.iter();
    is_denied(entries.next().expect("there is an answer"), "read a batch");
    assert!(entries.next().is_none());
    is_denied(map.take(&1), "take");
    is_denied(map.drain(|_, _| ()), "take a batch");

    replace(&map, &reader);
    is_denied(map.insert(&1, &2, UpdateMode::Any), "insert");
    is_denied(map.remove(&1), "remove");
    is_denied(map.take(&1), "take");
    let partial = map.insert_many([(1, 2)]).expect_err("it may only read");
    assert_eq!(partial.done, 0);
    is_denied(Err::<(), _>(partial.source), "insert a batch");
    let partial = map.remove_many([1]).expect_err("it may only read");
    assert_eq!(partial.done, 0);
    is_denied(Err::<(), _>(partial.source), "remove a batch");
    assert_eq!(map.get(&1).expect("it may read"), Some(10));

    let queue = Map::<Queue<u64>>::create("queue", 8).expect("it can be created");
    replace(&map, &queue);
    for (error, operation) in [
        (
            map.iter().next().map(|entry| entry.map(drop)),
            "read a batch",
        ),
        (Some(map.drain(|_, _| ()).map(drop)), "take a batch"),
    ] {
        let error = error.expect("there is an answer");
        let error = error.expect_err("a queue has no batches");
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!("this kernel cannot {operation} in map `denied` of type `hash`; Linux 5.6 can")
        );
    }
}

#[test]
fn a_frozen_map_that_may_not_be_read_is_denied_and_not_called_frozen() {
    let map = counts("unread");
    let id = map.info().expect("it is there").id;
    map.freeze().expect("nobody maps it");
    let writer = Map::<Counts, WriteOnly>::open_id(id, Check::Sizes).expect("it is there");
    let any = AnyMap::from_fd(writer.into()).expect("it is a map");
    replace(&map, &any);
    for denied in [
        map.get(&1).map(drop),
        any.get(&1_u32.to_ne_bytes(), false).map(drop),
        any.walk(|_, _| ControlFlow::<()>::Continue(())).map(drop),
    ] {
        let error = denied.expect_err("it may only write");
        assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    }
}

#[test]
fn what_no_kernel_can_do_with_a_type_is_told_apart_from_what_this_one_cannot() {
    let array = AnyMap::create(MapType::ARRAY, (4, 8), &MapSpec::new("array", 1));
    let array = array.expect("it can be created");
    let error = array
        .take(&[0; 4], false)
        .expect_err("nothing can be removed");
    assert_eq!(
        error.to_string(),
        "map `array` is of type `array`, which cannot take"
    );
    let map = Map::<Counts>::create("swapped", 8).expect("it can be created");
    replace(&map, &array);
    let error = map.take(&1).expect_err("it is an array now");
    assert_eq!(
        error.to_string(),
        "this kernel cannot take in map `swapped` of type `hash`; Linux 5.14 can"
    );
    let locked = Map::<Array<SpinLock>>::create("locked", 1).expect("it can be created");
    if let Err(error) = locked.freeze() {
        assert_eq!(
            error.to_string(),
            "map `locked` is of type `array`, which cannot freeze values with a lock, a timer or \
             another special field"
        );
    }
}

#[test]
fn an_error_comes_once_and_ends_the_walk() {
    let map = counts("broken");
    let trie = Map::<LpmTrie<Net, u64>>::create("broken", 8).expect("it can be created");
    let (mut entries, mut prefixes) = (map.iter(), trie.iter());
    let mut buf = BatchBuf::new();
    let mut batches = map.batches(&mut buf);
    let nothing = File::open("/dev/null").expect("it is there");
    replace(&map, &nothing);
    replace(&trie, &nothing);
    let error = entries
        .next()
        .expect("there is an answer")
        .expect_err("it is no map");
    assert!(
        error
            .to_string()
            .starts_with("failed to read a batch in map `broken`: "),
        "{error}"
    );
    assert!(entries.next().is_none() && entries.next().is_none());
    let error = prefixes
        .next()
        .expect("there is an answer")
        .expect_err("it is no map");
    assert!(matches!(error, Error::Kernel { .. }), "{error}");
    assert!(prefixes.next().is_none());
    assert!(batches.next_batch().is_err());
    assert!(batches.next_batch().expect("it has ended").is_none());
}

#[test]
fn a_map_is_found_by_its_name() {
    // The kernel keeps the first 15 bytes.
    let name = format!("by_{:07}_and_more", std::process::id());
    let map = counts(&name);
    let found = Map::<Counts, ReadOnly>::open_name(&name, Check::Layout).expect("there is one");
    assert_eq!(found.get(&1).expect("it can be read"), Some(10));

    let other = counts(&name);
    let ids = [&map, &other].map(|map| map.info().expect("it is there").id);
    let ambiguous = Map::<Counts>::open_name(&name, Check::Layout).expect_err("there are two");
    assert_eq!(
        ambiguous.to_string(),
        format!("there are 2 maps with the name `{name}`; open one by its ID: {ids:?}")
    );
    // A name that is a prefix of another one is a different name.
    let short = &name[..10];
    let none = Map::<Counts>::open_name(short, Check::Layout).expect_err("there is none");
    assert!(matches!(none, Error::NotFound { .. }), "{none}");
    let none = AnyMap::open_name(short).expect_err("there is none");
    assert!(matches!(none, Error::NotFound { .. }), "{none}");
    let none = Map::<Counts>::open_name("by_no_name", Check::Layout).expect_err("there is none");
    assert_eq!(
        none.to_string(),
        "there is no map with the name `by_no_name`"
    );
}

#[test]
fn a_map_tells_what_it_is() {
    let map = Map::<Array<[u8; 6]>>::create("told", 3).expect("it can be created");
    let info = map.info().expect("it is there");
    assert_eq!((info.name.as_str(), info.kind.0), ("told", 2));
    assert_eq!(
        (info.key_size, info.value_size, info.max_entries),
        (4, 6, 3)
    );
    let by_id = Map::<Array<[u8; 6]>>::open_id(info.id, Check::Layout).expect("it is there");
    assert_eq!(by_id.info().expect("it is there").id, info.id);
    drop((map, by_id));
    let gone = kamap_tests::eventually("the map is gone", || {
        Map::<Array<[u8; 6]>>::open_id(info.id, Check::Layout).err()
    });
    assert_eq!(
        gone.to_string(),
        format!("there is no map with ID {}", info.id)
    );
}
