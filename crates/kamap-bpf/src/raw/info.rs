//! The kernel's information about a map.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::map_type::MapType;
use crate::{Error, Result, sys};

/// The kernel's information about a map.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Its ID. No other map gets it until the machine reboots.
    pub id: u32,
    /// Its name, of at most 15 bytes.
    pub name: String,
    /// Its type.
    pub kind: MapType,
    /// Size of a key in bytes.
    pub key_size: u32,
    /// Size of a value in bytes; in a per-CPU map of the value of one CPU.
    pub value_size: u32,
    /// The maximum number of entries. For a ring buffer its size in bytes, for an arena its size in
    /// pages.
    pub max_entries: u32,
    /// The flags with which it was created (`BPF_F_...`).
    pub flags: u32,
    /// The `map_extra` with which it was created, such as the number of hash functions of a Bloom
    /// filter.
    pub extra: u64,
    /// The ID of the BTF that describes its keys and values, if there is any.
    pub btf_id: Option<u32>,
    /// Whether user space can no longer write it. Also `false` if `/proc` does not report it.
    pub frozen: bool,
    /// How many bytes of memory it uses, according to the kernel. `None` if `/proc` does not report
    /// it.
    pub memory: Option<u64>,
    /// IDs of the types that describe its keys and values.
    pub(crate) types: TypeIds,
}

/// IDs of the types of keys and values, 0 if there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TypeIds {
    pub(crate) key: u32,
    pub(crate) value: u32,
    /// For a struct_ops map, the type of its value in the kernel's own BTF.
    pub(crate) kernel_value: u32,
}

impl Info {
    /// # Errors
    ///
    /// [`Error::NotAMap`].
    pub(crate) fn of(fd: BorrowedFd<'_>) -> Result<Self> {
        let info = sys::info(fd).map_err(Error::not_a_map)?;
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
            types: TypeIds {
                key: info.btf_key_type_id,
                value: info.btf_value_type_id,
                kernel_value: info.btf_vmlinux_value_type_id,
            },
        })
    }
}

/// The information in `/proc` about an open map. Empty if `/proc` is not mounted.
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

#[cfg(test)]
impl Info {
    /// The information about a map of eight entries.
    pub(crate) fn of_nothing(kind: MapType) -> Self {
        Self {
            id: 1,
            name: "nothing".to_owned(),
            kind,
            key_size: 4,
            value_size: 4,
            max_entries: 8,
            flags: 0,
            extra: 0,
            btf_id: None,
            frozen: false,
            memory: None,
            types: TypeIds::default(),
        }
    }
}
