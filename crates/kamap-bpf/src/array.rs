//! Arrays, of one value each or of one per CPU.

use std::marker::PhantomData;

use super::map::private::{Sealed, Stored};
use super::{
    Bulk, Creatable, Entries, Error, Iterable, Keyed, Kind, Layout, Lockable, Map, MapData, PerCpu,
    Result, UpdateMode, Writable,
};

/// An array (`BPF_MAP_TYPE_ARRAY`, Linux 3.19) of `V`. A program's global
/// variables are one as well.
#[derive(Debug)]
pub struct Array<V>(PhantomData<fn() -> V>);

/// An array with a value for each CPU (`BPF_MAP_TYPE_PERCPU_ARRAY`, Linux 4.6), of
/// [`PerCpu<V>`].
#[derive(Debug)]
pub struct PerCpuArray<V>(PhantomData<fn() -> V>);

/// [`Array`] and [`PerCpuArray`]. They begin as zeros; nothing can be removed:
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
pub trait Indexed: Bulk + Entries<Key = u32> {}

macro_rules! indexed {
    ($($kind:ident: $number:ident => $value:ty;)*) => {
        $(
            impl<V: MapData> Sealed for $kind<V> {}

            impl<V: MapData> Kind for $kind<V> {
                const TYPE: u32 = libbpf_sys::$number;
                const KEY: Option<&'static Layout> = Some(u32::LAYOUT);
                const VALUE: &'static Layout = V::LAYOUT;
                const EACH_CPU: bool = <$value as Stored>::EACH_CPU;
            }

            impl<V: MapData> Keyed for $kind<V> {
                type Key = u32;
            }

            impl<V: MapData> Entries for $kind<V> {
                type Value = $value;

                fn no_room(map: String, max_entries: u32, &index: &u32) -> Error {
                    Error::IndexOutOfRange { map, index, max_entries }
                }
            }

            impl<V: MapData> Creatable for $kind<V> {}
            impl<V: MapData> Iterable for $kind<V> {}
            impl<V: MapData> Bulk for $kind<V> {}
            impl<V: MapData> Indexed for $kind<V> {}
        )*
    };
}

indexed! {
    Array: BPF_MAP_TYPE_ARRAY => V;
    PerCpuArray: BPF_MAP_TYPE_PERCPU_ARRAY => PerCpu<V>;
}

impl<V: MapData> Lockable for Array<V> {}

/// Operations of [arrays](Indexed) alone.
impl<T: Indexed, A: Writable> Map<T, A> {
    /// Writes `value` at `index`.
    ///
    /// # Errors
    ///
    /// [`Error::IndexOutOfRange`], [`Error::Frozen`] or [`Error::Kernel`].
    pub fn set(&self, index: u32, value: &T::Value) -> Result<()> {
        self.put(&index, value, UpdateMode::Any).map(drop)
    }
}
