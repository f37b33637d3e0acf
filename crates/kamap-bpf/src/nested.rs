//! Maps whose values are maps.

use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd};

use super::batch::IterableBy;
use super::map::is;
use super::map::private::Sealed;
use super::{
    Access, Check, Entries, Error, Iterable, Keyed, Kind, Layout, Map, MapData, ReadWrite,
    Readable, Result, Spec, UpdateMode, Writable,
};

/// An array of maps of kind `I` (`BPF_MAP_TYPE_ARRAY_OF_MAPS`, Linux 4.12).
#[derive(Debug)]
pub struct ArrayOfMaps<I>(PhantomData<fn() -> I>);

/// A hash map from `K` to maps of kind `I` (`BPF_MAP_TYPE_HASH_OF_MAPS`, Linux 4.12).
#[derive(Debug)]
pub struct HashOfMaps<K, I>(PhantomData<fn() -> (K, I)>);

/// [`ArrayOfMaps`] and [`HashOfMaps`]. Maps are put in by a handle; [`Map::get`]
/// and [`Map::iter`] tell ids, [`Map::get_map`] opens the map.
pub trait Nested: Iterable<Value = u32> {
    /// The kind of the maps in it.
    type Inner: Kind;
}

macro_rules! nested {
    ($($kind:ident<$($param:ident)?>: $number:ident, $key:ty;)*) => {
        $(
            impl<$($param: MapData,)? I: Kind> Sealed for $kind<$($param,)? I> {}

            impl<$($param: MapData,)? I: Kind> Kind for $kind<$($param,)? I> {
                const TYPE: u32 = libbpf_sys::$number;
                const KEY: Option<&'static Layout> = Some(<$key>::LAYOUT);
                const VALUE: &'static Layout = u32::LAYOUT;
                const KEEPS_BTF: bool = false;
            }

            impl<$($param: MapData,)? I: Kind> Keyed for $kind<$($param,)? I> {
                type Key = $key;
            }

            impl<$($param: MapData,)? I: Kind> Iterable for $kind<$($param,)? I> {
                const READ: IterableBy = IterableBy::LaterBatches;
            }

            impl<$($param: MapData,)? I: Kind> Nested for $kind<$($param,)? I> {
                type Inner = I;
            }
        )*
    };
}

nested! {
    ArrayOfMaps<>: BPF_MAP_TYPE_ARRAY_OF_MAPS, u32;
    HashOfMaps<K>: BPF_MAP_TYPE_HASH_OF_MAPS, K;
}

impl<I: Kind> Entries for ArrayOfMaps<I> {
    type Value = u32;

    fn no_room(map: String, max_entries: u32, &index: &u32) -> Error {
        Error::IndexOutOfRange {
            map,
            index,
            max_entries,
        }
    }
}

impl<K: MapData, I: Kind> Entries for HashOfMaps<K, I> {
    type Value = u32;
}

/// Operations of [maps of maps](Nested).
impl<T: Nested> Map<T> {
    /// Makes a new map of maps that are like `inner`: of its kind, with keys and
    /// values of its sizes, and, of most kinds, with as many entries at most. See
    /// [`Map::create`].
    ///
    /// # Errors
    ///
    /// [`Error::Refused`].
    pub fn create_of<A: Access>(
        inner: &Map<T::Inner, A>,
        name: &str,
        max_entries: u32,
    ) -> Result<Self> {
        Self::make(&Spec::new(name, max_entries), 0, Some(inner.as_fd()))
    }
}

/// How many maps in a row can have been replaced between finding their ids and opening
/// them. It takes somebody who does nothing else to have it once; in an emulated guest that
/// was seen to happen a hundred times.
const REPLACED: u32 = 10_000;

/// Operations of [maps of maps](Nested).
impl<T: Nested, A: Access> Map<T, A> {
    /// The map at `key`, opened as by [`Map::open_id`], which needs `CAP_SYS_ADMIN`;
    /// `None` only if there is none at `key`.
    ///
    /// # Errors
    ///
    /// Those of [`Map::open_id`], and [`Error::Kernel`]. [`Error::NotFound`] is the last
    /// of many maps each of which was replaced before it could be opened.
    pub fn get_map(&self, key: &T::Key, check: Check) -> Result<Option<Map<T::Inner, ReadWrite>>>
    where
        A: Readable,
    {
        let mut gone = 0;
        loop {
            let Some(id) = self.look_up(key)? else {
                return Ok(None);
            };
            match Map::open_id(id, check) {
                // It has been replaced or removed, and was held by nobody else: `key`
                // tells which.
                Err(Error::NotFound { .. }) if gone < REPLACED => gone += 1,
                opened => return opened.map(Some),
            }
        }
    }

    /// Puts `inner` at `key`, and tells whether it did: see [`UpdateMode`]. Into an array,
    /// whose keys are all there from the beginning, the kernel only puts
    /// [whatever was there](UpdateMode::Any).
    ///
    /// # Errors
    ///
    /// [`Error::WrongInner`] if it is not like the map that this one was made for,
    /// [`Error::NotOfKind`] for another [`UpdateMode`] into an array, [`Error::Full`],
    /// [`Error::IndexOutOfRange`], [`Error::Frozen`] or [`Error::Kernel`].
    pub fn insert_map<B: Access>(
        &self,
        key: &T::Key,
        inner: &Map<T::Inner, B>,
        put: UpdateMode,
    ) -> Result<bool>
    where
        A: Writable,
    {
        let fd = inner.as_fd().as_raw_fd().cast_unsigned();
        match self.put(key, &fd, put) {
            Err(Error::Kernel { map, source, .. }) if is(&source, libc::EINVAL) => {
                // The kernel looks at this first.
                let is_array = T::TYPE == libbpf_sys::BPF_MAP_TYPE_ARRAY_OF_MAPS;
                Err(if is_array && put != UpdateMode::Any {
                    Error::NotOfKind {
                        map,
                        operation: "insert on a condition",
                        kind: T::TYPE,
                    }
                } else {
                    Error::WrongInner {
                        map,
                        inner: inner.name().to_owned(),
                    }
                })
            }
            answer => answer,
        }
    }

    /// Takes the map at `key` out, and tells whether there was one.
    ///
    /// # Errors
    ///
    /// [`Error::Frozen`] or [`Error::Kernel`].
    pub fn remove_map(&self, key: &T::Key) -> Result<bool>
    where
        A: Writable,
    {
        self.delete(key)
    }
}
