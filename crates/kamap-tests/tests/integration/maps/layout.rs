//! Layouts of keys and values, compared with the Rust types.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::thread;

use kamap_bpf::btf::Types;
use kamap_bpf::{
    AnyMap, Array, Check, Checked, Error, Hash, LpmTrie, LruPerCpuHash, Map, MapData, PerCpuArray,
    Queue, UpdateMode, map_data,
};
use kamap_tests::{BpfFs, typed};
use libbpf_rs::libbpf_sys;

#[derive(Clone, Copy, MapData)]
#[repr(C)]
struct Flow {
    prefix_len: u32,
    sent: u32,
    received: u32,
    ports: [u16; 3],
    last: i64,
}

/// The same, with two fields of one size swapped.
#[derive(Clone, Copy, MapData)]
#[repr(C)]
struct Swapped {
    prefix_len: u32,
    received: u32,
    sent: u32,
    ports: [u16; 3],
    last: i64,
}

#[test]
fn swapped_fields_of_a_pinned_map_are_refused_by_name() {
    let bpffs = BpfFs::mount();
    let path = bpffs.at("map");
    let map = Map::<Hash<u32, Flow>>::create("flows", 4).expect("it can be created");
    map.pin(&path).expect("the place is free");
    let same = Map::<Hash<u32, Flow>>::open_pinned(&path, Check::Layout).expect("it is the same");
    assert_eq!(same.checked(), Checked::Layout);
    for differs in [
        Map::<Hash<u32, Swapped>>::open_pinned(&path, Check::Layout),
        Map::<Hash<u32, Swapped>>::open_pinned(&path, Check::LayoutOrSizes),
        Map::<Hash<u32, Swapped>>::from_skeleton(&map),
    ] {
        assert_eq!(
            differs.expect_err("two fields are swapped").to_string(),
            "the layout of map `flows` differs from that of the Rust types: \
             value.received: at byte 8 in BTF, at byte 4 in Rust; \
             value.sent: at byte 4 in BTF, at byte 8 in Rust"
        );
    }
    let sizes = Map::<Hash<u32, Swapped>>::open_pinned(&path, Check::Sizes);
    assert_eq!(sizes.expect("the sizes agree").checked(), Checked::Sizes);
}

mod foreign {
    #[derive(Clone, Copy, Debug)]
    #[repr(C)]
    pub(super) struct Flow {
        pub(super) sent: u32,
        pub(super) last: i64,
    }
}

// Not in the order of the fields.
map_data! {
    foreign::Flow { last, sent }
}

mod skeleton {
    use std::mem::MaybeUninit;

    /// What libbpf-cargo generates for `struct { _Bool open; _Bool seen[2]; __u32 port; }`.
    #[derive(Clone, Copy)]
    #[repr(C)]
    pub(super) struct Flags {
        pub(super) open: MaybeUninit<bool>,
        pub(super) seen: [MaybeUninit<bool>; 2],
        pub(super) __pad_3: [u8; 1],
        pub(super) port: u32,
    }
}

map_data! {
    // SAFETY: each `bool` is initialised in all values.
    unsafe skeleton::Flags { open, seen, __pad_3, port }
}

#[test]
fn a_bool_of_a_skeleton_is_written_and_read() {
    use std::mem::MaybeUninit;

    let map = Map::<Array<skeleton::Flags>>::create("flags", 2).expect("it can be created");
    let flags = skeleton::Flags {
        open: MaybeUninit::new(true),
        seen: [false, true].map(MaybeUninit::new),
        __pad_3: [7],
        port: 53,
    };
    map.set(1, &flags).expect("it is there");
    let read = map.get(&1).expect("it can be read").expect("it is there");
    // SAFETY: the map has bytes of `bool`s.
    let bools = unsafe { [read.open, read.seen[0], read.seen[1]].map(|it| it.assume_init()) };
    assert_eq!((bools, read.port), ([true, false, true], 53));
    let any = AnyMap::from_fd(map.into()).expect("it is a map");
    let bytes = any.get(&1_u32.to_ne_bytes(), false);
    let bytes = bytes.expect("it can be read").expect("it is there");
    assert_eq!(bytes[..4], [1, 0, 1, 0], "padding is zero");
}

