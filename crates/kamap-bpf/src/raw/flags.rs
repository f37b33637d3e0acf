//! The flags with which maps are created, by name.

use libbpf_sys as sys;

/// The flags (`BPF_F_*`) that are a property of the map.
const FLAGS: [(u32, &str); 14] = [
    (sys::BPF_F_NO_PREALLOC, "no_prealloc"),
    (sys::BPF_F_NO_COMMON_LRU, "no_common_lru"),
    (sys::BPF_F_NUMA_NODE, "numa_node"),
    (sys::BPF_F_RDONLY, "rdonly"),
    (sys::BPF_F_WRONLY, "wronly"),
    (sys::BPF_F_STACK_BUILD_ID, "stack_build_id"),
    (sys::BPF_F_ZERO_SEED, "zero_seed"),
    (sys::BPF_F_RDONLY_PROG, "rdonly_prog"),
    (sys::BPF_F_WRONLY_PROG, "wronly_prog"),
    (sys::BPF_F_CLONE, "clone"),
    (sys::BPF_F_MMAPABLE, "mmapable"),
    (sys::BPF_F_PRESERVE_ELEMS, "preserve_elems"),
    (sys::BPF_F_INNER_MAP, "inner_map"),
    (sys::BPF_F_LINK, "link"),
];

/// The flag with this name, such as `no_prealloc` for `BPF_F_NO_PREALLOC`.
pub fn from_name(name: &str) -> Option<u32> {
    let flag = FLAGS.iter().find(|(_, of)| *of == name);
    flag.map(|(flag, _)| *flag)
}

/// Names of the flags in `flags`, and a number for those without a name.
pub fn names(flags: u32) -> Vec<String> {
    let named = FLAGS.iter().filter(|(flag, _)| flags & flag != 0);
    let rest = FLAGS.iter().fold(flags, |rest, (flag, _)| rest & !flag);
    let mut names: Vec<_> = named.map(|(_, name)| (*name).to_owned()).collect();
    if rest != 0 {
        names.push(format!("{rest:#x}"));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_has_a_name_and_back() {
        assert_eq!(names(0), [""; 0]);
        assert_eq!(names(0x401), ["no_prealloc", "mmapable"]);
        assert_eq!(names(0x8000_0400), ["mmapable", "0x80000000"]);
        for (flag, name) in FLAGS {
            assert_eq!(
                (from_name(name), names(flag)),
                (Some(flag), vec![name.to_owned()])
            );
        }
        assert_eq!(from_name("none"), None);
    }
}
