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

use crate::maps::MapData;

pub(crate) use generated::{KamapSkelBuilder, OpenKamapSkel, types};

/// The `T` at the begin of `bytes`, and what follows it.
pub(crate) fn take<T: MapData>(bytes: &[u8]) -> Option<(T, &[u8])> {
    T::read_from_prefix(bytes)
}

/// What the kernel writes for `value`.
#[cfg(test)]
pub(crate) fn bytes<T: MapData>(value: &T) -> &[u8] {
    assert!(T::LAYOUT.is_dense());
    // SAFETY: so many bytes, all of them fields, as long as `value` is borrowed.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

crate::maps::map_data! {
    types::kamap_flag { 0 }
    types::kamap_origin { 0 }
    types::kamap_life { 0 }
    types::kamap_event_kind { 0 }
    types::kamap_facts {
        start_time, parent_start_time, first_exec_time, last_exec_time, cgroup_id, exec_id, pid, ppid, uid, gid, execs,
        flags, args_len, args_kept, origin, exe_len, file_len, comm
    }
    types::kamap_process { facts, text }
    types::kamap_event { seq, lost, time, cpu_time, max_rss, status, kind, facts }
    types::kamap_task { facts, life, vpid, pid_ns, reserved }
    types::kamap_given_args { start_time, len, kept, ended, reserved, text }
    types::kamap_counters { forks, execs, exits, table_full, args_cut, event_args_cut, skipped, refused, unused }
    types::kamap_ancestor { start_time, pid, reserved, comm }
    types::kamap_layout { 0 }
    types::kamap_filter {
        min_duration, cgroup_ids, uids, pids, ppids, cgroup_ids_len, uids_len, pids_len, ppids_len, failed, followed
    }
    types::kamap_description {
        layout, events, attached_at, max_entries, ring_size, max_args, max_ancestors, generation, reserved, missed_before, filter, version, boot_id
    }
    types::kamap_reader { start_time, pid, wanted, next_seq, lost }
    types::kamap_printed_status { description, events_put, events_lost, first_refused, cpus }
}

crate::maps::map_data! {
    // SAFETY: the fields that are not public are padding.
    unsafe types::bss { followed, follow_thread, follow_id, events_put, events_lost, first_refused, marked, seeded, .. }
}

#[cfg(test)]
mod tests {
    use super::types;
    use crate::maps::MapData;

    #[test]
    fn shared_structs_have_no_implicit_padding() {
        for layout in [
            types::kamap_process::LAYOUT,
            types::kamap_event::LAYOUT,
            types::kamap_task::LAYOUT,
            types::kamap_given_args::LAYOUT,
            types::kamap_counters::LAYOUT,
            types::kamap_ancestor::LAYOUT,
            types::kamap_description::LAYOUT,
            types::kamap_reader::LAYOUT,
            types::kamap_printed_status::LAYOUT,
        ] {
            assert!(layout.is_dense(), "{layout}");
        }
    }
}