#[test]
fn addresses_and_floats_are_what_they_are_in_c() {
    #[derive(Clone, Copy, Debug, PartialEq, MapData)]
    #[repr(C)]
    struct Mixed {
        four: Ipv4Addr,
        six: Ipv6Addr,
        size: usize,
        ratio: f64,
        short: f32,
    }
    let mixed = Mixed {
        four: Ipv4Addr::new(192, 0, 2, 1),
        six: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
        size: usize::MAX,
        ratio: 0.5,
        short: -2.0,
    };
    // BTF has floats since Linux 5.13.
    let map = Map::<Hash<Ipv4Addr, Mixed>>::create("mixed", 2).expect("it can be created");
    map.insert(&mixed.four, &mixed, UpdateMode::Any)
        .expect("there is room");
    assert_eq!(map.get(&mixed.four).expect("it can be read"), Some(mixed));
    let fd = map.as_fd().try_clone_to_owned().expect("it can be cloned");
    let again = Map::<Hash<Ipv4Addr, Mixed>>::from_fd(fd, Check::Layout);
    assert!(again.is_ok(), "{again:?}");
    let any = AnyMap::from_fd(map.into()).expect("it is a map");
    let value = any.get(&[192, 0, 2, 1], false).expect("it can be read");
    let value = value.expect("an address is its octets in network order");
    assert_eq!(value[..4], [192, 0, 2, 1]);
    assert_eq!(value[4..8], [0x20, 0x01, 0x0d, 0xb8]);
    let types = any.types().expect("they can be read");
    let shown = types.value.read(&value).to_string();
    assert!(shown.ends_with("ratio: 0.5, short: -2.0}"), "{shown}");
}

/// Whether the kernel has BTF with names for the fields.
#[track_caller]
fn describes(types: Result<Types, Error>) -> bool {
    match types.expect("it can be read") {
        Types::Known { key, value } => {
            let value = format!("{:?}", value.expect("it has a type"));
            assert!(
                ["sent", "received", "ports", "last"]
                    .iter()
                    .all(|name| value.contains(name))
            );
            assert!(key.is_none_or(|key| key.size > 0));
            true
        }
        _ => false,
    }
}

#[test]
fn a_new_map_has_the_names_of_its_fields() {
    let map = Map::<LruPerCpuHash<Flow, Flow>>::create("hash", 4).expect("it can be created");
    assert!(describes(Types::of(&map)));
    assert_eq!(map.checked(), Checked::Layout);
    assert!(map.info().expect("it is there").btf_id.is_some());
    let map = Map::<Array<Flow>>::create("array", 4).expect("it can be created");
    assert!(describes(Types::of(&map)));
    let map = Map::<PerCpuArray<Flow>>::create("array", 4).expect("it can be created");
    assert!(describes(Types::of(&map)));
    let map = Map::<LpmTrie<Flow, Flow>>::create("trie", 4).expect("it can be created");
    assert!(describes(Types::of(&map)));
    let map = Map::<Array<foreign::Flow>>::create("foreign", 4).expect("it can be created");
    let fd = map.as_fd().try_clone_to_owned().expect("it can be cloned");
    assert!(Map::<Array<foreign::Flow>>::from_fd(fd, Check::Layout).is_ok());
    let map = Map::<Queue<Flow>>::create("queue", 4).expect("it can be created");
    assert!(
        !describes(Types::of(&map)),
        "the kernel keeps none for queues"
    );
}

