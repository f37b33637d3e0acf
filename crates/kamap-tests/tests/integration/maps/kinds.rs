//! Operations of each kind of map.

use std::os::fd::AsFd;

use kamap_bpf::{
    AnyMap, Array, ArrayOfMaps, BloomFilter, Check, Error, Hash, HashOfMaps, Hashed, LpmTrie,
    LruHash, LruPerCpuHash, Map, MapData, MapSpec, PerCpu, PerCpuArray, PerCpuHash, Queue, Stack,
    UpdateMode,
};
use kamap_tests::maps::{Net, while_written};

/// It has two bytes of padding after `half`, and is so large that moves copy them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, MapData)]
#[repr(C)]
struct Padded {
    word: u32,
    half: u16,
    rest: [u32; 8],
}

const LEN: usize = size_of::<Padded>();

fn padded(word: u32, half: u16) -> Padded {
    Padded {
        word,
        half,
        rest: [0; 8],
    }
}

/// The bytes of a `Padded`. Moving a `Padded` itself could change its padding.
#[repr(C, align(4))]
struct Bytes([u8; LEN]);

/// The bytes of a `Padded` with this byte as padding.
fn bytes(word: u32, half: u16, padding: u8) -> Bytes {
    let mut bytes = [0; LEN];
    bytes[..4].copy_from_slice(&word.to_ne_bytes());
    bytes[4..6].copy_from_slice(&half.to_ne_bytes());
    bytes[6..8].fill(padding);
    Bytes(bytes)
}

fn dirty(word: u32, half: u16) -> Bytes {
    bytes(word, half, 0xff)
}

impl Bytes {
    fn as_padded(&self) -> &Padded {
        // SAFETY: aligned and as large; any bytes are valid (`MapData`).
        unsafe { &*self.0.as_ptr().cast() }
    }
}

fn is_full<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Full { max_entries: 2, .. }))
}

#[test]
fn a_key_is_one_key_whatever_its_padding_was() {
    let map = Map::<Hash<Padded, Padded>>::create("padded", 8).expect("it can be created");
    let fd = map.as_fd().try_clone_to_owned().expect("it can be cloned");
    let stored = Map::<Hash<[u8; LEN], [u8; LEN]>>::from_fd(fd, Check::Layout);
    let stored = stored.expect("bytes stand for anything");
    // The bytes in the kernel are what a program would read.
    let is_canonical = || {
        let entries = stored.iter().collect::<Result<Vec<_>, _>>();
        let expected = (bytes(1, 2, 0).0, bytes(3, 4, 0).0);
        assert_eq!(entries.expect("it can be read"), [expected]);
    };

    let (key, value) = (dirty(1, 2), dirty(3, 4));
    let (key, value) = (key.as_padded(), value.as_padded());
    map.insert(&padded(1, 2), value, UpdateMode::Any)
        .expect("there is room");
    assert!(
        !map.insert(key, value, UpdateMode::IfAbsent)
            .expect("it may be written")
    );
    assert_eq!(map.get(key).expect("it can be read"), Some(padded(3, 4)));
    assert_eq!(
        map.next_key(Some(key)).expect("it can be read"),
        None,
        "it was found"
    );
    is_canonical();
    assert!(map.remove(key).expect("it may be written"));
    map.insert(key, value, UpdateMode::Any)
        .expect("there is room");
    is_canonical();
    assert_eq!(map.remove_many([*key]).expect("it may be written"), 1);
    map.insert_many([(*key, *value)]).expect("there is room");
    is_canonical();
    assert_eq!(
        map.take(key).expect("it may be written"),
        Some(padded(3, 4))
    );
}

