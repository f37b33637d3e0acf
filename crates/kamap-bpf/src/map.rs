//! A map of any kind.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use self::private::Stored;
use super::handle::FdInfo;
use super::operation::Operation;
use super::{
    Access, Check, Checked, Error, Layout, MapData, ReadWrite, Result, Value, check, encode, sys,
    value,
};

/// A kind of map, with the types of its keys and values.
pub trait Kind: private::Sealed {
    /// The kernel's `enum bpf_map_type`.
    const TYPE: u32;
    /// How its keys lie in memory; none if it has no keys.
    const KEY: Option<&'static Layout>;
    /// How its values lie in memory, of each CPU if it is a per-CPU map.
    const VALUE: &'static Layout;
    /// Whether it has a value for each possible CPU.
    const EACH_CPU: bool = false;
    /// Whether the kernel keeps BTF for maps of this kind.
    const KEEPS_BTF: bool = true;
}

/// A kind of map with keys.
pub trait Keyed: Kind {
    /// Type of the keys.
    type Key: MapData;
}

/// A kind of map with a value for each key.
pub trait Entries: Keyed {
    /// What is there for each key.
    type Value: Value;

    /// What it means that the map has no room for `key`.
    #[doc(hidden)]
    fn no_room(map: String, max_entries: u32, _key: &Self::Key) -> Error {
        Error::Full { map, max_entries }
    }
}

pub(super) mod private {
    use std::ffi::c_void;
    use std::io;
    use std::mem::MaybeUninit;
    use std::ops::Range;

    use super::MapData;

    /// The operations of [`Map`](super::Map) know every kind there is.
    pub trait Sealed {}

    /// How a value lies in memory that the kernel reads and writes: in one cell, or
    /// in one for each possible CPU.
    pub trait Stored: Clone + Sized {
        /// What a cell is for.
        type One: MapData;
        type Cell: Copy;
        /// What is made of a batch of cells, once for all its values.
        type Decoded: Default;
        const EACH_CPU: bool;

        /// # Safety
        ///
        /// `fill` writes all `cells`, unless it fails.
        unsafe fn read(
            cells: usize,
            fill: impl FnOnce(*mut c_void) -> io::Result<()>,
        ) -> io::Result<Self>;

        /// Hands over the value's cells, for reading, without any padding of its own.
        fn with_bytes<R>(&self, take: impl FnOnce(*const c_void) -> R) -> R;

        /// Writes the value to its cells.
        fn write(&self, cells: &mut [MaybeUninit<Self::Cell>]);

        /// # Safety
        ///
        /// All `cells` are filled.
        unsafe fn decode(cells: &[MaybeUninit<Self::Cell>], decoded: &mut Self::Decoded);

        /// The value that lies in the cells of `range`.
        ///
        /// # Safety
        ///
        /// They are filled, and `decoded` is of `cells`.
        unsafe fn item(
            cells: &[MaybeUninit<Self::Cell>],
            decoded: &Self::Decoded,
            range: Range<usize>,
        ) -> Self;
    }
}

/// A BPF map of kind `T`, such as [`Hash<K, V>`](super::Hash), that may be used
/// as `A` says.
///
/// It holds a file descriptor of its own; the kernel keeps the map as long as
/// anybody holds one. All operations work from any thread.
pub struct Map<T: Kind, A: Access = ReadWrite> {
    fd: OwnedFd,
    name: String,
    max_entries: u32,
    /// Cells of a value: as many as there can be CPUs, or one.
    cells: usize,
    /// For each operation on an element: `BPF_F_LOCK`, or nothing.
    flags: u64,
    checked: Checked,
    kind: PhantomData<fn() -> (T, A)>,
}

impl<T: Kind, A: Access> Map<T, A> {
    /// Takes over the map behind `fd`, after a `check` of its layout.
    ///
    /// # Errors
    ///
    /// [`Error::NotAMap`], [`Error::WrongKind`], [`Error::WrongSize`],
    /// [`Error::WrongAccess`] if the file descriptor may do less than `A`, and by the
    /// `check` [`Error::LayoutDiffers`], [`Error::NoBtf`], [`Error::BtfNotPermitted`],
    /// or [`Error::BadBtf`].
    pub fn from_fd(fd: OwnedFd, check: Check) -> Result<Self> {
        Self::accept(fd, |info| check::check::<T>(info, check))
    }

