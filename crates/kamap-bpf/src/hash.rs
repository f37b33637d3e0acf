//! Hash maps.

use std::marker::PhantomData;
use std::os::fd::AsFd;

use super::batch::{BatchBuf, Walk};
use super::map::private::{Sealed, Stored};
use super::operation::Operation;
use super::{
    Bulk, Creatable, Entries, Iterable, Keyed, Kind, Layout, Lockable, Map, MapData, PerCpu,
    Readable, Result, UpdateMode, Writable, encode, sys,
};

/// A hash map (`BPF_MAP_TYPE_HASH`, Linux 3.19), from `K` to `V`.
#[derive(Debug)]
pub struct Hash<K, V>(PhantomData<fn() -> (K, V)>);

/// A hash map that forgets what was used least recently when it has no room
/// (`BPF_MAP_TYPE_LRU_HASH`, Linux 4.10), from `K` to `V`.
///
/// It keeps room in reserve for each CPU, so it can forget before it holds
/// [`max_entries`](Map::max_entries).
#[derive(Debug)]
pub struct LruHash<K, V>(PhantomData<fn() -> (K, V)>);

/// A hash map with a value for each CPU (`BPF_MAP_TYPE_PERCPU_HASH`, Linux 4.6),
/// from `K` to [`PerCpu<V>`].
#[derive(Debug)]
pub struct PerCpuHash<K, V>(PhantomData<fn() -> (K, V)>);

/// An [`LruHash`] with a value for each CPU (`BPF_MAP_TYPE_LRU_PERCPU_HASH`, Linux
/// 4.10), from `K` to [`PerCpu<V>`].
#[derive(Debug)]
pub struct LruPerCpuHash<K, V>(PhantomData<fn() -> (K, V)>);

/// The hash family: [`Hash`](struct@Hash), [`LruHash`], [`PerCpuHash`] and [`LruPerCpuHash`].
pub trait Hashed: Bulk {}

macro_rules! hashed {
    ($($kind:ident: $number:ident => $value:ty;)*) => {
        $(
            impl<K: MapData, V: MapData> Sealed for $kind<K, V> {}

            impl<K: MapData, V: MapData> Kind for $kind<K, V> {
                const TYPE: u32 = libbpf_sys::$number;
                const KEY: Option<&'static Layout> = Some(K::LAYOUT);
                const VALUE: &'static Layout = V::LAYOUT;
                const EACH_CPU: bool = <$value as Stored>::EACH_CPU;
            }

            impl<K: MapData, V: MapData> Keyed for $kind<K, V> {
                type Key = K;
            }

            impl<K: MapData, V: MapData> Entries for $kind<K, V> {
                type Value = $value;
            }

            impl<K: MapData, V: MapData> Creatable for $kind<K, V> {}
            impl<K: MapData, V: MapData> Iterable for $kind<K, V> {}
            impl<K: MapData, V: MapData> Bulk for $kind<K, V> {}
            impl<K: MapData, V: MapData> Hashed for $kind<K, V> {}
        )*
    };
}

hashed! {
    Hash: BPF_MAP_TYPE_HASH => V;
    LruHash: BPF_MAP_TYPE_LRU_HASH => V;
    PerCpuHash: BPF_MAP_TYPE_PERCPU_HASH => PerCpu<V>;
    LruPerCpuHash: BPF_MAP_TYPE_LRU_PERCPU_HASH => PerCpu<V>;
}

impl<K: MapData, V: MapData> Lockable for Hash<K, V> {}

/// Operations of the [hash family](Hashed) that write.
impl<T: Hashed, A: Writable> Map<T, A> {
    /// Writes `value` for `key`, and tells whether it did: `false` where `put`
    /// asked for a key that is absent and it is present, or the reverse.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](super::Error::Full), [`Error::Frozen`](super::Error::Frozen),
    /// or [`Error::Kernel`](super::Error::Kernel).
    pub fn insert(&self, key: &T::Key, value: &T::Value, put: UpdateMode) -> Result<bool> {
        self.put(key, value, put)
    }

    /// Removes `key`, and tells whether it was there.
    ///
    /// # Errors
    ///
    /// [`Error::Frozen`](super::Error::Frozen) or [`Error::Kernel`](super::Error::Kernel).
    pub fn remove(&self, key: &T::Key) -> Result<bool> {
        self.delete(key)
    }
}

/// Operations of the [hash family](Hashed) that do both.
impl<T: Hashed, A: Readable + Writable> Map<T, A> {
    /// Removes `key` and returns the value that it had, in one step. Needs Linux
    /// 5.14.
    ///
    /// # Errors
    ///
    /// [`Error::Frozen`](super::Error::Frozen) or [`Error::Kernel`](super::Error::Kernel).
    pub fn take(&self, key: &T::Key) -> Result<Option<T::Value>> {
        let answer = encode::with_bytes(key, |key| {
            // SAFETY: `from_fd` has compared the sizes of key and value, and `cells`
            // is how many the kernel writes.
            unsafe {
                T::Value::read(self.cells(), |value| {
                    sys::take(self.as_fd(), key, value, self.flags())
                })
            }
        });
        self.found(Operation::TAKE, answer)
    }

    /// Removes all entries, a batch at a time, and hands each to `take`. Returns
    /// how many there were. Needs Linux 5.6.
    ///
    /// What was in the map at the beginning, and is not removed by others, comes
    /// exactly once. A key that others insert meanwhile comes, or stays in the map;
    /// one that is inserted again after it was removed can come again.
    ///
    /// If `take` panics, what was removed in the same batch is lost.
    ///
    /// # Errors
    ///
    /// [`Error::Frozen`](super::Error::Frozen), [`Error::Unstable`](super::Error::Unstable)
    /// or [`Error::Kernel`](super::Error::Kernel); what was handed over before is removed,
    /// and nothing else.
    pub fn drain(&self, mut take: impl FnMut(T::Key, T::Value)) -> Result<u64> {
        let mut buf = BatchBuf::new();
        let mut walk = Walk::draining(self);
        let mut count = 0;
        while walk.fill(self, &mut buf)? {
            for (key, value) in buf.batch() {
                take(key, value);
            }
            count += buf.len() as u64;
        }
        Ok(count)
    }
}