/// Tests the operations of the hash family, with values made from numbers.
#[track_caller]
fn behaves_as_a_hash<T>(value: impl Fn(u32) -> T::Value)
where
    T: Hashed<Key = u32> + kamap_bpf::Creatable,
    T::Value: std::fmt::Debug + PartialEq,
{
    let map = Map::<T>::create("family", 64).expect("it can be created");
    assert_eq!(map.get(&1).expect("it can be read"), None);
    assert_eq!(map.take(&1).expect("it can be read"), None);
    assert_eq!(map.next_key(None).expect("it can be read"), None);
    assert_eq!(map.iter().count(), 0, "an empty map ends at once");
    assert_eq!(map.drain(|_, _| ()).expect("it may be written"), 0);
    assert_eq!(map.clear().expect("it may be written"), 0);
    assert_eq!(map.len().expect("it can be read"), 0);
    assert!(map.is_empty().expect("it can be read"));
    assert!(!map.contains(&1).expect("it can be read"));

    let put = |key, put| {
        map.insert(&key, &value(key), put)
            .expect("it may be written")
    };
    assert!(!put(1, UpdateMode::IfPresent));
    assert!(put(1, UpdateMode::IfAbsent));
    assert!(!put(1, UpdateMode::IfAbsent));
    assert!(put(1, UpdateMode::Any) && put(1, UpdateMode::IfPresent));
    assert_eq!(map.next_key(None).expect("it can be read"), Some(1));
    assert_eq!(map.next_key(Some(&1)).expect("it can be read"), None);
    assert_eq!(map.take(&1).expect("it may be written"), Some(value(1)));
    assert_eq!(map.take(&1).expect("it may be written"), None);
    assert!(!map.remove(&1).expect("it may be written"));

    let entries = (0..20).map(|key| (key, value(key)));
    assert_eq!(map.insert_many(entries).expect("there is room"), 20);
    assert_eq!(map.len().expect("it can be read"), 20);
    assert!(!map.is_empty().expect("it can be read"));
    assert!(map.contains(&19).expect("it can be read"));
    assert!(!map.contains(&20).expect("it can be read"));
    let mut read: Vec<_> = map
        .iter()
        .map(|entry| entry.expect("it can be read"))
        .collect();
    read.sort_by_key(|(key, _)| *key);
    assert_eq!(
        read,
        (0..20).map(|key| (key, value(key))).collect::<Vec<_>>()
    );
    let mut keys: Vec<_> = map.keys().map(|key| key.expect("it can be read")).collect();
    keys.sort_unstable();
    assert_eq!(keys, (0..20).collect::<Vec<_>>());
    assert_eq!(map.values().filter(|value| value.is_ok()).count(), 20);

    assert_eq!(map.remove_many(15..100).expect("it may be written"), 5);
    let mut drained = Vec::new();
    let count = map.drain(|key, value| drained.push((key, value)));
    assert_eq!(count.expect("it may be written"), 15);
    drained.sort_by_key(|(key, _)| *key);
    assert_eq!(
        drained,
        (0..15).map(|key| (key, value(key))).collect::<Vec<_>>()
    );
    assert_eq!(map.iter().count(), 0);

    let entries = (0..20).map(|key| (key, value(key)));
    assert_eq!(map.insert_many(entries).expect("there is room"), 20);
    assert_eq!(map.clear().expect("it may be written"), 20);
    assert!(map.is_empty().expect("it can be read"));
}

/// A different value for each CPU and number.
fn each_cpu(key: u32) -> PerCpu<[u8; 5]> {
    let cpus = PerCpu::same([0; 5]).expect("CPUs are known").len();
    let of_cpu = |cpu| [key as u8, cpu as u8, 3, 4, 5];
    PerCpu::new((0..cpus).map(of_cpu).collect()).expect("there is one for each")
}

#[test]
fn the_hash_family_behaves_alike() {
    behaves_as_a_hash::<Hash<u32, [u8; 3]>>(|key| [key as u8, 2, 3]);
    behaves_as_a_hash::<LruHash<u32, u64>>(u64::from);
    behaves_as_a_hash::<PerCpuHash<u32, [u8; 5]>>(each_cpu);
    behaves_as_a_hash::<LruPerCpuHash<u32, [u8; 5]>>(each_cpu);
}

#[test]
fn a_map_that_is_full_says_so_and_one_that_forgets_does_not() {
    let hash = Map::<PerCpuHash<u32, u64>>::create("percpu", 2).expect("it can be created");
    let value = PerCpu::same(7).expect("CPUs are known");
    for key in 0..2 {
        hash.insert(&key, &value, UpdateMode::Any)
            .expect("there is room");
    }
    assert!(is_full(hash.insert(&2, &value, UpdateMode::Any)));

    let lru = Map::<LruHash<u32, u64>>::create("lru", 64).expect("it can be created");
    for key in 0..1_000 {
        lru.insert(&key, &7, UpdateMode::Any).expect("it forgets");
    }
    let count = lru.iter().filter(|entry| entry.is_ok()).count();
    assert!((1..=64).contains(&count), "{count}");
    assert_eq!(lru.get(&999).expect("it can be read"), Some(7));
}

