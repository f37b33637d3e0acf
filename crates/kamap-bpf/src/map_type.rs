//! Map types and their properties.

use std::fmt;

use crate::sys::map_type_name;

/// A map type (`enum bpf_map_type`), which may be one that this library does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapType(pub u32);

/// What the values of a map refer to, unless they are data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refers {
    /// Other maps. When read, a value is the map's ID.
    Maps,
    /// Programs. When read, a value is the program's ID.
    Programs,
    /// Cgroups.
    Cgroups,
    /// Perf events or sockets. Only the process that owns one can insert it.
    Files,
}

/// How a map finds its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// By hash buckets, which can be read in batches.
    Hash,
    /// By an index that begins at 0.
    Index,
    /// By the longest matching prefix.
    Prefix,
    /// In another way. The kernel only offers the key after a key.
    Other,
    /// It has no keys.
    None,
    /// It has no entries at all: it is memory shared with the kernel.
    Memory,
}

/// What the values of a map are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Values {
    Data,
    /// Data for each possible CPU.
    PerCpu,
    /// Data with side effects: devices and CPUs. They can be removed even from an array.
    Slots,
    /// The functions of a struct_ops map.
    Operations,
    Maps,
    Programs,
    Cgroups,
    Files,
}

/// Declares the constants of [`MapType`] and the properties of each.
macro_rules! map_types {
    ($($name:ident = $constant:ident: $keys:ident, $values:ident;)*) => {
        /// Map types by name.
        impl MapType {
            $(
                #[doc = concat!("`", stringify!($constant), "`")]
                pub const $name: Self = Self(libbpf_sys::$constant);
            )*

            /// How values are found, and what they are. `None` for an unknown type.
            fn properties(self) -> Option<(Keys, Values)> {
                match self {
                    $(Self::$name => Some((Keys::$keys, Values::$values)),)*
                    _ => None,
                }
            }
        }
    };
}

map_types! {
    HASH = BPF_MAP_TYPE_HASH: Hash, Data;
    ARRAY = BPF_MAP_TYPE_ARRAY: Index, Data;
    PROG_ARRAY = BPF_MAP_TYPE_PROG_ARRAY: Index, Programs;
    PERF_EVENT_ARRAY = BPF_MAP_TYPE_PERF_EVENT_ARRAY: Index, Files;
    PERCPU_HASH = BPF_MAP_TYPE_PERCPU_HASH: Hash, PerCpu;
    PERCPU_ARRAY = BPF_MAP_TYPE_PERCPU_ARRAY: Index, PerCpu;
    STACK_TRACE = BPF_MAP_TYPE_STACK_TRACE: Other, Data;
    CGROUP_ARRAY = BPF_MAP_TYPE_CGROUP_ARRAY: Index, Cgroups;
    LRU_HASH = BPF_MAP_TYPE_LRU_HASH: Hash, Data;
    LRU_PERCPU_HASH = BPF_MAP_TYPE_LRU_PERCPU_HASH: Hash, PerCpu;
    LPM_TRIE = BPF_MAP_TYPE_LPM_TRIE: Prefix, Data;
    ARRAY_OF_MAPS = BPF_MAP_TYPE_ARRAY_OF_MAPS: Index, Maps;
    HASH_OF_MAPS = BPF_MAP_TYPE_HASH_OF_MAPS: Hash, Maps;
    DEVMAP = BPF_MAP_TYPE_DEVMAP: Index, Slots;
    SOCKMAP = BPF_MAP_TYPE_SOCKMAP: Index, Files;
    CPUMAP = BPF_MAP_TYPE_CPUMAP: Index, Slots;
    XSKMAP = BPF_MAP_TYPE_XSKMAP: Index, Files;
    SOCKHASH = BPF_MAP_TYPE_SOCKHASH: Other, Files;
    CGROUP_STORAGE = BPF_MAP_TYPE_CGROUP_STORAGE: Other, Data;
    REUSEPORT_SOCKARRAY = BPF_MAP_TYPE_REUSEPORT_SOCKARRAY: Index, Files;
    PERCPU_CGROUP_STORAGE = BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE: Other, PerCpu;
    QUEUE = BPF_MAP_TYPE_QUEUE: None, Data;
    STACK = BPF_MAP_TYPE_STACK: None, Data;
    SK_STORAGE = BPF_MAP_TYPE_SK_STORAGE: Other, Data;
    DEVMAP_HASH = BPF_MAP_TYPE_DEVMAP_HASH: Other, Slots;
    STRUCT_OPS = BPF_MAP_TYPE_STRUCT_OPS: Index, Operations;
    RINGBUF = BPF_MAP_TYPE_RINGBUF: Memory, Data;
    INODE_STORAGE = BPF_MAP_TYPE_INODE_STORAGE: Other, Data;
    TASK_STORAGE = BPF_MAP_TYPE_TASK_STORAGE: Other, Data;
    BLOOM_FILTER = BPF_MAP_TYPE_BLOOM_FILTER: None, Data;
    USER_RINGBUF = BPF_MAP_TYPE_USER_RINGBUF: Memory, Data;
    CGRP_STORAGE = BPF_MAP_TYPE_CGRP_STORAGE: Other, Data;
    ARENA = BPF_MAP_TYPE_ARENA: Memory, Data;
    INSN_ARRAY = BPF_MAP_TYPE_INSN_ARRAY: Index, Data;
}

