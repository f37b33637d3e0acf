// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Sends the PID of each process that execs, and a cookie. */
#include "kernel.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* linux/bpf.h */
#define BPF_MAP_TYPE_PERF_EVENT_ARRAY 4
#define BPF_F_CURRENT_CPU 0xffffffffULL

/* Only the children of this process. Set before loading. */
const volatile u32 parent = 0;

/* One place for each CPU: libbpf sees how many there can be. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} events SEC(".maps");

struct event {
	u64 pid;
	u64 cookie;
};

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	struct event event = {
		.pid = task->tgid,
		.cookie = 0x12345678,
	};

	if ((u32)task->real_parent->tgid == parent)
		bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &event, sizeof(event));
	return 0;
}
