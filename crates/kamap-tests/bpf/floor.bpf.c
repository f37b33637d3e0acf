// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The least that a table of processes and a stream of their events can cost: what kamap is measured
 * against. The rows are as large as kamap's and mean nothing.
 */
#include "kernel.bpf.h"

/* How large kamap's records are on average. */
#define RECORD 352

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KAMAP_DEFAULT_CAPACITY);
	__type(key, u32);
	__type(value, struct kamap_process);
} rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct kamap_process);
} made SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} records SEC(".maps");

/* Whether rows are written, and whether records. Set before loading. */
const volatile u32 with_table = 0;
const volatile u32 with_events = 0;

static __always_inline void emit(u32 pid)
{
	u64 *record;

	if (!with_events)
		return;
	record = bpf_ringbuf_reserve(&records, RECORD, 0);
	if (!record)
		return;
	record[0] = pid;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(floor_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 pid = child->tgid;
	u32 slot = 0;
	void *row;

	if (!with_table || child->pid != child->tgid)
		return 0;
	row = bpf_map_lookup_elem(&made, &slot);
	if (row)
		bpf_map_update_elem(&rows, &pid, row, BPF_ANY);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(floor_exec, struct task_struct *task)
{
	u32 pid = task->tgid;
	struct kamap_process *row;

	if (!with_table)
		return 0;
	row = bpf_map_lookup_elem(&rows, &pid);
	if (row)
		row->facts.execs++;
	emit(pid);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(floor_exit, struct task_struct *task)
{
	u32 pid = task->tgid;

	if (!with_table || task->signal->live.counter)
		return 0;
	bpf_map_delete_elem(&rows, &pid);
	emit(pid);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