#[test]
fn there_is_a_value_for_each_possible_cpu() {
    let value = each_cpu(9);
    let few = PerCpu::new(value[1..].to_vec()).expect_err("one is missing");
    assert_eq!(
        few.to_string(),
        format!(
            "{} values for {} possible CPUs; give one for each",
            value.len() - 1,
            value.len()
        )
    );
    assert!(PerCpu::new([&value[..], &value[..1]].concat()).is_err());

    let array = Map::<PerCpuArray<[u8; 5]>>::create("percpu", 300).expect("it can be created");
    assert_eq!(array.get(&300).expect("it can be read"), None);
    assert_eq!(
        array.get(&299).expect("it can be read").as_deref(),
        Some(&*PerCpu::same([0; 5]).expect("CPUs are known"))
    );
    let entries = (0..300).map(|index| (index, each_cpu(index)));
    assert_eq!(array.insert_many(entries).expect("there is room"), 300);
    for (index, entry) in array.iter().enumerate() {
        let index = index as u32;
        assert_eq!(entry.expect("it can be read"), (index, each_cpu(index)));
    }
    assert_eq!(array.iter().count(), 300);
}

#[test]
fn an_array_comes_in_order_and_has_an_end() {
    for len in [1, 255, 256, 257, 1_000_u32] {
        let map = Map::<Array<u16>>::create("array", len).expect("it can be created");
        for index in 0..len {
            map.set(index, &(index as u16)).expect("it is there");
        }
        let entries: Vec<_> = map
            .iter()
            .collect::<Result<_, _>>()
            .expect("it can be read");
        assert_eq!(
            entries,
            (0..len)
                .map(|index| (index, index as u16))
                .collect::<Vec<_>>()
        );
        assert_eq!(map.get(&len).expect("it can be read"), None);
        let beyond = map.set(len, &7).expect_err("it has an end");
        assert_eq!(
            beyond.to_string(),
            format!("index {len} is beyond the end of map `array` ({len} entries)")
        );
        let beyond = map
            .insert_many([(0, 7), (len, 7)])
            .expect_err("it has an end");
        assert_eq!(beyond.done, 1);
        assert!(
            matches!(beyond.source, Error::IndexOutOfRange { index, .. } if index == len),
            "{beyond}"
        );
    }
}

#[test]
fn a_queue_and_a_stack_keep_their_order() {
    let queue = Map::<Queue<Padded>>::create("queue", 2).expect("it can be created");
    assert_eq!(queue.pop().expect("it can be read"), None);
    assert_eq!(queue.peek().expect("it can be read"), None);
    for word in [1, 2] {
        queue
            .push(dirty(word, 0).as_padded())
            .expect("there is room");
    }
    assert!(is_full(queue.push(&padded(3, 0))));
    // The bytes in the kernel are what a program would read.
    let fd = queue
        .as_fd()
        .try_clone_to_owned()
        .expect("it can be cloned");
    let stored = Map::<Queue<[u8; LEN]>>::from_fd(fd, Check::Sizes).expect("it is a queue");
    let first = stored.peek().expect("it can be read");
    assert_eq!(first, Some(bytes(1, 0, 0).0));

    queue.push_over(&padded(3, 0)).expect("the oldest goes");
    assert_eq!(queue.peek().expect("it can be read"), Some(padded(2, 0)));
    let words: Vec<_> = std::iter::from_fn(|| queue.pop().expect("it can be read")).collect();
    assert_eq!(words, [padded(2, 0), padded(3, 0)]);

    let stack = Map::<Stack<u64>>::create("stack", 2).expect("it can be created");
    stack.push(&1).expect("there is room");
    stack.push(&2).expect("there is room");
    assert!(is_full(stack.push(&3)));
    stack.push_over(&3).expect("the oldest goes");
    assert_eq!(stack.peek().expect("it can be read"), Some(3));
    let popped: Vec<_> = std::iter::from_fn(|| stack.pop().expect("it can be read")).collect();
    assert_eq!(popped, [3, 2]);
}

