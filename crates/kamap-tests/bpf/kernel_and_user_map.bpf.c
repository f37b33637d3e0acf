// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Keeps the processes that exec in a map, as long as they live. */
#include "kernel.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct process {
	u64 exec_time;	/* nanoseconds since boot */
	u32 ppid;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, struct process);
} processes SEC(".maps");

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	/* With its padding: all of it is written to the map. */
	struct process process;
	u32 pid = task->tgid;

	__builtin_memset(&process, 0, sizeof(process));
	process.exec_time = bpf_ktime_get_boot_ns();
	process.ppid = task->real_parent->tgid;
	bpf_probe_read_kernel(process.comm, sizeof(process.comm), task->comm);
	bpf_map_update_elem(&processes, &pid, &process, BPF_ANY);
	return 0;
}

/* Once for each thread; the last one has nobody left. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	u32 pid = task->tgid;

	if (task->signal->live.counter == 0)
		bpf_map_delete_elem(&processes, &pid);
	return 0;
}