    /// Duplicates the handle that a libbpf skeleton has of a map, whose layout is
    /// compared with the Rust types.
    ///
    /// Where the map has no BTF, or it may not be read (which takes `CAP_SYS_ADMIN`, while a
    /// skeleton is loaded with less), the sizes alone are compared: enough for types that
    /// libbpf-cargo made from the same BTF, but in others two fields that have changed
    /// places pass unseen. [`checked`](Self::checked) tells;
    /// [`from_fd`](Self::from_fd) with [`Check::Layout`] insists.
    ///
    /// # Errors
    ///
    /// As for [`from_fd`](Self::from_fd), and [`Error::NotOpened`] if there are too many
    /// open files.
    pub fn from_skeleton(map: &impl AsFd) -> Result<Self> {
        let fd = map.as_fd().try_clone_to_owned();
        let fd = fd.map_err(|source| Error::NotOpened {
            what: "map of the skeleton".to_owned(),
            source,
        })?;
        Self::from_fd(fd, Check::LayoutOrSizes)
    }

    /// Takes over the map behind `fd`, of whose layout `checked` tells what is known.
    pub(super) fn accept(
        fd: OwnedFd,
        checked: impl FnOnce(&libbpf_sys::bpf_map_info) -> Result<Checked>,
    ) -> Result<Self> {
        let (info, name) = info(fd.as_fd(), T::TYPE)?;
        for (part, found, expected) in [
            ("key", info.key_size, T::KEY.map_or(0, |key| key.size)),
            ("value", info.value_size, T::VALUE.size),
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
        let mode = sys::access_mode(fd.as_fd()).map_err(Error::not_a_map)?;
        if mode != libc::O_RDWR && mode != A::MODE {
            return Err(Error::WrongAccess {
                map: name,
                read_only: mode == libc::O_RDONLY,
                expected: A::NAME,
            });
        }
        Ok(Self {
            fd,
            name,
            max_entries: info.max_entries,
            cells: if T::EACH_CPU {
                value::possible_cpus()?
            } else {
                1
            },
            flags: 0,
            checked: checked(&info)?,
            kind: PhantomData,
        })
    }

    /// Name of the map, as the kernel has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The most entries that the map can hold.
    pub fn max_entries(&self) -> u32 {
        self.max_entries
    }

    /// What is known of the layout of its keys and values.
    pub fn checked(&self) -> Checked {
        self.checked
    }

    pub(super) fn cells(&self) -> usize {
        self.cells
    }

    pub(super) fn flags(&self) -> u64 {
        self.flags
    }

    /// The same map, by another file descriptor.
    pub(super) fn with_fd(&self, fd: OwnedFd) -> Self {
        Self {
            fd,
            name: self.name.clone(),
            ..*self
        }
    }

    pub(super) fn with_flags(self, flags: u64) -> Self {
        Self { flags, ..self }
    }

    /// A lookup's answer: not found is none.
    pub(super) fn found<V>(
        &self,
        operation: Operation,
        answer: io::Result<V>,
    ) -> Result<Option<V>> {
        match answer {
            Ok(value) => Ok(Some(value)),
            Err(err) if is(&err, libc::ENOENT) => Ok(None),
            Err(err) => Err(self.error(operation, err)),
        }
    }

    /// What the kernel's answer to `operation` means.
    pub(super) fn error(&self, operation: Operation, source: io::Error) -> Error {
        let map = self.name.clone();
        match source.raw_os_error() {
            Some(libc::EPERM) if operation.writes && self.is_frozen() => Error::Frozen { map },
            Some(libc::EPERM) => Error::Denied {
                map,
                operation: operation.name,
                source,
            },
            Some(libc::EOPNOTSUPP | sys::ENOTSUPP) => Error::Unsupported {
                map,
                kind: T::TYPE,
                operation: operation.name,
                since: operation.since,
                source,
            },
            _ => Error::Kernel {
                map,
                operation: operation.name,
                source,
            },
        }
    }

    /// Whether user space can no longer write the map, as far as can be known.
    pub(super) fn is_frozen(&self) -> bool {
        FdInfo::of(self.as_fd()).frozen()
    }
}

/// What the kernel tells of the map behind `fd`, and its name, if it is of this type.
pub(super) fn info(
    fd: BorrowedFd<'_>,
    expected: u32,
) -> Result<(libbpf_sys::bpf_map_info, String)> {
    let info = sys::info(fd).map_err(Error::not_a_map)?;
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

pub(super) fn is(err: &io::Error, errno: i32) -> bool {
    err.raw_os_error() == Some(errno)
}

impl<T: Kind, A: Access> fmt::Debug for Map<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("name", &self.name)
            .field("kind", &T::TYPE)
            .field("access", &A::NAME)
            .field("max_entries", &self.max_entries)
            .field("checked", &self.checked)
            .finish_non_exhaustive()
    }
}

