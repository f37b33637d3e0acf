//! The kinds of maps: types of keys and values, and operations.

use std::marker::PhantomData;

use super::value::private::Stored;
use super::value::{PerCpu, Value};
use crate::data::{Layout, MapData, Shape};
use crate::map_type::MapType;

/// A kind of map, with the types of its keys and values.
pub trait Kind: private::Sealed {
    /// The type of the map in the kernel.
    const TYPE: MapType;
    /// The layout of its keys. None if it has no keys.
    const KEY: Option<&'static Layout>;
    /// The layout of its values; of a per-CPU map that of one CPU's value.
    const VALUE: &'static Layout;
    /// Flags that the kernel requires.
    #[doc(hidden)]
    const FLAGS: u32 = 0;
    /// Whether the kernel keeps BTF for maps of this kind.
    const KEEPS_BTF: bool = true;
}

/// A kind of map with a value for each key.
pub trait Entries: Kind {
    /// Type of the keys.
    type Key: MapData;
    /// Type of the values.
    type Value: Value;
}

/// A kind of map that can be created without another map.
pub trait Creatable: Kind {}

/// The hash family: [`Hash`](struct@Hash) and [`LruHash`], also with [`PerCpu`] values. Entries
/// can be inserted and removed, one by one and in batches.
pub trait Hashed: Entries {}

/// A kind of map whose values can have a [`SpinLock`](crate::SpinLock) as a field:
/// [`Hash`](struct@Hash) and [`Array`].
pub trait Lockable: Entries {}

/// [`Queue`] and [`Stack`]. They have no keys, and cannot be walked:
///
/// ```compile_fail,E0599
/// fn count(map: &kamap_bpf::Map<kamap_bpf::Queue<u64>>) -> usize {
///     map.iter().count()
/// }
/// ```
///
/// ```
/// fn count(map: &kamap_bpf::Map<kamap_bpf::Queue<u64>>) -> usize {
///     std::iter::from_fn(|| map.pop().unwrap()).count()
/// }
/// ```
pub trait Sequence: Kind {
    /// The type of the values.
    type Item: MapData;
}

/// [`ArrayOfMaps`] and [`HashOfMaps`]. Maps are inserted by a handle; [`Map::get`] and
/// [`Map::iter`] return IDs, [`Map::get_map`] opens the map.
///
/// [`Map::get`]: crate::Map::get
/// [`Map::iter`]: crate::Map::iter
/// [`Map::get_map`]: crate::Map::get_map
pub trait Nested: Entries<Value = u32> {
    /// The kind of the maps in it.
    type Inner: Kind;
}

pub(super) mod private {
    /// No other crate can add a kind.
    pub trait Sealed {}
}

