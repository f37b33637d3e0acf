//! Maps whose types are known at run time only.

mod cpus;
mod entry_types;
pub mod flags;
mod map_type;
mod raw;
mod walk;

use std::ffi::CString;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub use entry_types::{EntryTypes, TypeSource};
pub use map_type::{MapType, Refers};

use super::{Error, Put, Result, sys};
use raw::{Raw, Sizes};

/// A map of any type, opened without knowing it: keys and values are bytes, whose lengths
/// are compared with the map's.
///
/// [`types`](Self::types) tells what the bytes mean.
///
/// ```no_run
/// use kamap::maps::{AnyMap, Put};
///
/// let map = AnyMap::open_name("counts")?;
/// let types = map.types()?;
/// map.insert(&types.parse_key("7")?, &types.parse_value("1")?, Put::Any, false)?;
/// if let Some(value) = map.get(&types.parse_key("7")?, false)? {
///     println!("{}", types.value.read(&value));
/// }
/// # Ok::<(), kamap::maps::Error>(())
/// ```
///
/// Opening by ID or name needs `CAP_SYS_ADMIN`, by path `CAP_BPF` (or root).
#[derive(Debug)]
pub struct AnyMap {
    raw: Raw,
    info: MapInfo,
}

/// What the kernel says of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapInfo {
    /// Its ID.
    pub id: u32,
    /// Its type.
    pub kind: MapType,
    /// Its name: the first 15 bytes of what it was given.
    pub name: String,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value; of a per-CPU map those of one CPU.
    pub value_size: u32,
    /// The most entries that it can hold; of a ring buffer its bytes, of an arena its pages.
    pub max_entries: u32,
    /// Its flags (`BPF_F_*`).
    pub flags: u32,
    /// What `map_extra` was when it was made.
    pub extra: u64,
    /// ID of its BTF, or 0.
    pub btf_id: u32,
    /// Whether it can no longer be written from user space; unknown without /proc.
    pub frozen: Option<bool>,
    /// Bytes of memory that it takes, as the kernel counts them; unknown without /proc.
    pub memory: Option<u64>,
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
        let not_a_map = |source| Error::NotAMap { source };
        if !raw::is_map(fd.as_fd()) {
            return Err(not_a_map(io::Error::from_raw_os_error(libc::EINVAL)));
        }
        let info = sys::info(fd.as_fd()).map_err(not_a_map)?;
        let info = MapInfo::new(&info, &fd);
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
    /// [`Error::NotFound`], or [`Error::Open`] without `CAP_SYS_ADMIN`.
    pub fn open_id(id: u32) -> Result<Self> {
        opened(raw::open_id(id), format_args!("map with ID {id}")).and_then(Self::from_fd)
    }

    /// Opens the map that is pinned at `path`, in a BPF file system.
    ///
    /// # Errors
    ///
    /// [`Error::NotAMap`] where something else is, [`Error::NotFound`], or [`Error::Open`].
    pub fn open_pinned(path: impl AsRef<Path>) -> Result<Self> {
        open_pinned(path.as_ref(), "map").and_then(Self::from_fd)
    }

    /// Opens the map of this name. Of a longer name the first 15 bytes count, which is what
    /// the kernel has.
    ///
    /// # Errors
    ///
    /// [`Error::Ambiguous`] where several have it, [`Error::NotFound`], or [`Error::Open`]
    /// without `CAP_SYS_ADMIN`.
    pub fn open_name(name: &str) -> Result<Self> {
        let kept = &name.as_bytes()[..name.len().min(NAME)];
        let mut found: Vec<Self> = Self::all()?
            .filter(|map| !matches!(map, Ok(map) if map.info.name.as_bytes() != kept))
            .collect::<Result<_>>()?;
        match (found.pop(), found.is_empty()) {
            (Some(map), true) => Ok(map),
            (None, _) => Err(Error::NotFound {
                what: format!("map named `{name}`"),
            }),
            (Some(last), false) => Err(Error::Ambiguous {
                map: name.to_owned(),
                ids: found.iter().chain([&last]).map(|map| map.info.id).collect(),
            }),
        }
    }

    /// All maps of the machine, by ID. One that goes meanwhile is left out.
    ///
    /// # Errors
    ///
    /// [`Error::Open`] without `CAP_SYS_ADMIN`; it comes once and ends the list.
    pub fn all() -> Result<impl Iterator<Item = Result<Self>>> {
        let list = |source| Error::Open {
            what: "list of maps".to_owned(),
            source,
        };
        // The first is asked for at once, so that a lack of permission shows here.
        let mut next = raw::next_id(0).map_err(list)?;
        Ok(std::iter::from_fn(move || {
            while let Some(id) = next.take() {
                match raw::next_id(id) {
                    Ok(following) => next = following,
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
        let kept = &new.name.as_bytes()[..new.name.len().min(NAME)];
        let name = CString::new(kept).map_err(|err| refused(err.into()))?;
        let fd = raw::create(&raw::New {
            kind: new.kind.0,
            name: &name,
            key_size: new.key_size,
            value_size: new.value_size,
            max_entries: new.max_entries,
            flags: new.flags,
            extra: new.extra,
            inner: new.inner.map(AsFd::as_fd),
        })
        .map_err(refused)?;
        Self::from_fd(fd)
    }

    /// What the kernel said of the map when it was opened.
    pub fn info(&self) -> &MapInfo {
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
    /// [`Error::WrongLength`], [`Error::Unsupported`], [`Error::Denied`], [`Error::Kernel`].
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
    /// As for [`get`](Self::get), [`Error::Full`] and [`Error::OutOfRange`].
    /// [`Error::Unsupported`] also where values refer to something: see
    /// [`insert_file`](Self::insert_file).
    pub fn insert(&self, key: &[u8], value: &[u8], put: Put, locked: bool) -> Result<bool> {
        const OPERATION: &str = "insert";
        self.check(OPERATION, key, Some(value))?;
        if self.info.kind.refers().is_some() {
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
    pub fn insert_file(&self, key: &[u8], file: BorrowedFd<'_>, put: Put) -> Result<bool> {
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
        put: Put,
        flags: u64,
    ) -> Result<bool> {
        let condition = match put {
            Put::Any => libbpf_sys::BPF_ANY,
            Put::IfAbsent => libbpf_sys::BPF_NOEXIST,
            Put::IfPresent => libbpf_sys::BPF_EXIST,
        };
        let max_entries = self.info.max_entries;
        let map = || self.info.name.clone();
        match self.raw.update(key, value, u64::from(condition) | flags) {
            Ok(()) => Ok(true),
            Err(err) => match (err.raw_os_error(), put) {
                (Some(libc::EEXIST), Put::IfAbsent) | (Some(libc::ENOENT), Put::IfPresent) => {
                    Ok(false)
                }
                (Some(libc::E2BIG), _) if self.info.kind.is_array() => Err(Error::OutOfRange {
                    map: map(),
                    max_entries,
                }),
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
            .and_then(|path| raw::pin(self.as_fd(), &path))
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
    /// [`Error::Unsupported`] where values have a lock, a timer or the like;
    /// [`Error::Kernel`], with `EBUSY` while it is mapped to be written.
    pub fn freeze(&self) -> Result<()> {
        raw::freeze(self.as_fd()).map_err(|err| match err.raw_os_error() {
            Some(ENOTSUPP) => self.unsupported("freeze values with a lock, a timer or the like"),
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
        Error::Unsupported {
            map: self.info.name.clone(),
            operation,
            kind: self.info.kind.to_string(),
        }
    }

    fn error(&self, operation: &'static str, source: io::Error) -> Error {
        match source.raw_os_error() {
            // Of sockets there is nothing to be read where 4 bytes are too few for it.
            Some(libc::EOPNOTSUPP | ENOTSUPP | libc::ENOSPC) => self.unsupported(operation),
            Some(libc::EPERM) => Error::Denied {
                map: self.info.name.clone(),
                operation,
                frozen: MapInfo::fdinfo(self.raw.fd()).is_some_and(|info| info.frozen()),
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
/// [`Error::NotFound`], or [`Error::Open`] without `CAP_SYS_ADMIN`.
pub fn open_program_id(id: u32) -> Result<OwnedFd> {
    opened(
        raw::open_program_id(id),
        format_args!("program with ID {id}"),
    )
}

/// Opens the program that is pinned at `path`, for [`AnyMap::insert_file`].
///
/// # Errors
///
/// [`Error::NotFound`], or [`Error::Open`].
pub fn open_program_pinned(path: impl AsRef<Path>) -> Result<OwnedFd> {
    open_pinned(path.as_ref(), "program")
}

fn open_pinned(path: &Path, what: &str) -> Result<OwnedFd> {
    opened(
        c_path(path).and_then(|path| raw::open_pinned(&path)),
        format_args!("{what} pinned at {}", path.display()),
    )
}

/// What an attempt to open `what` has led to.
fn opened(answer: io::Result<OwnedFd>, what: fmt::Arguments<'_>) -> Result<OwnedFd> {
    answer.map_err(|source| {
        let what = what.to_string();
        if source.kind() == io::ErrorKind::NotFound {
            Error::NotFound { what }
        } else {
            Error::Open { what, source }
        }
    })
}

/// Bytes of a name that the kernel keeps (`BPF_OBJ_NAME_LEN`, without the zero).
const NAME: usize = 15;

/// The kernel's own, which libc does not know (linux/errno.h).
const ENOTSUPP: i32 = 524;

fn lock(locked: bool) -> u64 {
    if locked {
        u64::from(libbpf_sys::BPF_F_LOCK)
    } else {
        0
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

/// What /proc says of an open map.
struct FdInfo(String);

impl FdInfo {
    fn number(&self, field: &str) -> Option<u64> {
        let mut lines = self.0.lines();
        let value = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        value.trim().parse().ok()
    }

    fn frozen(&self) -> bool {
        self.number("frozen") == Some(1)
    }
}

impl MapInfo {
    fn new(info: &libbpf_sys::bpf_map_info, fd: &OwnedFd) -> Self {
        let fdinfo = Self::fdinfo(fd);
        Self {
            id: info.id,
            kind: MapType(info.type_),
            name: sys::name(info),
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries,
            flags: info.map_flags,
            extra: info.map_extra,
            btf_id: info.btf_id,
            frozen: fdinfo.as_ref().map(FdInfo::frozen),
            memory: fdinfo.and_then(|info| info.number("memlock")),
        }
    }

    fn fdinfo(fd: &OwnedFd) -> Option<FdInfo> {
        let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
        fs::read_to_string(path).ok().map(FdInfo)
    }
}
