//! A map of any type: its file descriptor, the kernel's information about it, and the operations on
//! single keys.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;

use super::info::{FdInfo, Info};
use super::operation::{Operation, UpdateMode};
use crate::map_type::{Keys, MapType, Refers};
use crate::{Error, Result, cpus, sys};

/// A map of any type.
#[derive(Debug)]
pub(crate) struct RawMap {
    fd: OwnedFd,
    info: Info,
    sizes: Sizes,
}

/// How many bytes the kernel reads and writes for a key and a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) key: usize,
    /// As system calls copy it: in a per-CPU map the values of all CPUs.
    pub(crate) value: usize,
}

/// Without keys, the kernel expects a null pointer.
fn pointer(bytes: &[u8]) -> *const libc::c_void {
    if bytes.is_empty() {
        ptr::null()
    } else {
        bytes.as_ptr().cast()
    }
}

fn pointer_mut(bytes: &mut [u8]) -> *mut libc::c_void {
    if bytes.is_empty() {
        ptr::null_mut()
    } else {
        bytes.as_mut_ptr().cast()
    }
}

pub(super) fn is(err: &io::Error, errno: i32) -> bool {
    err.raw_os_error() == Some(errno)
}

/// The length in bits and the bytes of the prefix in a trie's key.
pub(super) fn prefix(key: &[u8]) -> (u32, &[u8]) {
    match key.split_first_chunk::<4>() {
        Some((len, bytes)) => (u32::from_ne_bytes(*len), bytes),
        None => (0, &[]),
    }
}

impl RawMap {
    /// Takes ownership of the map behind `fd`.
    ///
    /// # Errors
    ///
    /// [`Error::NotAMap`], [`Error::PossibleCpus`].
    pub(crate) fn from_fd(fd: OwnedFd) -> Result<Self> {
        let info = Info::of(fd.as_fd())?;
        let value = info.value_size as usize;
        let value = match info.kind.refers() {
            _ if info.kind.is_per_cpu() => cpus::stride(value) * cpus::possible()?.len(),
            // The kernel copies an ID, even if it reports another size of the values.
            Some(Refers::Maps | Refers::Programs) => size_of::<u32>(),
            _ => value,
        };
        let sizes = Sizes {
            key: info.key_size as usize,
            value,
        };
        Ok(Self { fd, info, sizes })
    }

    /// Returns the map if it has this type.
    ///
    /// # Errors
    ///
    /// [`Error::WrongKind`].
    pub(crate) fn expect(self, expected: MapType) -> Result<Self> {
        if self.info.kind == expected {
            return Ok(self);
        }
        Err(Error::WrongKind {
            map: self.info.name,
            found: self.info.kind,
            expected,
        })
    }

    /// The kernel's information when the map was opened.
    pub(crate) fn info(&self) -> &Info {
        &self.info
    }

    pub(crate) fn name(&self) -> &str {
        &self.info.name
    }

    pub(crate) fn sizes(&self) -> Sizes {
        self.sizes
    }

    pub(crate) fn max_entries(&self) -> u32 {
        self.info.max_entries
    }

    /// Another file descriptor of the same map.
    pub(crate) fn try_clone(&self) -> Result<Self> {
        let fd = self.fd.try_clone();
        Ok(Self {
            fd: fd.map_err(|err| self.error(Operation::CLONE, &[], err))?,
            info: self.info.clone(),
            sizes: self.sizes,
        })
    }

    /// Reads the value of `key`. Returns whether it is present.
    pub(crate) fn lookup(
        &self,
        operation: Operation,
        key: &[u8],
        value: &mut [u8],
        flags: u64,
    ) -> Result<bool> {
        self.check(operation, key, Some(value.len()))?;
        // SAFETY: the kernel reads one key and writes one value (a Bloom filter reads it);
        // their lengths have been compared.
        let answer = unsafe { sys::lookup(self.as_fd(), pointer(key), pointer_mut(value), flags) };
        self.found(operation, key, answer)
    }

    /// Reads the value of `key` and removes it. Returns whether it was present.
    pub(crate) fn take(
        &self,
        operation: Operation,
        key: &[u8],
        value: &mut [u8],
        flags: u64,
    ) -> Result<bool> {
        self.check(operation, key, Some(value.len()))?;
        // SAFETY: as in `lookup`.
        let answer = unsafe { sys::take(self.as_fd(), pointer(key), pointer_mut(value), flags) };
        self.found(operation, key, answer)
    }

    /// Whether a Bloom filter may have this value.
    pub(crate) fn may_contain(&self, value: &[u8]) -> Result<bool> {
        if !self.info.kind.is_bloom_filter() {
            return Err(self.not_of_kind(Operation::TEST));
        }
        // The kernel only reads the value, but the system call takes a mutable pointer.
        let mut copy = value.to_vec();
        self.lookup(Operation::TEST, &[], &mut copy, 0)
    }

