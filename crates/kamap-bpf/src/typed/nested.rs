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
    /// Creates a map of maps that match `inner`: they have its kind, its key and value sizes and,
    /// for most kinds, at most as many entries. See [`Map::create`].
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

/// How many maps in a row can have been replaced between reading their IDs and opening them. A
/// second one is only replaced in time if another thread does nothing else; in an emulated guest
/// that happened a hundred times in a row.
const REPLACED: u32 = 10_000;

/// Operations of [maps of maps](Nested).
impl<T: Nested, A: Access> Map<T, A> {
    /// The map at `key`, opened as by [`Map::open_id`], which needs `CAP_SYS_ADMIN`. `None` if
    /// there is no map at `key`.
    ///
    /// # Errors
    ///
    /// Those of [`Map::open_id`], and [`Error::Kernel`]. [`Error::NotFound`] means that many maps
    /// in a row were replaced before they could be opened.
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
                // It was replaced or removed, and nothing else referred to it. Read `key` again to
                // find out.
                Err(Error::NotFound { .. }) if gone < REPLACED => gone += 1,
                opened => return opened.map(Some),
            }
        }
    }

    /// Inserts `inner` at `key`. Returns whether it did: see [`UpdateMode`]. In an array all keys
    /// are always present, and the kernel only allows [`UpdateMode::Any`].
    ///
    /// # Errors
    ///
    /// [`Error::WrongInner`] if it does not match the maps for which this one was created,
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
                // The kernel returns the same error for this, before it compares the maps.
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
