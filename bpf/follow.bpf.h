/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Following: from the next child of a thread on, that child and all that descends from it are marked.
 */
#ifndef FOLLOW_BPF_H
#define FOLLOW_BPF_H

#include "kernel.bpf.h"
#include "replace.bpf.h"
#include "table.bpf.h"

/* Of this thread the next child is followed, and all that descends from it. Set before loading. */
const volatile u32 follow_child_of = 0;

/* The PID of that child, once it has started. */
u32 followed = 0;

/*
 * The same of programs that are attached, where whoever follows sets it, for each command anew; 0 once that has
 * started.
 */
u32 follow_thread = 0;

/* Which command that is: a number that no other one has had before. 0 of a tracker of one's own. */
u32 follow_id = 0;

/* What marks a process that is followed. */
#define FOLLOW_FLAGS (KAMAP_FOLLOWED | KAMAP_FOLLOW_ID)

/* Those of the command itself. */
static __always_inline u32 get_first_marks(void)
{
	return KAMAP_FOLLOWED | ((follow_id << KAMAP_FOLLOW_SHIFT) & KAMAP_FOLLOW_ID);
}

/* The most ancestors that are asked for one without a row. */
#define MAX_ROWLESS 8

/*
 * What marks a process that may have no row to say so, since there was no room
 * for it: the marks of its nearest ancestor that has one. 0: it is not followed.
 */
static __always_inline u32 get_marks_without_row(const struct task_struct *task)
{
	/* The first is known when the programs are loaded: then nothing is left of this. */
	if ((!follow_child_of && !is_shared) || !followed)
		return 0;
	task = untrusted(task);
	for (u32 i = 0; i < MAX_ROWLESS; i++) {
		const struct kamap_process *row;
		u32 pid = task->tgid;

		row = bpf_map_lookup_elem(&processes, &pid);
		if (row) {
			u32 flags = *(volatile u32 *)&row->facts.flags;

			/*
			 * Where the ancestor ends just now, its row can be another process's by
			 * now. Then its parent is asked, as if it had none.
			 */
			if (*(volatile u32 *)&row->facts.pid == pid)
				return flags & FOLLOW_FLAGS;
		}
		if (pid == followed)
			return get_first_marks();
		task = task->real_parent;
	}
	return 0;
}

/* Whether the current thread is the one whose next child is followed: once. */
static __always_inline int takes_follow_thread(u32 thread)
{
	return *(volatile u32 *)&follow_thread == thread &&
	       __sync_val_compare_and_swap(&follow_thread, thread, 0) == thread;
}

/* What marks the child `pid` of a process, whose row is `from`. 0: it is not followed. */
static __always_inline u32 get_marks(struct task_struct *parent, const struct kamap_process *from,
				     u32 pid)
{
	u32 marks;

	if (is_shared && takes_follow_thread(parent->pid)) {
		followed = pid;
		return get_first_marks();
	}
	if (from)
		marks = from->facts.flags & FOLLOW_FLAGS;
	else
		marks = get_marks_without_row(parent);
	if (!marks && follow_child_of && (u32)parent->pid == follow_child_of &&
	    !__sync_val_compare_and_swap(&followed, 0, pid))
		marks = KAMAP_FOLLOWED;
	return marks;
}

#endif
