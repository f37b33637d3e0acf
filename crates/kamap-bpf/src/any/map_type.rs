//! The types of maps, as numbers of the kernel.

use std::fmt;

use libbpf_sys as sys;

use super::super::sys::kind_name;

/// A type of map (`enum bpf_map_type`), also one that this library does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapType(pub u32);

/// What the values of a map refer to, if they are no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refers {
    /// Other maps. Read, a value is the map's ID.
    Maps,
    /// Programs. Read, a value is the program's ID.
    Programs,
    /// Cgroups.
    Cgroups,
    /// Events or sockets, which only the process that has them can put in.
    Files,
}

impl MapType {
    /// All types that libbpf knows.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..sys::__MAX_BPF_MAP_TYPE).map(Self)
    }

    /// The type of this name, such as `lru_hash`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name() == Some(name))
    }

    /// Its name, such as `lru_hash`.
    pub fn name(self) -> Option<&'static str> {
        kind_name(self.0)
    }

    /// Whether each key has a value for each CPU.
    pub fn is_per_cpu(self) -> bool {
        matches!(
            self.0,
            sys::BPF_MAP_TYPE_PERCPU_HASH
                | sys::BPF_MAP_TYPE_LRU_PERCPU_HASH
                | sys::BPF_MAP_TYPE_PERCPU_ARRAY
                | sys::BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE
        )
    }

    /// Whether the keys are the numbers from 0 on. There is nothing to add or to remove but
    /// in those whose values refer to something.
    pub fn is_array(self) -> bool {
        matches!(
            self.0,
            sys::BPF_MAP_TYPE_ARRAY
                | sys::BPF_MAP_TYPE_PERCPU_ARRAY
                | sys::BPF_MAP_TYPE_PROG_ARRAY
                | sys::BPF_MAP_TYPE_PERF_EVENT_ARRAY
                | sys::BPF_MAP_TYPE_CGROUP_ARRAY
                | sys::BPF_MAP_TYPE_ARRAY_OF_MAPS
                | sys::BPF_MAP_TYPE_DEVMAP
                | sys::BPF_MAP_TYPE_SOCKMAP
                | sys::BPF_MAP_TYPE_CPUMAP
                | sys::BPF_MAP_TYPE_XSKMAP
                | sys::BPF_MAP_TYPE_REUSEPORT_SOCKARRAY
                | sys::BPF_MAP_TYPE_STRUCT_OPS
                | sys::BPF_MAP_TYPE_INSN_ARRAY
        )
    }

    /// Whether it is walked by buckets.
    pub(super) fn is_hash(self) -> bool {
        matches!(
            self.0,
            sys::BPF_MAP_TYPE_HASH
                | sys::BPF_MAP_TYPE_LRU_HASH
                | sys::BPF_MAP_TYPE_PERCPU_HASH
                | sys::BPF_MAP_TYPE_LRU_PERCPU_HASH
                | sys::BPF_MAP_TYPE_HASH_OF_MAPS
        )
    }

    /// Whether values come out in an order, one at a time.
    pub fn is_queue(self) -> bool {
        matches!(self.0, sys::BPF_MAP_TYPE_QUEUE | sys::BPF_MAP_TYPE_STACK)
    }

    /// Whether it only tells if a value may have been put in.
    pub fn is_bloom_filter(self) -> bool {
        self.0 == sys::BPF_MAP_TYPE_BLOOM_FILTER
    }

    /// Whether its value is a table of programs that the kernel calls.
    pub(super) fn is_struct_ops(self) -> bool {
        self.0 == sys::BPF_MAP_TYPE_STRUCT_OPS
    }

    /// Whether it is memory that is shared, and has no entries.
    pub(super) fn is_memory(self) -> bool {
        matches!(
            self.0,
            sys::BPF_MAP_TYPE_RINGBUF | sys::BPF_MAP_TYPE_USER_RINGBUF | sys::BPF_MAP_TYPE_ARENA
        )
    }

    /// What its values refer to, if they are no data.
    pub fn refers(self) -> Option<Refers> {
        match self.0 {
            sys::BPF_MAP_TYPE_ARRAY_OF_MAPS | sys::BPF_MAP_TYPE_HASH_OF_MAPS => Some(Refers::Maps),
            sys::BPF_MAP_TYPE_PROG_ARRAY => Some(Refers::Programs),
            sys::BPF_MAP_TYPE_CGROUP_ARRAY => Some(Refers::Cgroups),
            sys::BPF_MAP_TYPE_PERF_EVENT_ARRAY
            | sys::BPF_MAP_TYPE_SOCKMAP
            | sys::BPF_MAP_TYPE_SOCKHASH
            | sys::BPF_MAP_TYPE_XSKMAP
            | sys::BPF_MAP_TYPE_REUSEPORT_SOCKARRAY => Some(Refers::Files),
            _ => None,
        }
    }

    /// Whether what the kernel copies for a value of it is known.
    pub(super) fn is_known(self) -> bool {
        (1..sys::__MAX_BPF_MAP_TYPE).contains(&self.0)
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
        }
        assert_eq!(MapType::from_name("unspec"), None);
        assert_eq!(MapType(9_999).to_string(), "type 9999");
    }
}
