//! Making new maps.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::btf::Made;
use super::{Checked, Error, Kind, Map, Result, sys};

/// Bytes that the kernel keeps of a name (`BPF_OBJ_NAME_LEN` without the NUL).
pub(super) const NAME_LEN: usize = 15;

/// A kind of map that can be made by itself.
pub trait Creatable: Kind {
    /// Flags that the kernel asks for.
    #[doc(hidden)]
    const FLAGS: u32 = 0;
}

/// What a new map is to be; see [`Map::create_with`].
#[derive(Clone, Debug)]
pub struct Spec<'a> {
    name: &'a str,
    max_entries: u32,
    flags: u32,
}

impl<'a> Spec<'a> {
    /// A map of this name for so many entries.
    pub fn new(name: &'a str, max_entries: u32) -> Self {
        Self {
            name,
            max_entries,
            flags: 0,
        }
    }

    /// The memory of an entry of a [`Hash`](super::Hash) or
    /// [`PerCpuHash`](super::PerCpuHash) is allocated when it is inserted, not at the
    /// beginning (`BPF_F_NO_PREALLOC`, Linux 4.6).
    #[must_use]
    pub fn no_prealloc(mut self) -> Self {
        self.flags |= libbpf_sys::BPF_F_NO_PREALLOC;
        self
    }
}

impl<T: Creatable> Map<T> {
    /// Makes a new map. The kernel keeps the first 15 bytes of the name, of
    /// which only letters, digits, `_` and `.` are allowed. Where it keeps BTF, that is made
    /// from the Rust types, so that `bpftool map dump` shows their fields.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], where the kernel does not allow it, has not enough
    /// memory, or dislikes the name or the size.
    pub fn create(name: &str, max_entries: u32) -> Result<Self> {
        Self::create_with(&Spec::new(name, max_entries))
    }

    /// Makes a new map, with more to say than by [`create`](Self::create).
    ///
    /// # Errors
    ///
    /// As for [`create`](Self::create).
    pub fn create_with(spec: &Spec<'_>) -> Result<Self> {
        Self::make(spec, T::FLAGS, None)
    }
}

impl<T: Kind> Map<T> {
    pub(super) fn make(spec: &Spec<'_>, flags: u32, inner: Option<BorrowedFd<'_>>) -> Result<Self> {
        let refused = |source| Error::Refused {
            map: spec.name.to_owned(),
            max_entries: spec.max_entries,
            source,
        };
        let kept = &spec.name.as_bytes()[..spec.name.len().min(NAME_LEN)];
        let name = CString::new(kept).map_err(|err| refused(io::Error::from(err)))?;
        let btf = T::KEEPS_BTF.then(|| Made::of(T::KEY, T::VALUE));
        let btf = btf.transpose().map_err(refused)?;
        let btf = btf
            .as_ref()
            .map_or((0, 0, 0), |btf| (btf.fd(), btf.key, btf.value));
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
            btf_fd: btf.0,
            btf_key_type_id: btf.1,
            btf_value_type_id: btf.2,
            map_flags: spec.flags | flags,
            inner_map_fd: inner.map_or(0, |inner| inner.as_raw_fd().cast_unsigned()),
            ..Default::default()
        };
        let sizes = (T::KEY.map_or(0, |key| key.size), T::VALUE.size);
        let sizes = (sizes.0 as u32, sizes.1 as u32);
        let fd = sys::create(T::TYPE, &name, sizes, spec.max_entries, &options).map_err(refused)?;
        Self::accept(fd, |_| Ok(Checked::Layout))
    }
}
