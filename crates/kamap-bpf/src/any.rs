//! Maps whose types are known at run time only.

mod cpus;
mod entry_types;
pub mod flags;
mod map_type;
mod raw;
mod walk;

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

pub use entry_types::{EntryTypes, TypeSource};
pub use map_type::{MapType, Refers};

use super::create::NAME_LEN;
use super::handle::FdInfo;
use super::map::is;
use super::open::{c_path, not_opened};
use super::{Error, Info, Result, UpdateMode, sys};
use raw::{Raw, Sizes};

/// A map of any type, opened without knowing it: keys and values are bytes, whose lengths
/// are compared with the map's.
///
/// [`types`](Self::types) tells what the bytes mean.
///
/// ```no_run
/// use kamap_bpf::{AnyMap, UpdateMode};
///
/// let map = AnyMap::open_name("counts")?;
/// let types = map.types()?;
/// map.insert(&types.parse_key("7")?, &types.parse_value("1")?, UpdateMode::Any, false)?;
/// if let Some(value) = map.get(&types.parse_key("7")?, false)? {
///     println!("{}", types.value.read(&value));
/// }
/// # Ok::<(), kamap_bpf::Error>(())
/// ```
///
/// Opening by ID or name needs `CAP_SYS_ADMIN`, by path on older kernels `CAP_BPF` (or root).
#[derive(Debug)]
pub struct AnyMap {
    raw: Raw,
    info: Info,
}

/// A map to be made.
#[derive(Clone, Debug)]
pub struct NewMap<'a> {
    /// Its type.
    pub kind: MapType,
    /// Its name, of which the kernel keeps 15 bytes: letters, digits, `_` and `.`.
    pub name: &'a str,
    /// Bytes of a key; 0 for types without keys.
    pub key_size: u32,
    /// Bytes of a value; 0 for ring buffers.
    pub value_size: u32,
    /// The most entries that it can hold; of a ring buffer its bytes.
    pub max_entries: u32,
    /// Flags (`BPF_F_*`).
    pub flags: u32,
    /// `map_extra`, such as the number of hashes of a bloom filter.
    pub extra: u64,
    /// For a map of maps, one that is like those that it will hold.
    pub inner: Option<&'a AnyMap>,
}

