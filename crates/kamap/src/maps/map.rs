//! A map of any kind.

use std::ffi::CString;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{Error, MapData, Result, sys};

/// A kind of map, with the types of its keys and values.
pub trait Kind: private::Sealed {
    /// The kernel's `enum bpf_map_type`.
    const TYPE: u32;
    /// Type of the keys.
    type Key: MapData;
    /// Type of the values.
    type Value: MapData;
}

pub(super) mod private {
    /// The operations of [`Map`](super::Map) know every kind there is.
    pub trait Sealed {}
}

/// A BPF map of kind `T`, such as [`Hash<K, V>`](super::Hash).
///
/// It holds a file descriptor of its own; the kernel keeps the map as long as
/// anybody holds one. All operations work from any thread.
#[derive(Debug)]
pub struct Map<T: Kind> {
    fd: OwnedFd,
    name: String,
    max_entries: u32,
    kind: PhantomData<fn() -> T>,
}

impl<T: Kind> Map<T> {
    /// Takes over the map behind `fd`.
    ///
    /// # Errors
    ///
    /// [`Error::NotAMap`], [`Error::WrongKind`], [`Error::WrongSize`].
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        let (info, name) = info(fd.as_fd(), T::TYPE)?;
        for (part, found, expected) in [
            ("key", info.key_size, size_of::<T::Key>()),
            ("value", info.value_size, size_of::<T::Value>()),
        ] {
            if usize::try_from(found) != Ok(expected) {
                return Err(Error::WrongSize {
                    map: name,
                    part,
                    found,
                    expected,
                });
            }
        }
        Ok(Self {
            fd,
            name,
            max_entries: info.max_entries,
            kind: PhantomData,
        })
    }

    /// Makes a new map. The kernel keeps the first 15 bytes of the name, of
    /// which only letters, digits, `_` and `.` are allowed.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], where the kernel does not allow it, has not enough
    /// memory, or dislikes the name or the size.
    pub fn create(name: &str, max_entries: u32) -> Result<Self> {
        let refused = |source| Error::Refused {
            map: name.to_owned(),
            max_entries,
            source,
        };
        let kept = &name.as_bytes()[..name.len().min(15)];
        let c_name = CString::new(kept).map_err(|err| refused(io::Error::from(err)))?;
        let fd = sys::create::<T::Key, T::Value>(T::TYPE, &c_name, max_entries).map_err(refused)?;
        Self::from_fd(fd)
    }

    /// Name of the map, as the kernel has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The most entries that the map can hold.
    pub fn max_entries(&self) -> u32 {
        self.max_entries
    }

    /// A lookup's answer: not found is none.
    pub(super) fn found<V>(&self, answer: io::Result<V>) -> Result<Option<V>> {
        match answer {
            Ok(value) => Ok(Some(value)),
            Err(err) if err.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(err) => Err(self.error("look up", err)),
        }
    }

    pub(super) fn error(&self, operation: &'static str, source: io::Error) -> Error {
        Error::Kernel {
            map: self.name.clone(),
            operation,
            source,
        }
    }
}

/// What the kernel tells of the map behind `fd`, and its name, if it is of this type.
pub(super) fn info(
    fd: BorrowedFd<'_>,
    expected: u32,
) -> Result<(libbpf_sys::bpf_map_info, String)> {
    let info = sys::info(fd).map_err(|source| Error::NotAMap { source })?;
    let name = sys::name(&info);
    if info.type_ != expected {
        return Err(Error::WrongKind {
            map: name,
            found: info.type_,
            expected,
        });
    }
    Ok((info, name))
}

impl<T: Kind> AsFd for Map<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
