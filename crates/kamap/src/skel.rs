//! What `build.rs` generated from `bpf/`: the skeleton and the shared types.

#[expect(
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    reason = "generated code"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/kamap.skel.rs"));
}

pub(crate) use generated::{KamapSkelBuilder, OpenKamapSkel, types};

// SAFETY: integers, arrays of integers and newtypes of integers; `kamap.h` pads
// explicitly, which the test below holds it to.
unsafe impl crate::maps::MapData for types::kamap_process {}

// SAFETY: as above.
unsafe impl crate::maps::MapData for types::kamap_counters {}

// SAFETY: as above.
unsafe impl crate::maps::MapData for types::kamap_task {}

// SAFETY: as above; the global variables are integers, of which the test below knows
// that no padding lies between them.
unsafe impl crate::maps::MapData for types::bss {}

// SAFETY: as above.
unsafe impl crate::maps::MapData for types::kamap_event {}

// SAFETY: as above.
unsafe impl crate::maps::MapData for types::kamap_ancestor {}

#[cfg(test)]
mod tests {
    use super::types::{kamap_counters, kamap_event, kamap_facts, kamap_process, kamap_task};

    #[test]
    fn shared_structs_have_no_implicit_padding() {
        let kamap_facts {
            start_time: _,
            first_exec_time: _,
            last_exec_time: _,
            cgroup_id: _,
            exec_id: _,
            pid: _,
            ppid: _,
            uid: _,
            gid: _,
            execs: _,
            flags: _,
            args_len: _,
            args_kept: _,
            origin: _,
            exe_len: _,
            file_len: _,
            comm,
        } = kamap_facts::default();
        let size = 5 * 8 + 9 * 4 + 2 * 2 + comm.len();
        assert_eq!(size_of::<kamap_facts>(), size);
        let kamap_process { facts: _, text } = kamap_process::default();
        assert_eq!(size_of::<kamap_process>(), size + text.len());
        let kamap_event {
            seq: _,
            lost: _,
            time: _,
            cpu_time: _,
            max_rss: _,
            status: _,
            kind: _,
            facts: _,
        } = kamap_event::default();
        assert_eq!(size_of::<kamap_event>(), 5 * 8 + 2 * 4 + size);
        let kamap_task {
            start_time: _,
            exec_id: _,
            pid: _,
            life: _,
            kernel_thread: _,
            reserved: _,
            comm,
        } = kamap_task::default();
        assert_eq!(size_of::<kamap_task>(), 2 * 8 + 4 * 4 + comm.len());
        assert_eq!(size_of::<kamap_counters>() % size_of::<u64>(), 0);
    }
}
