//! Typed maps.

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use super::access::{Access, ReadWrite, Readable, Writable};
use super::check::{Check, Checked, check};
use super::kinds::{Creatable, Entries, Kind, Lockable};
use super::value::private::Stored;
use crate::btf::Made;
use crate::data::bytes;
use crate::map_type::MapType;
use crate::raw::{Batch, Info, MapSpec, NewBtf, Operation, RawMap, UpdateMode};
use crate::{Error, Partial, Result, sys};

/// A BPF map of kind `T`, such as [`Hash<K, V>`](struct@crate::Hash). `A` is what the handle may
/// do.
///
/// It owns a file descriptor. The kernel keeps the map as long as anything refers to it. All
/// operations work from any thread.
pub struct Map<T: Kind, A: Access = ReadWrite> {
    raw: RawMap,
    /// Flags of each operation on a value: `BPF_F_LOCK`, or 0.
    flags: u64,
    checked: Checked,
    kind: PhantomData<fn() -> (T, A)>,
}

impl<T: Kind, A: Access> Map<T, A> {
    /// Takes ownership of the map behind `fd`, after a `check` of its layout.
    ///
    /// # Errors
    ///
    /// [`Error::NotAMap`], [`Error::WrongKind`], [`Error::WrongSize`], [`Error::WrongAccess`] if
    /// the file descriptor does not allow what `A` does; from the `check` [`Error::LayoutDiffers`],
    /// [`Error::NoBtf`], [`Error::BtfNotPermitted`], or [`Error::BadBtf`].
    pub fn from_fd(fd: OwnedFd, check: Check) -> Result<Self> {
        Self::checked_by(RawMap::from_fd(fd)?, check)
    }

    /// Duplicates the file descriptor of a map in a libbpf skeleton. Its layout is compared with
    /// the Rust types.
    ///
    /// If the map has no BTF, or if its BTF may not be read (that needs `CAP_SYS_ADMIN`, but
    /// loading a skeleton does not), only the sizes are compared. That is enough for types that
    /// libbpf-cargo generated from the same BTF. In other types, two swapped fields are not
    /// noticed. [`checked`](Self::checked) distinguishes these cases; [`from_fd`](Self::from_fd)
    /// with [`Check::Layout`] requires the comparison.
    ///
    /// # Errors
    ///
    /// As for [`from_fd`](Self::from_fd), and [`Error::NotOpened`] if too many files are open.
    pub fn from_skeleton(map: &impl AsFd) -> Result<Self> {
        Self::checked_by(RawMap::duplicate(map.as_fd())?, Check::LayoutOrSizes)
    }

    /// Opens the map that is pinned at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotAPin`], [`Error::NotOpened`], and those of
    /// [`from_fd`](Self::from_fd).
    pub fn open_pinned(path: impl AsRef<Path>, check: Check) -> Result<Self> {
        Self::checked_by(RawMap::open_pinned(path.as_ref(), A::FLAGS)?, check)
    }

    /// Opens the map with this ID, which needs `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotOpened`], and those of [`from_fd`](Self::from_fd).
    pub fn open_id(id: u32, check: Check) -> Result<Self> {
        Self::checked_by(RawMap::open_id(id, A::FLAGS)?, check)
    }

    /// Opens the map with this name, which needs `CAP_SYS_ADMIN`. The kernel keeps only the first
    /// 15 bytes of a name. Several maps can have the same name.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotOpened`], [`Error::Ambiguous`] if several maps have this
    /// name, and those of [`from_fd`](Self::from_fd).
    pub fn open_name(name: &str, check: Check) -> Result<Self> {
        Self::checked_by(RawMap::open_name(name, A::FLAGS)?, check)
    }

    fn checked_by(raw: RawMap, by: Check) -> Result<Self> {
        Self::accept(raw, |raw| check::<T>(raw.info(), by))
    }

