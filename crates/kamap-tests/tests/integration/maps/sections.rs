//! Sections of variables, which end with the last variable.

use kamap_bpf::{AnyMap, Array, BatchBuf, Check, Checked, Error, Map, MapData};

use kamap_tests::typed;

/// What libbpf-cargo generates for the section, with four bytes of padding at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, MapData)]
#[repr(C)]
struct Variables {
    total: u64,
    count: u32,
}

const CHANGED: Variables = Variables {
    total: 7,
    count: u32::MAX,
};

#[test]
fn a_section_that_ends_before_the_padding_of_its_struct_is_read_and_written() {
    let section = typed::section(false);
    assert_eq!(section.value_len(), 12);
    let map = Map::<Array<Variables>>::from_skeleton(&section).expect("only padding is missing");
    assert_eq!(map.checked(), Checked::Layout);
    let zero = Variables { total: 0, count: 0 };
    assert_eq!(map.get(&0).expect("it can be read"), Some(zero));
    map.set(0, &CHANGED).expect("it is there");
    assert_eq!(map.get(&0).expect("it can be read"), Some(CHANGED));
    let entries = map.iter().collect::<Result<Vec<_>, _>>();
    assert_eq!(entries.expect("it can be read"), [(0, CHANGED)]);
    assert_eq!(map.insert_many([(0, zero)]).expect("it is there"), 1);
    let mut buf = BatchBuf::new();
    let mut batches = map.batches(&mut buf);
    let batch = batches.next_batch().expect("it can be read");
    assert_eq!(batch.expect("it has one").next(), Some((0, zero)));

    // The kernel has what was written, and nothing after it.
    map.set(0, &CHANGED).expect("it is there");
    let bytes = section.get(&0_u32.to_ne_bytes(), false);
    let expected = [&7_u64.to_ne_bytes()[..], &u32::MAX.to_ne_bytes()].concat();
    assert_eq!(bytes.expect("it can be read"), Some(expected));
}

#[test]
fn a_section_that_lacks_more_than_padding_or_has_more_is_refused() {
    #[derive(Clone, Copy, Debug, MapData)]
    #[repr(C)]
    struct Longer {
        total: u64,
        count: u32,
        last: u32,
    }
    let size = |map: &AnyMap| match Map::<Array<Longer>>::from_skeleton(map) {
        Err(Error::WrongSize {
            found, expected, ..
        }) => (found, expected),
        other => panic!("{other:?}"),
    };
    assert_eq!(size(&typed::section(false)), (12, 16));

    // It has the size of the struct, because a variable is where the struct has padding.
    let fd = typed::section(true).into();
    let differs = Map::<Array<Variables>>::from_fd(fd, Check::Layout);
    assert_eq!(
        differs.expect_err("it has one more").to_string(),
        "the layout of map `typed` differs from that of the Rust types: \
         value.last: at byte 12 in BTF, absent in Rust"
    );
}
