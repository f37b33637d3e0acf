// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Asks the table that `kamap attach` has pinned who makes a system call: since when that process runs,
 * and who has started it. A program of its own, which knows of kamap no more than its header says.
 */
#include "kernel.bpf.h"

/* Pinned by kamap; see docs/pinned.md. User space names its pin before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct kamap_process);
} processes SEC(".maps");

/* The process that is asked for. Set before loading. */
const volatile u32 wanted_pid = 0;

/* The answers: when it started, its parent, when that started, and how many there were. */
u64 start_time = 0;
u64 parent_start_time = 0;
u32 ppid = 0;
u32 answers = 0;

SEC("tp_btf/sys_enter")
int on_call(u64 *ctx)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	const struct kamap_process *row;

	if (pid != wanted_pid)
		return 0;
	row = bpf_map_lookup_elem(&processes, &pid);
	if (!row || !row->facts.start_time)
		return 0;
	start_time = row->facts.start_time;
	parent_start_time = row->facts.parent_start_time;
	ppid = row->facts.ppid;
	__sync_fetch_and_add(&answers, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