    /// Accepts `raw` if its type, sizes and access mode are right. `checked` checks the layout.
    fn accept(raw: RawMap, checked: impl FnOnce(&RawMap) -> Result<Checked>) -> Result<Self> {
        let raw = raw.expect(T::TYPE)?;
        let info = raw.info();
        // A section of variables ends with the last variable, where the Rust type can have padding.
        let is_shorter = T::TYPE == MapType::ARRAY && T::VALUE.fits_without_end(info.value_size);
        let key = T::KEY.map_or(0, |key| key.size);
        for (part, found, expected) in [
            ("key", info.key_size, key),
            ("value", info.value_size, T::VALUE.size),
        ] {
            let fits = part == "value" && is_shorter;
            if found as usize != expected && !fits {
                return Err(Error::WrongSize {
                    map: info.name.clone(),
                    part,
                    found,
                    expected,
                });
            }
        }
        let mode = sys::access_mode(raw.as_fd()).map_err(Error::not_a_map)?;
        if mode != libc::O_RDWR && mode != A::MODE {
            return Err(Error::WrongAccess {
                map: info.name.clone(),
                read_only: mode == libc::O_RDONLY,
                expected: A::NAME,
            });
        }
        Ok(Self {
            checked: checked(&raw)?,
            raw,
            flags: 0,
            kind: PhantomData,
        })
    }

    /// Name of the map in the kernel.
    pub fn name(&self) -> &str {
        self.raw.name()
    }

    /// The maximum number of entries.
    pub fn max_entries(&self) -> u32 {
        self.raw.max_entries()
    }

    /// How the layout of its keys and values was checked.
    pub fn checked(&self) -> Checked {
        self.checked
    }

    /// The kernel's present information about the map.
    ///
    /// # Errors
    ///
    /// [`Error::NotAMap`] if the kernel does not return any.
    pub fn info(&self) -> Result<Info> {
        Info::of(self.as_fd())
    }

    /// Another handle for the same map.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] if too many files are open.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            raw: self.raw.try_clone()?,
            ..*self
        })
    }

    /// Removes the pin at `path`. Returns whether there was one. The map exists as long as anything
    /// refers to it.
    ///
    /// # Errors
    ///
    /// [`Error::PinnedOther`] if something else is pinned there, which stays; [`Error::Pin`].
    pub fn unpin(&self, path: impl AsRef<Path>) -> Result<bool> {
        self.raw.unpin(path.as_ref(), A::FLAGS)
    }

    pub(super) fn raw(&self) -> &RawMap {
        &self.raw
    }

    pub(super) fn flags(&self) -> u64 {
        self.flags
    }
}

impl<T: Creatable> Map<T> {
    /// Creates a map. The kernel keeps the first 15 bytes of the name, which may have letters,
    /// digits, `_` and `.`. If the kernel keeps BTF for this kind, it gets BTF made from the Rust
    /// types, so that `bpftool map dump` shows their fields.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the kernel does not permit it, has not enough memory, or rejects the
    /// name or the size.
    pub fn create(name: &str, max_entries: u32) -> Result<Self> {
        Self::create_with(&MapSpec::new(name, max_entries))
    }

    /// Creates a map with more options than [`create`](Self::create).
    ///
    /// # Errors
    ///
    /// As for [`create`](Self::create).
    pub fn create_with(spec: &MapSpec<'_>) -> Result<Self> {
        Self::created(Self::create_raw(spec)?)
    }

    /// Opens the map that is pinned at `path`, or creates it and pins it there. If several do this
    /// at the same time, all get the same map.
    ///
    /// An existing map must have the same number of entries and the same flags, and pass the
    /// `check`.
    ///
    /// # Errors
    ///
    /// [`Error::WrongSpec`] if entries or flags differ, and those of
    /// [`open_pinned`](Self::open_pinned), [`create`](Self::create) and [`pin`](Self::pin).
    pub fn open_or_create_pinned(
        path: impl AsRef<Path>,
        spec: &MapSpec<'_>,
        check: Check,
    ) -> Result<Self> {
        let spec = spec.flags(T::FLAGS);
        let raw =
            RawMap::open_or_create(path.as_ref(), T::TYPE, &spec, || Self::create_raw(&spec))?;
        match check {
            // It has no BTF to check.
            _ if !T::KEEPS_BTF => Self::created(raw),
            check => Self::checked_by(raw, check),
        }
    }
}

