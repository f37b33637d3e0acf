//! Operations of maps of maps.

use std::os::fd::{AsFd, AsRawFd};

use super::access::{Access, ReadWrite, Readable, Writable};
use super::check::Check;
use super::kinds::Nested;
use super::map::Map;
use crate::map_type::MapType;
use crate::raw::{MapSpec, Operation, UpdateMode};
use crate::{Error, Result};

/// Operations of [maps of maps](Nested).
impl<T: Nested> Map<T> {
    /// Creates a map of maps that are like `inner`: of its kind, with keys and values of its
    /// sizes, and, for most kinds, with as many entries at most. See [`Map::create`].
    ///
    /// # Errors
    ///
    /// [`Error::Refused`].
    pub fn create_of<A: Access>(
        inner: &Map<T::Inner, A>,
        name: &str,
        max_entries: u32,
    ) -> Result<Self> {
        let spec = MapSpec::new(name, max_entries).inner(inner);
        Self::created(Self::create_raw(&spec)?)
    }
}

/// How many maps in a row can have been replaced between finding their IDs and opening them.
/// For one, somebody must do nothing but replace maps; in an emulated guest that was seen to
/// happen a hundred times in a row.
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
            let Some(id) = self.get(key)? else {
                return Ok(None);
            };
            match Map::open_id(id, check) {
                // It has been replaced or removed, and nobody else held it: `key` says which.
                Err(Error::NotFound { .. }) if gone < REPLACED => gone += 1,
                opened => return opened.map(Some),
            }
        }
    }

    /// Inserts `inner` at `key`. Returns whether it did: see [`UpdateMode`]. In an array, where
    /// all keys are present from the beginning, the kernel only allows [`UpdateMode::Any`].
    ///
    /// # Errors
    ///
    /// [`Error::WrongInner`] if it is not like the map that this one was made for,
    /// [`Error::NotOfKind`] for another [`UpdateMode`] in an array, [`Error::Full`],
    /// [`Error::IndexOutOfRange`], [`Error::Frozen`] or [`Error::Kernel`].
    pub fn insert_map<B: Access>(
        &self,
        key: &T::Key,
        inner: &Map<T::Inner, B>,
        mode: UpdateMode,
    ) -> Result<bool>
    where
        A: Writable,
    {
        let fd = inner.as_fd().as_raw_fd().cast_unsigned();
        match self.put(key, &fd, mode) {
            Err(Error::Kernel { map, source, .. })
                if source.raw_os_error() == Some(libc::EINVAL) =>
            {
                // The kernel checks this first.
                if T::TYPE == MapType::ARRAY_OF_MAPS && mode != UpdateMode::Any {
                    return Err(self.raw().not_of_kind(Operation::INSERT_ON_CONDITION));
                }
                Err(Error::WrongInner {
                    map,
                    inner: inner.name().to_owned(),
                })
            }
            answer => answer,
        }
    }

    /// Removes the map at `key`. Returns whether there was one.
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