impl AnyMap {
    /// Takes over the map behind `fd`.
    ///
    /// # Errors
    ///
    /// [`Error::NotAMap`].
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        let info = Info::of(fd.as_fd()).map_err(Error::not_a_map)?;
        let key = info.key_size as usize;
        let value = info.value_size as usize;
        let value = match info.kind.refers() {
            _ if info.kind.is_per_cpu() => {
                let cpus = cpus::possible().map_err(|source| Error::Kernel {
                    map: info.name.clone(),
                    operation: "list the CPUs",
                    source,
                })?;
                cpus::stride(value) * cpus.len()
            }
            // Such an array tells IDs, whatever the size of its values is said to be.
            Some(Refers::Maps | Refers::Programs) => size_of::<u32>(),
            _ => value,
        };
        // SAFETY: this is what the kernel copies for each type that libbpf knows; all
        // operations refuse others.
        let raw = unsafe { Raw::new(fd, Sizes { key, value }) };
        Ok(Self { raw, info })
    }

    /// Opens the map with this ID.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], or [`Error::NotOpened`] without `CAP_SYS_ADMIN`.
    pub fn open_id(id: u32) -> Result<Self> {
        let fd =
            sys::open_id(id, 0).map_err(|err| not_opened(format!("map with the id {id}"), err));
        Self::from_fd(fd?)
    }

    /// Opens the map that is pinned at `path`, in a BPF file system.
    ///
    /// # Errors
    ///
    /// [`Error::NotAMap`] where something else is, [`Error::NotFound`], or [`Error::NotOpened`].
    pub fn open_pinned(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let map = open_pinned(path, "map").and_then(Self::from_fd);
        map.map_err(|err| err.pinned_at(path))
    }

    /// Opens the map of this name. Of a longer name the first 15 bytes count, which is what
    /// the kernel has.
    ///
    /// # Errors
    ///
    /// [`Error::Ambiguous`] where several have it, [`Error::NotFound`], or [`Error::NotOpened`]
    /// without `CAP_SYS_ADMIN`.
    pub fn open_name(name: &str) -> Result<Self> {
        let kept = &name.as_bytes()[..name.len().min(NAME_LEN)];
        let mut found: Vec<Self> = Self::all()?
            .filter(|map| !matches!(map, Ok(map) if map.info.name.as_bytes() != kept))
            .collect::<Result<_>>()?;
        match (found.pop(), found.is_empty()) {
            (Some(map), true) => Ok(map),
            (None, _) => Err(Error::NotFound {
                what: format!("map with the name `{name}`"),
            }),
            (Some(last), false) => Err(Error::Ambiguous {
                name: name.to_owned(),
                ids: found.iter().chain([&last]).map(|map| map.info.id).collect(),
            }),
        }
    }

    /// All maps of the machine, by ID. One that goes meanwhile is left out.
    ///
    /// # Errors
    ///
    /// [`Error::NotOpened`] without `CAP_SYS_ADMIN`; it comes once and ends the list.
    pub fn all() -> Result<impl Iterator<Item = Result<Self>>> {
        let list = |source| not_opened("list of maps".to_owned(), source);
        let following = |id| match sys::next_id(id) {
            Err(err) if is(&err, libc::ENOENT) => Ok(None),
            next => next.map(Some),
        };
        // The first is asked for at once, so that a lack of permission shows here.
        let mut next = following(0).map_err(list)?;
        Ok(std::iter::from_fn(move || {
            while let Some(id) = next.take() {
                match following(id) {
                    Ok(after) => next = after,
                    Err(source) => return Some(Err(list(source))),
                }
                match Self::open_id(id) {
                    Err(Error::NotFound { .. }) => {}
                    map => {
                        if map.is_err() {
                            next = None;
                        }
                        return Some(map);
                    }
                }
            }
            None
        }))
    }

    /// Makes a new map. It has no BTF.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], where the kernel does not allow it, has not enough memory, or
    /// dislikes one of the numbers.
    pub fn create(new: &NewMap<'_>) -> Result<Self> {
        let refused = |source| Error::Refused {
            map: new.name.to_owned(),
            max_entries: new.max_entries,
            source,
        };
        let kept = &new.name.as_bytes()[..new.name.len().min(NAME_LEN)];
        let name = CString::new(kept).map_err(|err| refused(err.into()))?;
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
            map_flags: new.flags,
            map_extra: new.extra,
            // Descriptor 0 is never a map here: the standard library opens 0 to 2.
            inner_map_fd: new
                .inner
                .map_or(0, |inner| inner.as_fd().as_raw_fd().cast_unsigned()),
            ..Default::default()
        };
        let sizes = (new.key_size, new.value_size);
        let fd = sys::create(new.kind.0, &name, sizes, new.max_entries, &options);
        let fd = fd.map_err(refused)?;
        Self::from_fd(fd)
    }

    /// What the kernel said of the map when it was opened.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The types of its keys and values, as far as they are known.
    ///
    /// # Errors
    ///
    /// [`Error::BadBtf`], [`Error::Kernel`].
    pub fn types(&self) -> Result<EntryTypes> {
        EntryTypes::of(self)
    }

    /// The types of its keys and values as if it had no BTF.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`].
    pub fn plain_types(&self) -> Result<EntryTypes> {
        EntryTypes::without_btf(self)
    }

    /// Bytes of a key.
    pub fn key_len(&self) -> usize {
        self.raw.sizes().key
    }

    /// Bytes of a value, as the operations take and give it: of a per-CPU map those of all
    /// possible CPUs, each rounded up to 8 bytes.
    pub fn value_len(&self) -> usize {
        self.raw.sizes().value
    }

    /// The value of `key`, if the map has it. A queue or stack has no keys, and tells which
    /// value is next.
    ///
    /// `locked` (`BPF_F_LOCK`): holding the `bpf_spin_lock` that the value must have.
    ///
    /// # Errors
    ///
    /// [`Error::WrongLength`], [`Error::NotOfKind`], [`Error::Denied`], [`Error::Kernel`].
    pub fn get(&self, key: &[u8], locked: bool) -> Result<Option<Vec<u8>>> {
        const OPERATION: &str = "look up";
        self.check(OPERATION, key, None)?;
        if self.info.kind.is_bloom_filter() {
            return Err(self.unsupported(OPERATION));
        }
        let mut value = vec![0; self.value_len()];
        let answer = self.raw.lookup(key, &mut value, lock(locked));
        Ok(self.found(OPERATION, answer)?.then_some(value))
    }

    /// Whether a bloom filter may have this value; if not, it surely has not.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    pub fn may_contain(&self, value: &[u8]) -> Result<bool> {
        const OPERATION: &str = "test for a value";
        self.check(OPERATION, &[], Some(value))?;
        if !self.info.kind.is_bloom_filter() {
            return Err(self.unsupported(OPERATION));
        }
        // The kernel only reads it, but asks for memory as if it wrote.
        let mut value = value.to_vec();
        let answer = self.raw.lookup(&[], &mut value, 0);
        self.found(OPERATION, answer)
    }

    /// Writes `value` for `key`, and tells whether it did: `false` where `put` asked for a
    /// key that is absent and it is present, or the reverse. Without keys it adds `value`.
    ///
    /// `locked`: as for [`get`](Self::get).
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get), [`Error::Full`] and [`Error::IndexOutOfRange`].
    /// [`Error::NotOfKind`] also where values refer to something: see
    /// [`insert_file`](Self::insert_file); and for a struct_ops map, whose programs only
    /// their loader can put in.
    pub fn insert(&self, key: &[u8], value: &[u8], put: UpdateMode, locked: bool) -> Result<bool> {
        const OPERATION: &str = "insert";
        self.check(OPERATION, key, Some(value))?;
        // In what is written to a struct_ops map, functions are file descriptors.
        if self.info.kind.refers().is_some() || self.info.kind.is_struct_ops() {
            return Err(self.unsupported("insert plain data"));
        }
        self.update(OPERATION, key, value, put, lock(locked))
    }

    /// Lets `key` refer to an open file: a map in a map of maps, a program in a program
    /// array, a cgroup, an event or a socket.
    ///
    /// # Errors
    ///
    /// As for [`insert`](Self::insert); [`Error::Kernel`] where it is not of the right type.
    pub fn insert_file(&self, key: &[u8], file: BorrowedFd<'_>, put: UpdateMode) -> Result<bool> {
        const OPERATION: &str = "insert a file";
        if self.info.kind.refers().is_none() {
            return Err(self.unsupported(OPERATION));
        }
        // Those of sockets may also have values of 8 bytes.
        let mut value = vec![0; self.value_len()];
        let fd = file.as_raw_fd();
        match value.len() {
            4 => value.copy_from_slice(&fd.to_ne_bytes()),
            _ => value.copy_from_slice(&i64::from(fd).to_ne_bytes()),
        }
        self.check(OPERATION, key, Some(&value))?;
        self.update(OPERATION, key, &value, put, 0)
    }

    fn update(
        &self,
        operation: &'static str,
        key: &[u8],
        value: &[u8],
        put: UpdateMode,
        flags: u64,
    ) -> Result<bool> {
        let condition = match put {
            UpdateMode::Any => libbpf_sys::BPF_ANY,
            UpdateMode::IfAbsent => libbpf_sys::BPF_NOEXIST,
            UpdateMode::IfPresent => libbpf_sys::BPF_EXIST,
        };
        let max_entries = self.info.max_entries;
        let map = || self.info.name.clone();
        let index = || {
            key.first_chunk()
                .map_or(0, |index| u32::from_ne_bytes(*index))
        };
        match self.raw.update(key, value, u64::from(condition) | flags) {
            Ok(()) => Ok(true),
            Err(err) => match (err.raw_os_error(), put) {
                (Some(libc::EEXIST), UpdateMode::IfAbsent)
                | (Some(libc::ENOENT), UpdateMode::IfPresent) => Ok(false),
                (Some(libc::E2BIG), _) if self.info.kind.is_array() => {
                    Err(Error::IndexOutOfRange {
                        map: map(),
                        index: index(),
                        max_entries,
                    })
                }
                (Some(libc::E2BIG | libc::ENOSPC), _) => Err(Error::Full {
                    map: map(),
                    max_entries,
                }),
                _ => Err(self.error(operation, err)),
            },
        }
    }

    /// Removes `key`, and tells whether it was there.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    pub fn remove(&self, key: &[u8]) -> Result<bool> {
        const OPERATION: &str = "remove";
        self.check_keys(OPERATION)?;
        self.check(OPERATION, key, None)?;
        // An array keeps all its values; only what they refer to can go.
        if self.info.kind.is_array() && self.info.kind.refers().is_none() && !self.is_removable() {
            return Err(self.unsupported(OPERATION));
        }
        let answer = self.raw.delete(key);
        self.found(OPERATION, answer)
    }

    /// Of arrays that are none of data: devices and CPUs can be taken out.
    fn is_removable(&self) -> bool {
        matches!(
            self.info.kind.0,
            libbpf_sys::BPF_MAP_TYPE_DEVMAP
                | libbpf_sys::BPF_MAP_TYPE_CPUMAP
                | libbpf_sys::BPF_MAP_TYPE_STRUCT_OPS
        )
    }

    /// Removes `key` and returns its value, if it was there, in one step. Of a queue or
    /// stack the value that is next. Hash maps have it since Linux 5.14.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    pub fn take(&self, key: &[u8], locked: bool) -> Result<Option<Vec<u8>>> {
        const OPERATION: &str = "take";
        self.check(OPERATION, key, None)?;
        let mut value = vec![0; self.value_len()];
        let answer = self.raw.take(key, &mut value, lock(locked));
        Ok(self.found(OPERATION, answer)?.then_some(value))
    }

    /// The key after `key`, or the first one, if there is one. After a key that has gone
    /// most types begin anew; see [`walk`](Self::walk).
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
        const OPERATION: &str = "find the next key";
        self.check_keys(OPERATION)?;
        if let Some(key) = key {
            self.check(OPERATION, key, None)?;
        }
        let mut next = vec![0; self.key_len()];
        let answer = self.raw.next_key(key, &mut next);
        Ok(self.found(OPERATION, answer)?.then_some(next))
    }

    /// Pins the map at `path`, in a BPF file system: it stays until the path is removed.
    ///
    /// # Errors
    ///
    /// [`Error::Pin`].
    pub fn pin(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        c_path(path)
            .and_then(|path| sys::pin(self.as_fd(), &path))
            .map_err(|source| Error::Pin {
                map: self.info.name.clone(),
                path: path.to_owned(),
                source,
            })
    }

    /// Removes the pin at `path`, which must be of a map. The map stays as long as anybody
    /// else has it. Returns it.
    ///
    /// # Errors
    ///
    /// As for [`open_pinned`](Self::open_pinned), or [`Error::Pin`].
    pub fn unpin(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let map = Self::open_pinned(path)?;
        fs::remove_file(path).map_err(|source| Error::Pin {
            map: map.info.name.clone(),
            path: path.to_owned(),
            source,
        })?;
        Ok(map)
    }

    /// Lets nobody write the map from user space any more, for ever. Programs still may.
    ///
    /// # Errors
    ///
    /// [`Error::NotOfKind`] where values have a lock, a timer or the like;
    /// [`Error::Busy`] while somebody writes it or has it mapped to be written, [`Error::Frozen`] if it is
    /// frozen already; [`Error::Kernel`].
    pub fn freeze(&self) -> Result<()> {
        sys::freeze(self.as_fd()).map_err(|err| match err.raw_os_error() {
            // Older kernels (seen on 6.1) say the same of a map that is frozen already.
            Some(libc::EBUSY) if FdInfo::of(self.as_fd()).frozen() => Error::Frozen {
                map: self.info.name.clone(),
            },
            Some(libc::EBUSY) => Error::Busy {
                map: self.info.name.clone(),
            },
            Some(sys::ENOTSUPP) => {
                self.unsupported("freeze values with a lock, a timer or the like")
            }
            _ => self.error("freeze", err),
        })
    }

    /// Compares lengths, and refuses what has none.
    fn check(&self, operation: &'static str, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        if self.info.kind.is_memory() || !self.info.kind.is_known() {
            return Err(self.unsupported(operation));
        }
        let sizes = self.raw.sizes();
        let key = ("key", key.len(), sizes.key);
        let value = value.map(|value| ("value", value.len(), sizes.value));
        for (part, found, expected) in [Some(key), value].into_iter().flatten() {
            if found != expected {
                return Err(Error::WrongLength {
                    map: self.info.name.clone(),
                    part,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }

    fn check_keys(&self, operation: &'static str) -> Result<()> {
        if self.info.key_size == 0 {
            return Err(self.unsupported(operation));
        }
        Ok(())
    }

    /// Whether there was something.
    fn found(&self, operation: &'static str, answer: io::Result<()>) -> Result<bool> {
        match answer {
            Ok(()) => Ok(true),
            Err(err) if err.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(err) => Err(self.error(operation, err)),
        }
    }

    fn unsupported(&self, operation: &'static str) -> Error {
        Error::NotOfKind {
            map: self.info.name.clone(),
            operation,
            kind: self.info.kind.0,
        }
    }

    fn error(&self, operation: &'static str, source: io::Error) -> Error {
        match source.raw_os_error() {
            // Of sockets there is nothing to be read where 4 bytes are too few for it.
            Some(libc::EOPNOTSUPP | sys::ENOTSUPP | libc::ENOSPC) => self.unsupported(operation),
            Some(libc::EPERM) if FdInfo::of(self.as_fd()).frozen() => Error::Frozen {
                map: self.info.name.clone(),
            },
            Some(libc::EPERM) => Error::Denied {
                map: self.info.name.clone(),
                operation,
                source,
            },
            _ => Error::Kernel {
                map: self.info.name.clone(),
                operation,
                source,
            },
        }
    }
}

impl AsFd for AnyMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.raw.fd().as_fd()
    }
}

/// Opens the program with this ID, for [`AnyMap::insert_file`].
///
/// # Errors
///
/// [`Error::NotFound`], or [`Error::NotOpened`] without `CAP_SYS_ADMIN`.
pub fn open_program_id(id: u32) -> Result<OwnedFd> {
    let fd = sys::open_program_id(id);
    fd.map_err(|err| not_opened(format!("program with the id {id}"), err))
}

/// Opens the program that is pinned at `path`, for [`AnyMap::insert_file`].
///
/// # Errors
///
/// [`Error::NotFound`], or [`Error::NotOpened`].
pub fn open_program_pinned(path: impl AsRef<Path>) -> Result<OwnedFd> {
    open_pinned(path.as_ref(), "program")
}

fn open_pinned(path: &Path, what: &str) -> Result<OwnedFd> {
    let fd = c_path(path).and_then(|path| sys::open_pinned(&path, 0));
    fd.map_err(|err| not_opened(format!("{what} pinned at `{}`", path.display()), err))
}

fn lock(locked: bool) -> u64 {
    if locked {
        u64::from(libbpf_sys::BPF_F_LOCK)
    } else {
        0
    }
}