    /// Writes `value`. Returns whether it did, which `mode` decides.
    pub(crate) fn update(
        &self,
        operation: Operation,
        key: &[u8],
        value: &[u8],
        mode: UpdateMode,
        flags: u64,
    ) -> Result<bool> {
        self.check(operation, key, Some(value.len()))?;
        let flags = mode.flag() | flags;
        // SAFETY: the kernel reads one key and one value, as in `lookup`.
        let answer = unsafe { sys::update(self.as_fd(), pointer(key), pointer(value), flags) };
        match answer {
            Ok(()) => Ok(true),
            Err(err) if mode == UpdateMode::IfAbsent && is(&err, libc::EEXIST) => Ok(false),
            Err(err) if mode == UpdateMode::IfPresent && is(&err, libc::ENOENT) => Ok(false),
            Err(err) => Err(self.error(operation, key, err)),
        }
    }

    /// Removes `key`. Returns whether it was present.
    pub(crate) fn remove(&self, key: &[u8]) -> Result<bool> {
        self.check(Operation::REMOVE, key, None)?;
        // SAFETY: the kernel reads one key, as in `lookup`.
        let answer = unsafe { sys::delete(self.as_fd(), pointer(key)) };
        self.found(Operation::REMOVE, key, answer)
    }

    /// Finds the key after `key`, or the first one. Returns whether there is one.
    pub(crate) fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<bool> {
        for key in [key, Some(&*next)].into_iter().flatten() {
            self.check_lengths(Operation::NEXT_KEY, key, None)?;
        }
        let key = key.map_or(ptr::null(), pointer);
        // SAFETY: the kernel reads a key, if there is one, and writes another.
        let answer = unsafe { sys::next_key(self.as_fd(), key, pointer_mut(next)) };
        self.found(Operation::NEXT_KEY, &[], answer)
    }

    /// Denies all writing by user space.
    pub(crate) fn freeze(&self) -> Result<()> {
        let map = || self.info.name.clone();
        sys::freeze(self.as_fd()).map_err(|err| match err.raw_os_error() {
            // Older kernels (seen on 6.1) return the same error for a map that is already frozen.
            Some(libc::EBUSY) if self.is_frozen() => Error::Frozen { map: map() },
            Some(libc::EBUSY) => Error::Busy { map: map() },
            Some(sys::ENOTSUPP) => self.not_of_kind(Operation::FREEZE_SPECIAL),
            _ => self.error(Operation::FREEZE, &[], err),
        })
    }

    /// Compares the lengths, and checks the prefix of a trie's key. An error if the map has no
    /// entries.
    fn check(&self, operation: Operation, key: &[u8], value: Option<usize>) -> Result<()> {
        self.check_lengths(operation, key, value)?;
        match self.info.kind.keys() {
            Some(Keys::Prefix) => self.check_prefix(key),
            _ => Ok(()),
        }
    }

