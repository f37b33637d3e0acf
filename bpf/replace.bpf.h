/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Taking over from programs that are attached: both run for a while, with the same maps, and what the
 * one has recorded is not recorded again.
 */
#ifndef REPLACE_BPF_H
#define REPLACE_BPF_H

#include "kernel.bpf.h"
#include "table.bpf.h"

/*
 * Whether these programs replace others, with which they share their maps until those have gone. The
 * kernel runs them after those, so what those have recorded is found in the table. Set before loading.
 */
const volatile u32 replaces = 0;

/* Of these programs; each that replaces others has another one. Set before loading. */
const volatile u32 generation = 0;

/* Whether others can replace them. Set before loading. */
const volatile u32 is_shared = 0;

/* Whether the fork or, with `exec_id`, the exec of a process was recorded by those. */
static __always_inline int is_recorded(const struct task_struct *leader,
				       enum kamap_origin origin)
{
	const struct kamap_process *row;
	u32 pid = leader->tgid;

	if (!replaces)
		return 0;
	row = bpf_map_lookup_elem(&processes, &pid);
	if (!row || row->facts.start_time != leader->start_boottime)
		return 0;
	if (origin == KAMAP_ORIGIN_EXEC)
		return row->facts.origin == KAMAP_ORIGIN_EXEC &&
		       row->facts.exec_id == leader->self_exec_id;
	/* A seed may have come before. */
	return row->facts.origin != KAMAP_ORIGIN_SEED;
}

/* Who has dealt with the last failed exec of a thread. */
struct failed_exec {
	u64 time;
	u64 generation;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct failed_exec);
} failed_execs SEC(".maps");

/* Two programs see the same end of a system call this much apart at most. */
#define SAME_CALL 10000000

/* The same for a failed exec of the current thread, of which no row tells. */
static __always_inline int is_recorded_failure(u64 now)
{
	struct failed_exec mine = { .time = now, .generation = generation };
	const struct failed_exec *known;
	u32 tid = bpf_get_current_pid_tgid();

	known = bpf_map_lookup_elem(&failed_execs, &tid);
	if (known && known->generation != generation && now - known->time < SAME_CALL) {
		bpf_map_delete_elem(&failed_execs, &tid);
		return 1;
	}
	bpf_map_update_elem(&failed_execs, &tid, &mine, BPF_ANY);
	return 0;
}

#endif