/// Declares a kind: its type parameters with their bounds, its type in the kernel, its keys
/// (`-` if there are none) and values, more constants of [`Kind`], and its other traits.
macro_rules! kinds {
    ($(
        $(#[$doc:meta])*
        $kind:ident<$($param:ident: $bound:ident),+> = $type:expr, $key:tt => $value:ty
            $(, $constant:ident: $const_type:ty = $const_value:expr)*;
        $($more:ident $({ $($item:tt)* })?),*;
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $kind<$($param),+>(PhantomData<fn() -> ($($param,)+)>);

            impl<$($param: $bound),+> private::Sealed for $kind<$($param),+> {}

            impl<$($param: $bound),+> Kind for $kind<$($param),+> {
                const TYPE: MapType = $type;
                const KEY: Option<&'static Layout> = kinds!(@key $key);
                const VALUE: &'static Layout = <<$value as Stored>::One as MapData>::LAYOUT;
                $(const $constant: $const_type = $const_value;)*
            }

            kinds!(@entries $key, $value, $kind<$($param: $bound),+>);

            kinds! { @more $kind<$($param: $bound),+> $($more $({ $($item)* })?),* }
        )*
    };
    (@key -) => { None };
    (@key [$key:ty, $check:path]) => { Some($check(<$key as MapData>::LAYOUT)) };
    (@key $key:ty) => { Some(<$key as MapData>::LAYOUT) };
    (@entries -, $value:ty, $kind:ident<$($param:ident: $bound:ident),+>) => {};
    (@entries [$key:ty, $check:path], $value:ty, $kind:ident<$($param:ident: $bound:ident),+>) => {
        kinds!(@entries $key, $value, $kind<$($param: $bound),+>);
    };
    (@entries $key:ty, $value:ty, $kind:ident<$($param:ident: $bound:ident),+>) => {
        impl<$($param: $bound),+> Entries for $kind<$($param),+> {
            type Key = $key;
            type Value = $value;
        }
    };
    (@more $kind:ident<$($param:ident: $bound:ident),+>) => {};
    (@more $kind:ident<$($param:ident: $bound:ident),+>
        $first:ident $({ $($item:tt)* })? $(, $more:ident $({ $($items:tt)* })?)*
    ) => {
        impl<$($param: $bound),+> $first for $kind<$($param),+> { $($($item)*)? }

        kinds! { @more $kind<$($param: $bound),+> $($more $({ $($items)* })?),* }
    };
}

kinds! {
    /// A hash map (`BPF_MAP_TYPE_HASH`, Linux 3.19), from `K` to `V`.
    Hash<K: MapData, V: Value> = per_cpu::<V>(MapType::HASH, MapType::PERCPU_HASH), K => V;
    Creatable, Hashed;

    /// A hash map that evicts the least recently used entries when it is full
    /// (`BPF_MAP_TYPE_LRU_HASH`, Linux 4.10), from `K` to `V`.
    ///
    /// It reserves room for each CPU, so it can evict entries before it holds
    /// [`max_entries`](crate::Map::max_entries).
    LruHash<K: MapData, V: Value>
        = per_cpu::<V>(MapType::LRU_HASH, MapType::LRU_PERCPU_HASH), K => V;
    Creatable, Hashed;

    /// An array (`BPF_MAP_TYPE_ARRAY`, Linux 3.19) of `V`. The global variables of a program
    /// are one as well.
    ///
    /// Its values are zero at first. Nothing can be removed:
    ///
    /// ```compile_fail,E0599
    /// fn clear(map: &kamap_bpf::Map<kamap_bpf::Array<u64>>) {
    ///     map.remove(&0).unwrap();
    /// }
    /// ```
    ///
    /// ```
    /// fn clear(map: &kamap_bpf::Map<kamap_bpf::Array<u64>>) {
    ///     map.set(0, &0).unwrap();
    /// }
    /// ```
    ///
    /// A section of variables such as `.bss` ends with its last variable, where the Rust struct
    /// can have padding. Such a struct matches nevertheless.
    Array<V: Value> = per_cpu::<V>(MapType::ARRAY, MapType::PERCPU_ARRAY), u32 => V;
    Creatable;

    /// A trie that finds the longest prefix of a key (`BPF_MAP_TYPE_LPM_TRIE`, Linux 4.11).
    ///
    /// A key begins with the length of its prefix in bits, a `u32`. The rest of its bytes are
    /// the prefix; the first bit is the highest of the first byte:
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// use kamap_bpf::{LpmTrie, Map, MapData};
    ///
    /// #[derive(Clone, Copy, MapData)]
    /// #[repr(C)]
    /// struct Net {
    ///     prefix_len: u32,
    ///     address: Ipv4Addr,
    /// }
    ///
    /// fn owner(nets: &Map<LpmTrie<Net, u32>>, address: Ipv4Addr) -> kamap_bpf::Result<Option<u32>> {
    ///     nets.get(&Net { prefix_len: 32, address })
    /// }
    /// ```
    ///
    /// A key that does not begin like this does not compile:
    ///
    /// ```compile_fail,E0080
    /// use kamap_bpf::{Kind, Layout, LpmTrie};
    ///
    /// const KEY: Option<&Layout> = <LpmTrie<[u8; 8], u32> as Kind>::KEY;
    /// ```
    LpmTrie<K: MapData, V: MapData> = MapType::LPM_TRIE, [K, key_of_trie] => V,
        FLAGS: u32 = libbpf_sys::BPF_F_NO_PREALLOC;
    Creatable;

    /// First in, first out (`BPF_MAP_TYPE_QUEUE`, Linux 4.20).
    Queue<V: MapData> = MapType::QUEUE, - => V, KEEPS_BTF: bool = false;
    Creatable, Sequence { type Item = V; };

    /// Last in, first out (`BPF_MAP_TYPE_STACK`, Linux 4.20).
    Stack<V: MapData> = MapType::STACK, - => V, KEEPS_BTF: bool = false;
    Creatable, Sequence { type Item = V; };

    /// A Bloom filter (`BPF_MAP_TYPE_BLOOM_FILTER`, Linux 5.16): a set of `V` in little memory
    /// that can only say with certainty what it does not contain.
    ///
    /// More than [`max_entries`](crate::Map::max_entries) can be inserted; the answers are then
    /// less certain. Nothing can be removed or listed.
    BloomFilter<V: MapData> = MapType::BLOOM_FILTER, - => V;
    Creatable;

    /// An array of maps of kind `I` (`BPF_MAP_TYPE_ARRAY_OF_MAPS`, Linux 4.12).
    ArrayOfMaps<I: Kind> = MapType::ARRAY_OF_MAPS, u32 => u32, KEEPS_BTF: bool = false;
    Nested { type Inner = I; };

    /// A hash map from `K` to maps of kind `I` (`BPF_MAP_TYPE_HASH_OF_MAPS`, Linux 4.12).
    HashOfMaps<K: MapData, I: Kind> = MapType::HASH_OF_MAPS, K => u32, KEEPS_BTF: bool = false;
    Nested { type Inner = I; };
}

impl<K: MapData, V: MapData> Lockable for Hash<K, V> {}
impl<V: MapData> Lockable for Array<V> {}

/// A hash map with a value for each CPU (`BPF_MAP_TYPE_PERCPU_HASH`, Linux 4.6), from `K` to
/// [`PerCpu<V>`].
pub type PerCpuHash<K, V> = Hash<K, PerCpu<V>>;

/// An [`LruHash`] with a value for each CPU (`BPF_MAP_TYPE_LRU_PERCPU_HASH`, Linux 4.10), from
/// `K` to [`PerCpu<V>`].
pub type LruPerCpuHash<K, V> = LruHash<K, PerCpu<V>>;

/// An array with a value for each CPU (`BPF_MAP_TYPE_PERCPU_ARRAY`, Linux 4.6), of
/// [`PerCpu<V>`].
pub type PerCpuArray<V> = Array<PerCpu<V>>;

/// The type of a map whose values may be [`PerCpu`].
const fn per_cpu<V: Value>(one: MapType, each: MapType) -> MapType {
    if V::PER_CPU { each } else { one }
}

/// The layout of a trie's key, if it can be one.
const fn key_of_trie(key: &'static Layout) -> &'static Layout {
    let is_one = if let Shape::Struct {
        fields: [first, ..],
    } = key.shape
    {
        first.offset == 0
            && first.layout.size == 4
            && matches!(first.layout.shape, Shape::Integer { .. })
    } else {
        false
    };
    assert!(is_one, "a key of a trie begins with a `u32`");
    key
}