impl MapType {
    /// All types that libbpf knows.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..libbpf_sys::__MAX_BPF_MAP_TYPE).map(Self)
    }

    /// The type with this name, such as `lru_hash`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name() == Some(name))
    }

    /// Its name, such as `lru_hash`.
    pub fn name(self) -> Option<&'static str> {
        map_type_name(self.0)
    }

    /// Whether each key has a value for each CPU.
    pub fn is_per_cpu(self) -> bool {
        self.values() == Some(Values::PerCpu)
    }

    /// Whether the keys are the numbers from 0 on. Entries can only be added to and removed
    /// from an array whose values refer to something.
    pub fn is_array(self) -> bool {
        self.keys() == Some(Keys::Index)
    }

    /// Whether it can only say if a value may have been inserted.
    pub fn is_bloom_filter(self) -> bool {
        self == Self::BLOOM_FILTER
    }

    /// What its values refer to, if they are not data.
    pub fn refers(self) -> Option<Refers> {
        Some(match self.values()? {
            Values::Maps => Refers::Maps,
            Values::Programs => Refers::Programs,
            Values::Cgroups => Refers::Cgroups,
            Values::Files => Refers::Files,
            Values::Data | Values::PerCpu | Values::Slots | Values::Operations => return None,
        })
    }

    /// Whether its value is a table of programs that the kernel calls.
    pub(crate) fn is_struct_ops(self) -> bool {
        self == Self::STRUCT_OPS
    }

    /// Whether keys can be removed. An array of data keeps all its values.
    pub(crate) fn is_removable(self) -> bool {
        let of_data = matches!(self.values(), Some(Values::Data | Values::PerCpu));
        !(self.is_array() && of_data)
    }

    /// How it finds its values. None for an unknown type, of which it is not known what the
    /// kernel copies for a value.
    pub(crate) fn keys(self) -> Option<Keys> {
        self.properties().map(|(keys, _)| keys)
    }

    fn values(self) -> Option<Values> {
        self.properties().map(|(_, values)| values)
    }

    /// Whether it has entries that are data and whose keys are hashed.
    pub(crate) fn is_hash_of_data(self) -> bool {
        self.keys() == Some(Keys::Hash) && self.refers().is_none()
    }
}

/// The name, or the number where there is none.
impl fmt::Display for MapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "type {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "calls libbpf")]
    fn each_type_has_a_name_of_its_own() {
        assert!(MapType::all().count() > 30);
        for kind in MapType::all() {
            let name = kind.name().expect("libbpf knows it");
            assert_eq!(MapType::from_name(name), Some(kind));
            assert_eq!(kind.to_string(), name);
            assert!(kind.keys().is_some(), "{name} has no properties");
        }
        assert_eq!(MapType::from_name("unspec"), None);
        assert_eq!(MapType(9_999).to_string(), "type 9999");
        assert_eq!(MapType(9_999).keys(), None);
    }
}
