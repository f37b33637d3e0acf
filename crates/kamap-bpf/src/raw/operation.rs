//! Operations on maps.

use crate::map_type::{Keys, MapType, Refers};

/// On which condition an update writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// Always, whether the key is present or not (`BPF_ANY`).
    Any,
    /// Only if the key is absent (`BPF_NOEXIST`).
    IfAbsent,
    /// Only if the key is present (`BPF_EXIST`).
    IfPresent,
}

impl UpdateMode {
    pub(super) fn flag(self) -> u64 {
        u64::from(match self {
            Self::Any => libbpf_sys::BPF_ANY,
            Self::IfAbsent => libbpf_sys::BPF_NOEXIST,
            Self::IfPresent => libbpf_sys::BPF_EXIST,
        })
    }
}

/// An operation, as errors call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(super) name: &'static str,
    /// Whether a frozen map refuses it.
    pub(super) writes: bool,
    /// Whether it needs room in the map.
    pub(super) adds: bool,
}

const fn reads(name: &'static str) -> Operation {
    Operation {
        name,
        writes: false,
        adds: false,
    }
}

const fn writes(name: &'static str) -> Operation {
    Operation {
        writes: true,
        ..reads(name)
    }
}

const fn adds(name: &'static str) -> Operation {
    Operation {
        adds: true,
        ..writes(name)
    }
}

impl Operation {
    /// An operation that changes no entries.
    pub(crate) const fn other(name: &'static str) -> Self {
        reads(name)
    }

    pub(crate) const LOOK_UP: Self = reads("look up");
    pub(crate) const TEST: Self = reads("test for a value");
    pub(crate) const PEEK: Self = reads("peek");
    pub(crate) const NEXT_KEY: Self = reads("find the next key");
    pub(crate) const WALK: Self = reads("walk");
    pub(crate) const READ_VALUES: Self = reads("read values");
    pub(crate) const READ_BATCH: Self = reads("read a batch");
    pub(crate) const INSERT: Self = adds("insert");
    pub(crate) const INSERT_DATA: Self = adds("insert plain data");
    pub(crate) const INSERT_FILE: Self = adds("insert a file");
    pub(crate) const INSERT_ON_CONDITION: Self = adds("insert on a condition");
    pub(crate) const INSERT_BATCH: Self = adds("insert a batch");
    pub(crate) const PUSH: Self = adds("push");
    pub(crate) const REMOVE: Self = writes("remove");
    pub(crate) const REMOVE_BATCH: Self = writes("remove a batch");
    pub(crate) const TAKE: Self = writes("take");
    pub(crate) const TAKE_BATCH: Self = writes("take a batch");
    pub(crate) const POP: Self = writes("pop");
    pub(crate) const FREEZE: Self = writes("freeze");
    pub(crate) const FREEZE_SPECIAL: Self =
        writes("freeze values with a lock, a timer or another special field");
    pub(crate) const CLONE: Self = reads("duplicate the file descriptor");

    /// The first version of Linux that has this operation for this map type. `None` if no version
    /// has it.
    pub(super) fn since(self, kind: MapType) -> Option<&'static str> {
        let is_hash = kind.is_hash_of_data();
        match self {
            Self::TAKE if is_hash => Some("5.14"),
            Self::READ_BATCH if kind.refers() == Some(Refers::Maps) => Some("5.19"),
            Self::READ_BATCH | Self::INSERT_BATCH if kind == MapType::PERCPU_ARRAY => Some("5.13"),
            Self::READ_BATCH | Self::INSERT_BATCH
                if is_hash
                    || matches!(kind.keys(), Some(Keys::Prefix))
                    || kind == MapType::ARRAY =>
            {
                Some("5.6")
            }
            Self::TAKE_BATCH | Self::REMOVE_BATCH if is_hash => Some("5.6"),
            _ => None,
        }
    }
}
