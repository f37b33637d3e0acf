//! What can be done with a map as a whole.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::map::is;
use super::open::c_path;
use super::operation::Operation;
use super::{Access, Error, Kind, Map, MapType, ReadWrite, Result, Writable, sys};

/// What the kernel tells of a map; see [`Map::info`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Its number, which no other map of this machine has or will have.
    pub id: u32,
    /// Its name, of at most 15 bytes.
    pub name: String,
    /// Its type.
    pub kind: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value (of one CPU).
    pub value_size: u32,
    /// The most entries that it can hold; of a ring buffer its bytes, of an arena its
    /// pages.
    pub max_entries: u32,
    /// The flags that it was made with (`BPF_F_...`).
    pub flags: u32,
    /// What `map_extra` was when it was made, such as the number of hashes of a bloom
    /// filter.
    pub extra: u64,
    /// The id of the BTF that describes its keys and values, if there is any.
    pub btf_id: Option<u32>,
    /// Whether user space can no longer write it. `false` as well where
    /// `/proc` does not tell.
    pub frozen: bool,
    /// Bytes of memory that it takes, as the kernel counts them; unknown where `/proc` does
    /// not tell.
    pub memory: Option<u64>,
}

impl Info {
    pub(super) fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let info = sys::info(fd)?;
        let fdinfo = FdInfo::of(fd);
        Ok(Self {
            id: info.id,
            name: sys::name(&info),
            kind: MapType(info.type_),
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries,
            flags: info.map_flags,
            extra: info.map_extra,
            btf_id: (info.btf_id != 0).then_some(info.btf_id),
            frozen: fdinfo.frozen(),
            memory: fdinfo.number("memlock"),
        })
    }
}

/// What `/proc` tells of an open map; nothing where it is not there.
pub(super) struct FdInfo(String);

impl FdInfo {
    pub(super) fn of(fd: BorrowedFd<'_>) -> Self {
        let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
        Self(fs::read_to_string(path).unwrap_or_default())
    }

    fn number(&self, field: &str) -> Option<u64> {
        let mut lines = self.0.lines();
        let value = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        value.trim().parse().ok()
    }

    pub(super) fn frozen(&self) -> bool {
        self.number("frozen") == Some(1)
    }
}

impl<T: Kind, A: Access> Map<T, A> {
    /// What the kernel tells of the map.
    ///
    /// # Errors
    ///
    /// [`Error::NotAMap`], if the kernel does not tell.
    pub fn info(&self) -> Result<Info> {
        Info::of(self.as_fd()).map_err(Error::not_a_map)
    }

    /// Another handle of the same map.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`], if there are too many open files.
    pub fn try_clone(&self) -> Result<Self> {
        match self.as_fd().try_clone_to_owned() {
            Ok(fd) => Ok(self.with_fd(fd)),
            Err(err) => Err(self.error(Operation::CLONE, err)),
        }
    }

    /// Removes the pin at `path`, and tells whether there was one. The map lives on
    /// as long as anybody holds it.
    ///
    /// # Errors
    ///
    /// [`Error::PinnedOther`] if something else is pinned there; it stays. Or
    /// [`Error::Pin`].
    pub fn unpin(&self, path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        let failed = |source| self.pin_error(path, source);
        let pinned = match c_path(path).and_then(|path| sys::open_pinned(&path, A::FLAGS)) {
            Err(err) if is(&err, libc::ENOENT) => return Ok(false),
            pinned => pinned.map_err(failed)?,
        };
        if !self.is_behind(&pinned) {
            return Err(Error::PinnedOther {
                map: self.name().to_owned(),
                path: path.to_owned(),
            });
        }
        fs::remove_file(path).map_err(failed)?;
        Ok(true)
    }

    fn is_behind(&self, fd: &OwnedFd) -> bool {
        let id = |fd| Some(sys::info(fd).ok()?.id);
        id(fd.as_fd()).is_some_and(|found| id(self.as_fd()) == Some(found))
    }

    fn pin_error(&self, path: &Path, source: io::Error) -> Error {
        Error::Pin {
            map: self.name().to_owned(),
            path: path.to_owned(),
            source,
        }
    }
}

impl<T: Kind> Map<T, ReadWrite> {
    /// Pins the map at `path`, a new file in a BPF file system (often
    /// `/sys/fs/bpf`): it lives until it is unpinned, whoever holds it. It can be
    /// pinned at more than one place.
    ///
    /// # Errors
    ///
    /// [`Error::Pin`]
    pub fn pin(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let pinned = c_path(path).and_then(|path| sys::pin(self.as_fd(), &path));
        pinned.map_err(|err| self.pin_error(path, err))
    }
}

impl<T: Kind, A: Writable> Map<T, A> {
    /// Ends all writing by user space, for ever; programs still may (Linux 5.2).
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] while somebody writes the map or a mapping of its memory is
    /// writable, [`Error::Frozen`] if it is already, [`Error::Unsupported`] if its
    /// values have a [`SpinLock`](super::SpinLock) or anything else that only the kernel
    /// writes (newer kernels freeze no such map).
    pub fn freeze(&self) -> Result<()> {
        sys::freeze(self.as_fd()).map_err(|err| match err.raw_os_error() {
            // Older kernels (seen on 6.1) say the same of a map that is frozen already.
            Some(libc::EBUSY) if self.is_frozen() => Error::Frozen {
                map: self.name().to_owned(),
            },
            Some(libc::EBUSY) => Error::Busy {
                map: self.name().to_owned(),
            },
            _ => self.error(Operation::FREEZE, err),
        })
    }
}
