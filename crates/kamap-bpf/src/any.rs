//! Maps whose types are only known at run time.

mod entry_types;

use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

pub use entry_types::{EntryTypes, TypeSource};

use crate::raw::{Batch, Info, MapSpec, NewBtf, Operation, RawMap, UpdateMode, Walk};
use crate::{MapType, Result};

/// A map of any type, which need not be known. Keys and values are bytes, whose lengths are compared
/// with those of the map.
///
/// [`types`](Self::types) returns the meaning of the bytes.
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
    raw: RawMap,
}

impl AnyMap {
    /// Takes ownership of the map behind `fd`.
    ///
    /// # Errors
    ///
    /// [`Error::NotAMap`](crate::Error::NotAMap).
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        RawMap::from_fd(fd).map(Self::from)
    }

    /// Opens the map with this ID.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`](crate::Error::NotFound), or
    /// [`Error::NotOpened`](crate::Error::NotOpened) without `CAP_SYS_ADMIN`.
    pub fn open_id(id: u32) -> Result<Self> {
        RawMap::open_id(id, 0).map(Self::from)
    }

    /// Opens the map that is pinned at `path`, in a BPF file system.
    ///
    /// # Errors
    ///
    /// [`Error::NotAMap`](crate::Error::NotAMap) where something else is pinned,
    /// [`Error::NotAPin`](crate::Error::NotAPin) where nothing is,
    /// [`Error::NotFound`](crate::Error::NotFound), or
    /// [`Error::NotOpened`](crate::Error::NotOpened).
    pub fn open_pinned(path: impl AsRef<Path>) -> Result<Self> {
        RawMap::open_pinned(path.as_ref(), 0).map(Self::from)
    }

    /// Opens the map with this name. Only the first 15 bytes count, because the kernel keeps no more.
    ///
    /// # Errors
    ///
    /// [`Error::Ambiguous`](crate::Error::Ambiguous) where several maps have it,
    /// [`Error::NotFound`](crate::Error::NotFound), or
    /// [`Error::NotOpened`](crate::Error::NotOpened) without `CAP_SYS_ADMIN`.
    pub fn open_name(name: &str) -> Result<Self> {
        RawMap::open_name(name, 0).map(Self::from)
    }

    /// All maps of the machine, by ID. A map that is freed meanwhile is left out.
    ///
    /// # Errors
    ///
    /// [`Error::NotOpened`](crate::Error::NotOpened) without `CAP_SYS_ADMIN`. An error ends the list.
    pub fn all() -> Result<impl Iterator<Item = Result<Self>>> {
        Ok(RawMap::all(0)?.map(|map| map.map(Self::from)))
    }

    /// Creates a map of this type with keys and values of these sizes: 0 bytes for the keys of
    /// types without keys, and for both of a ring buffer. It has no BTF.
    ///
    /// ```no_run
    /// use kamap_bpf::{AnyMap, MapSpec, MapType};
    ///
    /// let map = AnyMap::create(MapType::LRU_HASH, (4, 8), &MapSpec::new("counts", 1024))?;
    /// # Ok::<(), kamap_bpf::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Refused`](crate::Error::Refused), where the kernel does not permit it, has not
    /// enough memory, or does not accept one of the numbers.
    pub fn create(
        kind: MapType,
        (key_size, value_size): (u32, u32),
        spec: &MapSpec<'_>,
    ) -> Result<Self> {
        RawMap::create(kind, (key_size, value_size), spec, NewBtf::default()).map(Self::from)
    }

    /// The kernel's information when the map was opened.
    pub fn info(&self) -> &Info {
        self.raw.info()
    }

    /// The types of its keys and values, as far as they are known.
    ///
    /// # Errors
    ///
    /// [`Error::BadBtf`](crate::Error::BadBtf), [`Error::Kernel`](crate::Error::Kernel).
    pub fn types(&self) -> Result<EntryTypes> {
        EntryTypes::of(self.info())
    }

    /// The types of its keys and values as if it had no BTF.
    ///
    /// # Errors
    ///
    /// [`Error::PossibleCpus`](crate::Error::PossibleCpus).
    pub fn plain_types(&self) -> Result<EntryTypes> {
        EntryTypes::without_btf(self.info())
    }

    /// Size of a key in bytes.
    pub fn key_len(&self) -> usize {
        self.raw.sizes().key
    }

    /// Size of a value in bytes, as the operations take and return it. In a per-CPU map it has the
    /// values of all possible CPUs, each rounded up to 8 bytes.
    pub fn value_len(&self) -> usize {
        self.raw.sizes().value
    }

    /// The value of `key`, if it is present. A queue or stack has no keys, and returns the next
    /// value without removing it.
    ///
    /// With `locked` (`BPF_F_LOCK`) it holds the `bpf_spin_lock` in the value, which must have one.
    ///
    /// # Errors
    ///
    /// [`Error::WrongLength`](crate::Error::WrongLength),
    /// [`Error::PrefixTooLong`](crate::Error::PrefixTooLong),
    /// [`Error::NotOfKind`](crate::Error::NotOfKind), [`Error::Denied`](crate::Error::Denied),
    /// [`Error::Kernel`](crate::Error::Kernel).
    pub fn get(&self, key: &[u8], locked: bool) -> Result<Option<Vec<u8>>> {
        if self.info().kind.is_bloom_filter() {
            return Err(self.raw.not_of_kind(Operation::LOOK_UP));
        }
        let mut value = vec![0; self.value_len()];
        let found = self
            .raw
            .lookup(Operation::LOOK_UP, key, &mut value, lock(locked))?;
        Ok(found.then_some(value))
    }

    /// Whether a bloom filter may have this value. `false` is certain.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    pub fn may_contain(&self, value: &[u8]) -> Result<bool> {
        self.raw.may_contain(value)
    }

    /// Writes `value` for `key`. Returns whether it did: `false` where `mode` asked for an
    /// absent key and it is present, or the reverse. Without keys it adds `value`.
    ///
    /// `locked`: as for [`get`](Self::get).
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get), [`Error::Full`](crate::Error::Full),
    /// [`Error::IndexOutOfRange`](crate::Error::IndexOutOfRange) and
    /// [`Error::Frozen`](crate::Error::Frozen). [`Error::NotOfKind`](crate::Error::NotOfKind)
    /// also where values refer to something: see [`insert_file`](Self::insert_file); and for a
    /// struct_ops map, whose programs only their loader can insert.
    pub fn insert(&self, key: &[u8], value: &[u8], mode: UpdateMode, locked: bool) -> Result<bool> {
        // A value that is written to a struct_ops map would need file descriptors of programs.
        if self.info().kind.refers().is_some() || self.info().kind.is_struct_ops() {
            return Err(self.raw.not_of_kind(Operation::INSERT_DATA));
        }
        self.raw
            .update(Operation::INSERT, key, value, mode, lock(locked))
    }

    /// Makes `key` refer to an open file: a map in a map of maps, a program in a program array, a
    /// cgroup, a perf event or a socket.
    ///
    /// # Errors
    ///
    /// As for [`insert`](Self::insert); [`Error::Kernel`](crate::Error::Kernel) where it is not
    /// of the right type.
    pub fn insert_file(&self, key: &[u8], file: BorrowedFd<'_>, mode: UpdateMode) -> Result<bool> {
        if self.info().kind.refers().is_none() {
            return Err(self.raw.not_of_kind(Operation::INSERT_FILE));
        }
        let fd = file.as_raw_fd();
        let (short, long) = (fd.to_ne_bytes(), i64::from(fd).to_ne_bytes());
        // Maps of sockets can also have values of 8 bytes.
        let value = if self.value_len() == 4 {
            &short[..]
        } else {
            &long[..]
        };
        self.raw.update(Operation::INSERT_FILE, key, value, mode, 0)
    }

    /// Removes `key`. Returns whether it was present.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get), and [`Error::Frozen`](crate::Error::Frozen).
    pub fn remove(&self, key: &[u8]) -> Result<bool> {
        self.raw.check_has_keys(Operation::REMOVE)?;
        if !self.info().kind.is_removable() {
            return Err(self.raw.not_of_kind(Operation::REMOVE));
        }
        self.raw.remove(key)
    }

    /// Removes `key` and returns its value, if it was present, in one step; from a queue or stack the
    /// next value. For hash maps it needs Linux 5.14.
    ///
    /// # Errors
    ///
    /// As for [`remove`](Self::remove), and [`Error::Unsupported`](crate::Error::Unsupported).
    pub fn take(&self, key: &[u8], locked: bool) -> Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.value_len()];
        let found = self
            .raw
            .take(Operation::TAKE, key, &mut value, lock(locked))?;
        Ok(found.then_some(value))
    }

    /// The key after `key`, or the first one, if there is one. After a key that is absent most
    /// types start over; see [`walk`](Self::walk).
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
        self.raw.check_has_keys(Operation::NEXT_KEY)?;
        let mut next = vec![0; self.key_len()];
        Ok(self.raw.next_key(key, &mut next)?.then_some(next))
    }

    /// Passes all entries to `each`, until it breaks. It uses memory for a batch of entries and
    /// not for all of them, except for the rare types below.
    ///
    /// While others write to the map:
    /// - of a hash map (of any kind, or of maps), a key that is present all the time comes
    ///   exactly once, no key comes twice, and no value is torn by whole updates (except by
    ///   those under its `bpf_spin_lock`);
    /// - the values of an array come in the order of their indices, each once. One that refers
    ///   to nothing is left out, and one that is being written can be torn;
    /// - of an LPM trie, no key comes twice, and longer prefixes come before the ones that they
    ///   begin with. A key that is present all the time comes as in
    ///   [`Map::iter`](crate::Map::iter) of a trie;
    /// - of all other types that can be walked (and of hash maps of maps before Linux 5.19) no
    ///   key comes twice, at the cost of remembering the keys. One that is replaced at the same
    ///   time can be missed.
    ///
    /// Values of the last two are read one by one, and can be torn. For a prefix that is
    /// removed at the same time, the value can be that of a shorter one.
    ///
    /// It is not a snapshot of one moment: of keys that come or go at the same time, some are
    /// seen and some are not.
    ///
    /// # Errors
    ///
    /// [`Error::NotOfKind`](crate::Error::NotOfKind) where the type cannot be walked, such as a
    /// queue, or its values cannot be read; [`Error::Unstable`](crate::Error::Unstable) where
    /// the end was not reached because entries go all the time;
    /// [`Error::Denied`](crate::Error::Denied), [`Error::Kernel`](crate::Error::Kernel).
    pub fn walk<B>(
        &self,
        mut each: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        let mut batch = Batch::default();
        let mut walk = Walk::reading(&self.raw);
        while walk.fill(&self.raw, 0, &mut batch)? {
            for at in 0..batch.len() {
                if let ControlFlow::Break(broken) = each(batch.key(at), batch.value(at)) {
                    return Ok(ControlFlow::Break(broken));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Pins the map at `path`, in a BPF file system: it stays until the path is removed.
    ///
    /// # Errors
    ///
    /// [`Error::Pin`](crate::Error::Pin).
    pub fn pin(&self, path: impl AsRef<Path>) -> Result<()> {
        self.raw.pin(path.as_ref())
    }

    /// Removes the pin at `path`, which must be of a map. Returns the map, which exists as long as
    /// anything refers to it.
    ///
    /// # Errors
    ///
    /// As for [`open_pinned`](Self::open_pinned), or [`Error::Pin`](crate::Error::Pin).
    pub fn unpin(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let map = Self::open_pinned(path)?;
        map.raw.remove_pin(path)?;
        Ok(map)
    }

    /// Denies all writing by user space, permanently. Programs can still write.
    ///
    /// # Errors
    ///
    /// [`Error::NotOfKind`](crate::Error::NotOfKind) where values have a lock, a timer or
    /// another special field; [`Error::Busy`](crate::Error::Busy) while somebody writes it or
    /// has it mapped for writing, [`Error::Frozen`](crate::Error::Frozen) if it is already
    /// frozen; [`Error::Kernel`](crate::Error::Kernel).
    pub fn freeze(&self) -> Result<()> {
        self.raw.freeze()
    }
}

impl From<RawMap> for AnyMap {
    fn from(raw: RawMap) -> Self {
        Self { raw }
    }
}

impl AsFd for AnyMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.raw.as_fd()
    }
}

impl AsRawFd for AnyMap {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// The file descriptor of the map.
impl From<AnyMap> for OwnedFd {
    fn from(map: AnyMap) -> Self {
        map.raw.into()
    }
}

fn lock(locked: bool) -> u64 {
    if locked {
        u64::from(libbpf_sys::BPF_F_LOCK)
    } else {
        0
    }
}