    fn check_lengths(&self, operation: Operation, key: &[u8], value: Option<usize>) -> Result<()> {
        if matches!(self.info.kind.keys(), None | Some(Keys::Memory)) {
            return Err(self.not_of_kind(operation));
        }
        let key = ("key", key.len(), self.sizes.key);
        let value = value.map(|value| ("value", value, self.sizes.value));
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

    fn check_prefix(&self, key: &[u8]) -> Result<()> {
        let (len, bytes) = prefix(key);
        let bits = 8 * bytes.len();
        if len as usize <= bits {
            return Ok(());
        }
        Err(Error::PrefixTooLong {
            map: self.info.name.clone(),
            len,
            bits,
        })
    }

    /// An error if the map has no keys.
    pub(crate) fn check_has_keys(&self, operation: Operation) -> Result<()> {
        match self.info.kind.keys() {
            Some(Keys::None | Keys::Memory) | None => Err(self.not_of_kind(operation)),
            Some(_) => Ok(()),
        }
    }

    /// Converts a result: `ENOENT` means that the key is absent.
    fn found(&self, operation: Operation, key: &[u8], answer: io::Result<()>) -> Result<bool> {
        match answer {
            Ok(()) => Ok(true),
            Err(err) if is(&err, libc::ENOENT) => Ok(false),
            Err(err) => Err(self.error(operation, key, err)),
        }
    }

    /// Converts an error of the kernel, depending on operation and map type. `key` is the key, if
    /// there was one.
    pub(crate) fn error(&self, operation: Operation, key: &[u8], source: io::Error) -> Error {
        let map = self.info.name.clone();
        let kind = self.info.kind;
        let max_entries = self.info.max_entries;
        let index = key.first_chunk().map(|index| u32::from_ne_bytes(*index));
        match source.raw_os_error() {
            Some(libc::EPERM) if operation.writes && self.is_frozen() => Error::Frozen { map },
            Some(libc::EPERM) => Error::Denied {
                map,
                operation: operation.name,
                source,
            },
            Some(libc::E2BIG) if operation.adds && kind.is_array() => Error::IndexOutOfRange {
                map,
                index: index.unwrap_or(0),
                max_entries,
            },
            // An LPM trie returns ENOSPC, all others E2BIG.
            Some(libc::E2BIG | libc::ENOSPC) if operation.adds => Error::Full { map, max_entries },
            // The values of some maps have only 4 bytes, into which a socket's cookie does not fit.
            Some(libc::ENOSPC) if kind.refers() == Some(Refers::Files) => {
                self.not_of_kind(operation)
            }
            Some(libc::EOPNOTSUPP | sys::ENOTSUPP) => match operation.since(kind) {
                Some(since) => Error::Unsupported {
                    map,
                    kind,
                    operation: operation.name,
                    since,
                    source,
                },
                None => self.not_of_kind(operation),
            },
            _ => Error::Kernel {
                map,
                operation: operation.name,
                source,
            },
        }
    }

    /// No map of this type can do this.
    pub(crate) fn not_of_kind(&self, operation: Operation) -> Error {
        Error::NotOfKind {
            map: self.info.name.clone(),
            operation: operation.name,
            kind: self.info.kind,
        }
    }

    pub(super) fn unstable(&self) -> Error {
        Error::Unstable {
            map: self.info.name.clone(),
        }
    }

    /// Whether user space can no longer write the map, as far as `/proc` reports it.
    fn is_frozen(&self) -> bool {
        FdInfo::of(self.as_fd()).frozen()
    }
}

impl AsFd for RawMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<RawMap> for OwnedFd {
    fn from(map: RawMap) -> Self {
        map.fd
    }
}

#[cfg(test)]
impl RawMap {
    /// A map of eight entries that does not exist in the kernel.
    pub(crate) fn of_nothing(kind: MapType) -> Self {
        let sizes = Sizes { key: 4, value: 4 };
        Self {
            fd: std::fs::File::open("/dev/null")
                .expect("it is there")
                .into(),
            info: Info::of_nothing(kind),
            sizes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn error(kind: MapType, operation: Operation, errno: i32) -> Error {
        let source = io::Error::from_raw_os_error(errno);
        RawMap::of_nothing(kind).error(operation, &7_u32.to_ne_bytes(), source)
    }

    #[test]
    #[cfg_attr(miri, ignore = "calls libbpf")]
    fn an_answer_of_the_kernel_depends_on_operation_and_type() {
        let denied = error(MapType::HASH, Operation::INSERT, libc::EPERM);
        assert_eq!(
            denied.to_string(),
            "not permitted to insert in map `nothing`: Operation not permitted (os error 1)"
        );
        assert!(matches!(denied, Error::Denied { .. }), "{denied:?}");
        for errno in [libc::EOPNOTSUPP, sys::ENOTSUPP] {
            for (kind, operation, text) in [
                (
                    MapType::HASH,
                    Operation::TAKE,
                    "this kernel cannot take in map `nothing` of type `hash`; Linux 5.14 can",
                ),
                (
                    MapType::PERCPU_ARRAY,
                    Operation::READ_BATCH,
                    "this kernel cannot read a batch in map `nothing` of type `percpu_array`; \
                     Linux 5.13 can",
                ),
                (
                    MapType::ARRAY_OF_MAPS,
                    Operation::READ_BATCH,
                    "this kernel cannot read a batch in map `nothing` of type `array_of_maps`; \
                     Linux 5.19 can",
                ),
            ] {
                let unsupported = error(kind, operation, errno);
                assert_eq!(unsupported.to_string(), text);
                assert!(
                    matches!(unsupported, Error::Unsupported { .. }),
                    "{unsupported:?}"
                );
            }
            // No version of the kernel can.
            let never = error(MapType::ARRAY, Operation::TAKE, errno);
            assert_eq!(
                never.to_string(),
                "map `nothing` is of type `array`, which cannot take"
            );
            assert!(matches!(never, Error::NotOfKind { .. }), "{never:?}");
        }
        let full = error(MapType::HASH, Operation::INSERT, libc::E2BIG);
        assert!(matches!(full, Error::Full { max_entries: 8, .. }), "{full}");
        let full = error(MapType::LPM_TRIE, Operation::INSERT, libc::ENOSPC);
        assert!(matches!(full, Error::Full { max_entries: 8, .. }), "{full}");
        let beyond = error(MapType::PERCPU_ARRAY, Operation::INSERT_BATCH, libc::E2BIG);
        assert!(
            matches!(beyond, Error::IndexOutOfRange { index: 7, .. }),
            "{beyond}"
        );
        let socket = error(MapType::SOCKHASH, Operation::LOOK_UP, libc::ENOSPC);
        assert!(matches!(socket, Error::NotOfKind { .. }), "{socket}");
        // Only adding can exceed the room of a map.
        let other = error(MapType::QUEUE, Operation::POP, libc::E2BIG);
        assert!(matches!(other, Error::Kernel { .. }), "{other}");
        let other = error(MapType::QUEUE, Operation::POP, libc::EIO);
        assert!(matches!(other, Error::Kernel { .. }), "{other}");
    }
}