#[test]
fn a_bloom_filter_never_denies_what_is_in_it() {
    let map = Map::<BloomFilter<Padded>>::create("bloom", 1_000).expect("it can be created");
    assert!(map.info().expect("it is there").btf_id.is_some());
    assert!(!map.may_contain(&padded(1, 1)).expect("it can be read"));
    for word in 0..1_000 {
        map.insert(dirty(word, 1).as_padded())
            .expect("there is room");
    }
    for word in 0..1_000 {
        assert!(
            map.may_contain(dirty(word, 1).as_padded())
                .expect("it can be read")
        );
    }
    let wrong =
        (1_000..2_000).filter(|&word| map.may_contain(&padded(word, 1)).expect("it can be read"));
    assert!(wrong.count() < 500, "it denies most of what is not");
}

fn net(prefix_len: u32, address: [u8; 4]) -> Net {
    Net {
        prefix_len,
        address,
    }
}

#[test]
fn a_trie_finds_the_longest_prefix_and_comes_in_order() {
    let map = Map::<LpmTrie<Net, u32>>::create("nets", 8).expect("it can be created");
    assert_eq!(map.iter().count(), 0);
    let nets = [
        net(24, [10, 0, 0, 0]),
        net(24, [10, 0, 1, 0]),
        net(8, [10, 0, 0, 0]),
        net(32, [192, 168, 0, 1]),
        net(16, [192, 168, 0, 0]),
        net(17, [192, 168, 128, 0]),
        net(0, [0; 4]),
    ];
    for (i, net) in nets.iter().enumerate() {
        assert!(
            map.insert(net, &(i as u32), UpdateMode::IfAbsent)
                .expect("there is room")
        );
    }
    assert!(
        !map.insert(&nets[0], &9, UpdateMode::IfAbsent)
            .expect("it may be written")
    );
    let found = |address| map.get(&net(32, address)).expect("it can be read");
    assert_eq!(found([10, 0, 1, 7]), Some(1));
    assert_eq!(found([10, 9, 9, 9]), Some(2));
    assert_eq!(found([1, 1, 1, 1]), Some(6));

    let entries: Vec<_> = map
        .iter()
        .collect::<Result<_, _>>()
        .expect("it can be read");
    let order = [0, 1, 2, 3, 5, 4, 6].map(|i: usize| (nets[i], i as u32));
    assert_eq!(entries, order);

    let any = map.as_fd().try_clone_to_owned().map(AnyMap::from_fd);
    let any = any.expect("it can be cloned").expect("it is a map");
    let long = [&33_u32.to_ne_bytes()[..], &[0; 4]].concat();
    for long in [
        map.get(&net(33, [0; 4])).map(drop),
        map.remove(&net(33, [0; 4])).map(drop),
        any.get(&long, false).map(drop),
        any.remove(&long).map(drop),
        any.insert(&long, &[0; 4], UpdateMode::Any, false).map(drop),
    ] {
        assert_eq!(
            long.expect_err("there are 32 bits").to_string(),
            "a prefix of 33 bits is too long for the keys of map `nets` (32 bits)"
        );
    }
    map.insert(&net(1, [0; 4]), &0, UpdateMode::Any)
        .expect("there is room");
    let full = map.insert(&net(2, [0; 4]), &0, UpdateMode::Any);
    assert!(matches!(full, Err(Error::Full { max_entries: 8, .. })));
    assert!(map.remove(&nets[6]).expect("it may be written"));
    assert!(!map.remove(&nets[6]).expect("it may be written"));
}

