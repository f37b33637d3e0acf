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

// SAFETY: as above; the global variables are two `u32`.
unsafe impl crate::maps::MapData for types::bss {}

#[cfg(test)]
mod tests {
    use super::types::{kamap_counters, kamap_process, kamap_task};

    #[test]
    fn shared_structs_have_no_implicit_padding() {
        let kamap_process {
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
            origin: _,
            comm,
            exe_len: _,
            file_len: _,
            args_kept: _,
            reserved: _,
            text,
        } = kamap_process::default();
        let fields = 5 * 8 + 8 * 4 + comm.len() + 4 * 2 + text.len();
        assert_eq!(size_of::<kamap_process>(), fields);
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
