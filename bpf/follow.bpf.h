/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Following: from the next child of a thread on, that child and all that descends from it are marked.
 */
#ifndef FOLLOW_BPF_H
#define FOLLOW_BPF_H

#include "kernel.bpf.h"
#include "table.bpf.h"

/* Of this thread the next child is followed, and all that descends from it. */
const volatile u32 follow_child_of = 0;

/* The PID of that child, once it has started. */
u32 followed = 0;

/* The most ancestors that are asked for one without a row. */
#define MAX_ROWLESS 8

/*
 * Whether a process is followed that may have no row to say so, since there was no room
 * for it: that of its nearest ancestor that has one does.
 */
static __always_inline int is_followed_without_row(const struct task_struct *task)
{
	if (!follow_child_of || !followed)
		return 0;
	task = untrusted(task);
	for (u32 i = 0; i < MAX_ROWLESS; i++) {
		const struct kamap_process *row;
		u32 pid = task->tgid;

		row = bpf_map_lookup_elem(&processes, &pid);
		if (row) {
			int flags = *(volatile u32 *)&row->facts.flags;

			/*
			 * Where the ancestor ends just now, its row can be another process's by
			 * now. Then its parent is asked, as if it had none.
			 */
			if (*(volatile u32 *)&row->facts.pid == pid)
				return !!(flags & KAMAP_FOLLOWED);
		}
		if (pid == followed)
			return 1;
		task = task->real_parent;
	}
	return 0;
}

/* Whether to follow the child `pid` of a process, whose row is `from`. */
static __always_inline int is_followed(struct task_struct *parent,
				       const struct kamap_process *from, u32 pid)
{
	if (from && (from->facts.flags & KAMAP_FOLLOWED))
		return 1;
	if (!from && is_followed_without_row(parent))
		return 1;
	return follow_child_of && (u32)parent->pid == follow_child_of &&
	       !__sync_val_compare_and_swap(&followed, 0, pid);
}

#endif