#[test]
fn the_index_of_an_array_can_have_a_sign_in_c() {
    let fd = |kind| {
        let map = typed::of_ints(kind);
        map.as_fd()
            .try_clone_to_owned()
            .expect("it can be duplicated")
    };
    let array = Map::<Array<i32>>::from_fd(fd("array"), Check::Layout);
    let array = array.expect("an index is an index");
    array.set(7, &-7).expect("it is there");
    assert_eq!(array.get(&7).expect("it can be read"), Some(-7));
    let per_cpu = Map::<PerCpuArray<i32>>::from_fd(fd("percpu_array"), Check::Layout);
    assert_eq!(
        per_cpu.expect("an index is an index").checked(),
        Checked::Layout
    );
    // For other types, values and keys are compared.
    let value = Map::<Array<u32>>::from_fd(fd("array"), Check::Layout);
    let key = Map::<Hash<u32, i32>>::from_fd(fd("hash"), Check::Layout);
    for (error, part) in [(value.map(drop), "value"), (key.map(drop), "key")] {
        assert_eq!(
            error.expect_err("it has a sign").to_string(),
            format!(
                "the layout of map `typed` differs from that of the Rust types: \
                 {part}: signed in BTF, unsigned in Rust"
            )
        );
    }
}

/// A hash map from `u32` to `u64` without BTF.
#[track_caller]
fn without_btf() -> OwnedFd {
    // SAFETY: a C string, and no options.
    let fd = unsafe {
        libbpf_sys::bpf_map_create(
            libbpf_sys::BPF_MAP_TYPE_HASH,
            c"plain".as_ptr(),
            4,
            8,
            4,
            std::ptr::null(),
        )
    };
    assert!(fd >= 0, "{}", io::Error::from_raw_os_error(-fd));
    // SAFETY: `fd` is new; nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[test]
fn a_map_without_btf_has_to_be_allowed() {
    let refused = Map::<Hash<u32, u64>>::from_fd(without_btf(), Check::Layout);
    assert_eq!(
        refused.expect_err("it has no BTF").to_string(),
        "map `plain` has no BTF that describes its keys and values; open it with \
         `Check::LayoutOrSizes` if their sizes are enough"
    );
    let allowed = Map::<Hash<u32, u64>>::from_fd(without_btf(), Check::LayoutOrSizes);
    assert_eq!(allowed.expect("it is allowed").checked(), Checked::NoBtf);
    let skeletons = Map::<Hash<u32, u64>>::from_skeleton(&without_btf());
    assert_eq!(skeletons.expect("it is allowed").checked(), Checked::NoBtf);
}

#[test]
fn a_map_whose_btf_may_not_be_read_has_to_be_allowed() {
    let bpffs = BpfFs::mount();
    let path = bpffs.at("map");
    let map = Map::<Hash<u32, Flow>>::create("flows", 4).expect("it can be created");
    map.pin(&path).expect("the place is free");
    let opened = thread::spawn(move || {
        without_sys_admin();
        [Check::Layout, Check::LayoutOrSizes]
            .map(|check| Map::<Hash<u32, Flow>>::open_pinned(&path, check))
    });
    let [refused, allowed] = opened.join().expect("it does not panic");
    assert_eq!(
        refused.expect_err("its BTF may not be read").to_string(),
        "the BTF of map `flows` may not be read without CAP_SYS_ADMIN; open it with \
         `Check::LayoutOrSizes` if the sizes of keys and values are enough"
    );
    assert_eq!(
        allowed.expect("it is allowed").checked(),
        Checked::NotPermitted
    );
}

/// Removes CAP_SYS_ADMIN from this thread.
#[track_caller]
fn without_sys_admin() {
    const VERSION_3: u32 = 0x2008_0522;
    const SYS_ADMIN: u32 = 21;
    let header = [VERSION_3, 0];
    // Effective, permitted and inheritable sets: capabilities 0 to 31, then the others.
    let mut data = [[0_u32; 3]; 2];
    // SAFETY: of this version, and so large.
    let got = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) };
    assert_eq!(got, 0, "{}", io::Error::last_os_error());
    data[0][0] &= !(1 << SYS_ADMIN);
    // SAFETY: as above.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}
