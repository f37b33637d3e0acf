//! Hash maps.

use std::io;
use std::marker::PhantomData;
use std::os::fd::AsFd;

use super::map::private;
use super::{Error, Iter, Kind, Map, MapData, Result, sys};

/// A hash map (`BPF_MAP_TYPE_HASH`, Linux 3.19), from `K` to `V`.
#[derive(Debug)]
pub struct Hash<K, V>(PhantomData<fn() -> (K, V)>);

impl<K: MapData, V: MapData> private::Sealed for Hash<K, V> {}

impl<K: MapData, V: MapData> Kind for Hash<K, V> {
    const TYPE: u32 = libbpf_sys::BPF_MAP_TYPE_HASH;
    type Key = K;
    type Value = V;
}

/// When [`Map::insert`] is to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// Whether the key is there or not (`BPF_ANY`).
    Any,
    /// Only if the key is not there (`BPF_NOEXIST`).
    IfAbsent,
    /// Only if the key is there (`BPF_EXIST`).
    IfPresent,
}

impl<K: MapData, V: MapData> Map<Hash<K, V>> {
    /// The value of `key`, if the map has it.
    ///
    /// The kernel copies it without a lock: if the key is written meanwhile, the
    /// value can be torn (5 of 9.6 million readings of 768 bytes that two writers
    /// replaced all the time). [`iter`](Self::iter) does not tear.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`], for example where the map may not be read.
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        // SAFETY: `from_fd` has compared the sizes, and a hash map's values are
        // seen one at a time.
        self.found(unsafe { sys::lookup(self.as_fd(), key) })
    }

    /// Writes `value` for `key`, and tells whether it did: `false` where `put`
    /// asked for a key that is absent and it is present, or the reverse.
    ///
    /// # Errors
    ///
    /// [`Error::Full`], or [`Error::Kernel`].
    pub fn insert(&self, key: &K, value: &V, put: Put) -> Result<bool> {
        let flags = match put {
            Put::Any => libbpf_sys::BPF_ANY,
            Put::IfAbsent => libbpf_sys::BPF_NOEXIST,
            Put::IfPresent => libbpf_sys::BPF_EXIST,
        };
        // SAFETY: as in `get`.
        match unsafe { sys::update(self.as_fd(), key, value, u64::from(flags)) } {
            Ok(()) => Ok(true),
            Err(err) if put == Put::IfAbsent && is(&err, libc::EEXIST) => Ok(false),
            Err(err) if put == Put::IfPresent && is(&err, libc::ENOENT) => Ok(false),
            Err(err) if is(&err, libc::E2BIG) => Err(Error::Full {
                map: self.name().to_owned(),
                max_entries: self.max_entries(),
            }),
            Err(err) => Err(self.error("insert", err)),
        }
    }

    /// Removes `key`, and tells whether it was there.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`].
    pub fn remove(&self, key: &K) -> Result<bool> {
        // SAFETY: as in `get`.
        match unsafe { sys::delete(self.as_fd(), key) } {
            Ok(()) => Ok(true),
            Err(err) if is(&err, libc::ENOENT) => Ok(false),
            Err(err) => Err(self.error("remove", err)),
        }
    }

    /// All entries, in no particular order. Needs Linux 5.6.
    ///
    /// While others write to the map:
    /// - a key that is there all the time comes exactly once;
    /// - no key comes twice;
    /// - no value is torn, if it is written by whole updates;
    /// - the end is reached in a bounded number of steps.
    ///
    /// It is not a snapshot of one moment: of keys that come or go meanwhile,
    /// some are seen and some are not. An error comes once and ends the walk.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter::new(self)
    }
}

impl<'map, K: MapData, V: MapData> IntoIterator for &'map Map<Hash<K, V>> {
    type Item = Result<(K, V)>;
    type IntoIter = Iter<'map, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn is(err: &io::Error, errno: i32) -> bool {
    err.raw_os_error() == Some(errno)
}