impl<T: Kind> Map<T> {
    pub(super) fn create_raw(spec: &MapSpec<'_>) -> Result<RawMap> {
        let spec = spec.flags(T::FLAGS);
        let btf = T::KEEPS_BTF.then(|| Made::of(T::KEY, T::VALUE));
        let btf = btf.transpose().map_err(|err| spec.refused(T::TYPE, err))?;
        let new = btf.as_ref().map_or_else(NewBtf::default, |btf| NewBtf {
            fd: btf.fd(),
            key: btf.key,
            value: btf.value,
        });
        let sizes = (T::KEY.map_or(0, |key| key.size), T::VALUE.size);
        RawMap::create(T::TYPE, (sizes.0 as u32, sizes.1 as u32), &spec, new)
    }

    pub(super) fn created(raw: RawMap) -> Result<Self> {
        Self::accept(raw, |_| Ok(Checked::Layout))
    }

    /// Pins the map at `path`, a new file in a BPF file system (often `/sys/fs/bpf`). The map
    /// exists until it is unpinned, even if no process uses it. It can be pinned several times.
    ///
    /// # Errors
    ///
    /// [`Error::Pin`]
    pub fn pin(&self, path: impl AsRef<Path>) -> Result<()> {
        self.raw.pin(path.as_ref())
    }
}

impl<T: Kind, A: Writable> Map<T, A> {
    /// Denies all writing by user space, permanently. Programs can still write (Linux 5.2).
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] while the map is being written or mapped for writing, [`Error::Frozen`] if
    /// it is frozen already, [`Error::NotOfKind`] if its values have a
    /// [`SpinLock`](crate::SpinLock) or another field that only the kernel writes (newer kernels do
    /// not freeze such maps).
    pub fn freeze(&self) -> Result<()> {
        self.raw.freeze()
    }
}

impl<T: Lockable, A: Readable> Map<T, A> {
    /// The same map, but each operation copies values while it holds the lock in the value
    /// (`BPF_F_LOCK`, Linux 5.1), so that no value is torn.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpinLock`] if the values have no `struct bpf_spin_lock` in the map's BTF;
    /// [`Error::Kernel`].
    pub fn locked(self) -> Result<Self> {
        if !self.raw.has_lock()? {
            return Err(Error::NoSpinLock {
                map: self.name().to_owned(),
            });
        }
        let flags = u64::from(libbpf_sys::BPF_F_LOCK);
        Ok(Self { flags, ..self })
    }
}

/// Operations that kinds with entries share. Each kind offers those that make sense for it.
impl<T: Entries, A: Access> Map<T, A> {
    pub(super) fn put(&self, key: &T::Key, value: &T::Value, mode: UpdateMode) -> Result<bool> {
        bytes::with_bytes(key, |key| {
            value.with_bytes(self.raw.sizes().value, |value| {
                self.raw
                    .update(Operation::INSERT, key, value, mode, self.flags)
            })
        })
    }

    /// Writes all entries in batches, whether their keys are present or not.
    pub(super) fn put_many(
        &self,
        entries: impl IntoIterator<Item = (T::Key, T::Value)>,
    ) -> Result<u64, Partial> {
        let mut batch = Batch::default();
        batch.prepare(&self.raw);
        let mut done = 0;
        let mut insert = |batch: &mut Batch| {
            let inserted = self.raw.insert_batch(batch, self.flags);
            done += inserted.map_err(|partial| Partial {
                done: done + partial.done,
                ..partial
            })?;
            batch.clear();
            Ok(done)
        };
        for (key, value) in entries {
            let has_room = batch.push(|to_key, to_value| {
                bytes::write(&key, to_key);
                value.write(to_value);
            });
            if !has_room {
                insert(&mut batch)?;
            }
        }
        insert(&mut batch)
    }

    pub(super) fn delete(&self, key: &T::Key) -> Result<bool> {
        bytes::with_bytes(key, |key| self.raw.remove(key))
    }
}

impl<T: Kind, A: Access> fmt::Debug for Map<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("name", &self.name())
            .field("kind", &T::TYPE)
            .field("access", &A::NAME)
            .field("max_entries", &self.max_entries())
            .field("checked", &self.checked)
            .finish_non_exhaustive()
    }
}

impl<T: Kind, A: Access> AsFd for Map<T, A> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.raw.as_fd()
    }
}

impl<T: Kind, A: Access> AsRawFd for Map<T, A> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// The file descriptor of the map.
impl<T: Kind, A: Access> From<Map<T, A>> for OwnedFd {
    fn from(map: Map<T, A>) -> Self {
        map.raw.into()
    }
}