#[test]
fn maps_can_lie_in_maps() {
    let inner = |name| Map::<Hash<u32, u64>>::create(name, 4).expect("it can be created");
    let (first, second) = (inner("first"), inner("second"));
    let outer = Map::<HashOfMaps<[u8; 3], Hash<u32, u64>>>::create_of(&first, "outer", 2)
        .expect("it can be created");
    assert_eq!(outer.get(&[1; 3]).expect("it can be read"), None);
    assert!(
        outer
            .get_map(&[1; 3], Check::Layout)
            .expect("it can be read")
            .is_none()
    );
    assert!(
        outer
            .insert_map(&[1; 3], &first, UpdateMode::IfAbsent)
            .expect("there is room")
    );
    assert!(
        !outer
            .insert_map(&[1; 3], &second, UpdateMode::IfAbsent)
            .expect("it may be written")
    );
    assert!(
        outer
            .insert_map(&[2; 3], &second, UpdateMode::Any)
            .expect("there is room")
    );
    assert!(is_full(outer.insert_map(&[3; 3], &second, UpdateMode::Any)));

    let id = second.info().expect("it is there").id;
    assert_eq!(outer.get(&[2; 3]).expect("it can be read"), Some(id));
    drop(second);
    let found = outer
        .get_map(&[2; 3], Check::Layout)
        .expect("it can be opened")
        .expect("it is there");
    assert_eq!(found.name(), "second");
    let mut ids: Vec<_> = outer
        .iter()
        .collect::<Result<_, _>>()
        .expect("it can be read");
    ids.sort_unstable();
    assert_eq!(
        ids,
        [
            ([1; 3], first.info().expect("it is there").id),
            ([2; 3], id)
        ]
    );
    assert!(outer.remove_map(&[2; 3]).expect("it may be written"));
    assert!(!outer.remove_map(&[2; 3]).expect("it may be written"));

    let array = Map::<ArrayOfMaps<Hash<u32, u64>>>::create_of(&first, "array", 4)
        .expect("it can be created");
    assert_eq!(array.get(&3).expect("it can be read"), None);
    assert_eq!(array.iter().count(), 0, "an empty map ends at once");
    array
        .insert_map(&3, &found, UpdateMode::Any)
        .expect("it is there");
    let entries: Vec<_> = array
        .iter()
        .collect::<Result<_, _>>()
        .expect("it can be read");
    assert_eq!(entries, [(3, id)], "places without a map are left out");
    let beyond = array.insert_map(&4, &found, UpdateMode::Any);
    assert!(matches!(
        beyond,
        Err(Error::IndexOutOfRange { index: 4, .. })
    ));

    let sparse = MapSpec::new("sparse", 4).no_prealloc();
    let sparse = Map::<Hash<u32, u64>>::create_with(&sparse).expect("it can be created");
    let unlike = outer
        .insert_map(&[2; 3], &sparse, UpdateMode::Any)
        .expect_err("its flags differ");
    assert_eq!(
        unlike.to_string(),
        "map `sparse` does not match the maps that map `outer` was created for"
    );
}

#[test]
fn a_map_is_put_into_an_array_of_maps_whatever_was_there() {
    let inner = Map::<Array<u64>>::create("inner", 4).expect("it can be created");
    let outer =
        Map::<ArrayOfMaps<Array<u64>>>::create_of(&inner, "outer", 2).expect("it can be created");
    for put in [UpdateMode::IfAbsent, UpdateMode::IfPresent] {
        for _ in 0..2 {
            let error = outer.insert_map(&0, &inner, put);
            assert_eq!(
                error
                    .expect_err("the kernel knows no condition")
                    .to_string(),
                "map `outer` is of type `array_of_maps`, which cannot insert on a condition"
            );
            outer
                .insert_map(&0, &inner, UpdateMode::Any)
                .expect("it fits");
        }
        outer.remove_map(&0).expect("it may be written");
    }
    let longer = Map::<Array<u64>>::create("longer", 8).expect("it can be created");
    let unlike = outer.insert_map(&0, &longer, UpdateMode::Any);
    assert_eq!(
        unlike.expect_err("it has more entries").to_string(),
        "map `longer` does not match the maps that map `outer` was created for"
    );
}

#[test]
fn a_map_that_is_replaced_is_there_all_the_time() {
    let inner = || Map::<Array<u64>>::create("inner", 1).expect("it can be created");
    let outer =
        Map::<ArrayOfMaps<Array<u64>>>::create_of(&inner(), "outer", 1).expect("it can be created");
    // Only the outer map holds them.
    let replace = |_| {
        outer
            .insert_map(&0, &inner(), UpdateMode::Any)
            .expect("it fits");
    };
    replace(0);
    while_written(20, replace, || {
        let found = outer.get_map(&0, Check::Sizes).expect("it can be opened");
        assert_eq!(found.expect("there always is one").name(), "inner");
    });
    outer.remove_map(&0).expect("it may be written");
    let none = outer.get_map(&0, Check::Sizes).expect("it can be read");
    assert!(none.is_none());
}
