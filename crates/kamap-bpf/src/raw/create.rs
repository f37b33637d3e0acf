//! Creating maps.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::map::{RawMap, is};
use crate::map_type::{Keys, MapType};
use crate::{Error, Result, sys};

/// How many bytes of a name the kernel keeps (`BPF_OBJ_NAME_LEN` without the NUL).
const NAME_LEN: usize = 15;

/// The part of a name that the kernel keeps.
pub(super) fn kept_name(name: &str) -> &[u8] {
    &name.as_bytes()[..name.len().min(NAME_LEN)]
}

/// What a new map is to be like; see [`Map::create_with`](crate::Map::create_with) and
/// [`AnyMap::create`](crate::AnyMap::create).
///
/// ```
/// use kamap_bpf::MapSpec;
///
/// let spec = MapSpec::new("counts", 1024).no_prealloc();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MapSpec<'a> {
    pub(super) name: &'a str,
    pub(super) max_entries: u32,
    pub(super) flags: u32,
    pub(super) extra: u64,
    pub(super) inner: Option<BorrowedFd<'a>>,
}

impl<'a> MapSpec<'a> {
    /// A map with this name and this many entries. The kernel keeps the first 15 bytes of the name,
    /// which may have letters, digits, `_` and `.`. For a ring buffer, `max_entries` is its size in
    /// bytes.
    pub fn new(name: &'a str, max_entries: u32) -> Self {
        Self {
            name,
            max_entries,
            flags: 0,
            extra: 0,
            inner: None,
        }
    }

    /// Adds flags (`BPF_F_...`).
    #[must_use]
    pub fn flags(mut self, flags: u32) -> Self {
        self.flags |= flags;
        self
    }

    /// Allocates the memory of a hash map's entry when the entry is inserted, not when the map is
    /// created (`BPF_F_NO_PREALLOC`, Linux 4.6). LRU maps do not allow this, LPM tries need it.
    #[must_use]
    pub fn no_prealloc(self) -> Self {
        self.flags(libbpf_sys::BPF_F_NO_PREALLOC)
    }

    /// Sets `map_extra`, such as the number of hashes of a Bloom filter.
    #[must_use]
    pub fn extra(mut self, extra: u64) -> Self {
        self.extra = extra;
        self
    }

    /// For a map of maps: a map with the type and sizes of those that it will hold.
    #[must_use]
    pub fn inner(mut self, inner: &'a impl AsFd) -> Self {
        self.inner = Some(inner.as_fd());
        self
    }
}

/// The BTF of a new map. All fields are 0 without BTF.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NewBtf {
    /// The file descriptor of the BTF.
    pub(crate) fd: u32,
    pub(crate) key: u32,
    pub(crate) value: u32,
}

impl MapSpec<'_> {
    /// Compares an existing map with this specification.
    pub(super) fn compare(&self, map: &RawMap) -> Result<()> {
        // Flags of the handle are not part of the map.
        let of_handle = libbpf_sys::BPF_F_RDONLY | libbpf_sys::BPF_F_WRONLY;
        let info = map.info();
        for (what, found, expected) in [
            ("max_entries", info.max_entries, self.max_entries),
            ("flags", info.flags & !of_handle, self.flags & !of_handle),
        ] {
            if found != expected {
                return Err(Error::WrongSpec {
                    map: info.name.clone(),
                    what,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }

    pub(crate) fn refused(&self, kind: MapType, source: io::Error) -> Error {
        Error::Refused {
            map: self.name.to_owned(),
            max_entries: self.max_entries,
            cause: self.cause(kind, &source),
            source,
        }
    }

    /// Why the kernel refuses such a map, if that is certain: its error is the same for many
    /// causes.
    fn cause(&self, kind: MapType, source: &io::Error) -> Option<&'static str> {
        let has = |flag| self.flags & flag != 0;
        let is_lru = matches!(kind, MapType::LRU_HASH | MapType::LRU_PERCPU_HASH);
        if is_lru && has(libbpf_sys::BPF_F_NO_PREALLOC) {
            return Some("an LRU map needs its memory from the beginning (not `no_prealloc`)");
        }
        if !is(source, libc::EINVAL) && source.kind() != io::ErrorKind::InvalidInput {
            return None;
        }
        let may_be = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        if !kept_name(self.name).iter().all(may_be) {
            return Some("a name has only letters, digits, `_` and `.`");
        }
        let of_maps = matches!(kind, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS);
        match kind.keys() {
            Some(Keys::Hash | Keys::Index | Keys::Prefix | Keys::None | Keys::Memory)
                if self.max_entries == 0 =>
            {
                Some("it needs room for one entry at least")
            }
            Some(Keys::Prefix) if !has(libbpf_sys::BPF_F_NO_PREALLOC) => {
                Some("an LPM trie needs the flag `no_prealloc`")
            }
            _ if of_maps && self.inner.is_none() => {
                Some("a map of maps needs a map that is like those that it will hold")
            }
            Some(Keys::Memory) if kind != MapType::ARENA && !self.max_entries.is_power_of_two() => {
                Some("the size of a ring buffer is a power of two, and whole pages")
            }
            _ => None,
        }
    }
}

impl RawMap {
    /// Creates a map.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`].
    pub(crate) fn create(
        kind: MapType,
        sizes: (u32, u32),
        spec: &MapSpec<'_>,
        btf: NewBtf,
    ) -> Result<Self> {
        let refused = |source| spec.refused(kind, source);
        let name = CString::new(kept_name(spec.name)).map_err(|err| refused(err.into()))?;
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
            btf_fd: btf.fd,
            btf_key_type_id: btf.key,
            btf_value_type_id: btf.value,
            map_flags: spec.flags,
            map_extra: spec.extra,
            // Descriptor 0 is never a map, because the standard library opens 0 to 2.
            inner_map_fd: spec.inner.map_or(0, |fd| fd.as_raw_fd().cast_unsigned()),
            ..Default::default()
        };
        let fd = sys::create(kind.0, &name, sizes, spec.max_entries, &options);
        Self::from_fd(fd.map_err(refused)?)
    }
}