impl<T: Kind, A: Access> AsFd for Map<T, A> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// When [`Map::insert`] is to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// Whether the key is there or not (`BPF_ANY`).
    Any,
    /// Only if the key is not there (`BPF_NOEXIST`).
    IfAbsent,
    /// Only if the key is there (`BPF_EXIST`).
    IfPresent,
}

/// What kinds with entries share; each offers it as far as it makes sense there.
impl<T: Entries, A: Access> Map<T, A> {
    pub(super) fn look_up(&self, key: &T::Key) -> Result<Option<T::Value>> {
        let answer = encode::with_bytes(key, |key| {
            // SAFETY: `from_fd` has compared the sizes of key and value, and `cells`
            // is how many the kernel writes.
            unsafe {
                T::Value::read(self.cells, |value| {
                    sys::lookup(self.as_fd(), key, value, self.flags)
                })
            }
        });
        self.found(Operation::LOOK_UP, answer)
    }

    pub(super) fn put(&self, key: &T::Key, value: &T::Value, put: UpdateMode) -> Result<bool> {
        let flags = self.flags
            | u64::from(match put {
                UpdateMode::Any => libbpf_sys::BPF_ANY,
                UpdateMode::IfAbsent => libbpf_sys::BPF_NOEXIST,
                UpdateMode::IfPresent => libbpf_sys::BPF_EXIST,
            });
        let answer = encode::with_bytes(key, |key| {
            // SAFETY: `from_fd` has compared the sizes of key and value; a per-CPU
            // value has as many cells as the kernel reads.
            value.with_bytes(|value| unsafe { sys::update(self.as_fd(), key, value, flags) })
        });
        match answer {
            Ok(()) => Ok(true),
            Err(err) if put == UpdateMode::IfAbsent && is(&err, libc::EEXIST) => Ok(false),
            Err(err) if put == UpdateMode::IfPresent && is(&err, libc::ENOENT) => Ok(false),
            Err(err) => Err(self.not_put(Operation::INSERT, key, err)),
        }
    }

    pub(super) fn not_put(&self, operation: Operation, key: &T::Key, err: io::Error) -> Error {
        // An LPM trie says ENOSPC, which no update of another kind does.
        if is(&err, libc::E2BIG) || is(&err, libc::ENOSPC) {
            T::no_room(self.name.clone(), self.max_entries, key)
        } else {
            self.error(operation, err)
        }
    }
}

impl<T: Keyed, A: Access> Map<T, A> {
    pub(super) fn delete(&self, key: &T::Key) -> Result<bool> {
        // SAFETY: `from_fd` has compared the size of the key.
        let answer = encode::with_bytes(key, |key| unsafe { sys::delete(self.as_fd(), key) });
        Ok(self.found(Operation::REMOVE, answer)?.is_some())
    }
}

#[cfg(test)]
impl<T: Kind> Map<T> {
    /// A handle on nothing, to ask it what answers mean.
    pub(super) fn of_nothing() -> Self {
        Self {
            fd: std::fs::File::open("/dev/null")
                .expect("it is there")
                .into(),
            name: "nothing".to_owned(),
            max_entries: 8,
            cells: 1,
            flags: 0,
            checked: Checked::Sizes,
            kind: PhantomData,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Array, ArrayOfMaps};
    use super::*;

    #[track_caller]
    fn told(operation: Operation, errno: i32) -> Error {
        let map = Map::<ArrayOfMaps<Array<u64>>>::of_nothing();
        map.error(operation, io::Error::from_raw_os_error(errno))
    }

    #[test]
    #[cfg_attr(miri, ignore = "calls libbpf")]
    fn answers_of_the_kernel_are_told_by_what_they_mean() {
        let denied = told(Operation::INSERT, libc::EPERM);
        assert!(matches!(denied, Error::Denied { .. }), "{denied:?}");
        assert_eq!(
            denied.to_string(),
            "not permitted to insert in map `nothing`: Operation not permitted (os error 1)"
        );
        for errno in [libc::EOPNOTSUPP, sys::ENOTSUPP] {
            let unsupported = told(Operation::READ_MAPS, errno);
            assert!(
                matches!(unsupported, Error::Unsupported { .. }),
                "{unsupported:?}"
            );
            assert_eq!(
                unsupported.to_string(),
                "this kernel cannot read a batch in map `nothing` of kind `array_of_maps`; Linux \
                 5.19 can"
            );
            // Which version can is not known.
            assert!(!told(Operation::POP, errno).to_string().contains("Linux"));
        }
        let other = told(Operation::POP, libc::EIO);
        assert!(matches!(other, Error::Kernel { .. }), "{other:?}");
    }
}
