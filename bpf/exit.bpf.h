/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The end of a process: its row is removed, and its exit emitted. */
#ifndef EXIT_BPF_H
#define EXIT_BPF_H

#include "cpu_time.bpf.h"
#include "events.bpf.h"
#include "follow.bpf.h"
#include "kernel.bpf.h"
#include "row.bpf.h"
#include "stats.bpf.h"
#include "table.bpf.h"

/* The status as wait() gives it. */
static __always_inline u32 get_status(const struct task_struct *task)
{
	const struct signal_struct *signal = task->signal;

	if (signal->flags & SIGNAL_GROUP_EXIT)
		return signal->group_exit_code;
	return task->group_leader->exit_code;
}

/*
 * Whether the arguments of an exit are truncated, and no exec event has reported it: exec events were not wanted,
 * or there was none since the programs were attached.
 */
static __always_inline int is_cut_untold(const struct kamap_facts *facts)
{
	if ((wanted_events & KAMAP_EVENT_EXEC) && facts->last_exec_time)
		return 0;
	return facts->args_kept < facts->args_len || facts->args_kept > max_args;
}

/*
 * Removes the row of a process that has ended and emits its exit, if the row was there:
 * nobody else does then. Returns what the removal did.
 */
static __always_inline int emit_exit(const struct task_struct *task, const struct kamap_process *row,
				     const struct kamap_facts *facts, u64 time, u32 status)
{
	const struct signal_struct *signal = task->signal;
	u32 pid = facts->pid;
	u32 len = text_len(facts);
	struct kamap_event *event;
	u32 room;
	int err;

	if (len > KAMAP_TEXT_LEN)	/* for the verifier */
		return bpf_map_delete_elem(&processes, &pid);
	room = get_text_room(len);
	event = reserve_event(room, KAMAP_EVENT_EXIT, time, facts, task);
	if (!event) {
		err = bpf_map_delete_elem(&processes, &pid);
		if (!err)
			count_lost_event();
		return err;
	}
	put_row_text(event, row, len);
	event->status = status;
	event->max_rss = signal->maxrss;
	event->cpu_time = sum_cpu_time(time);
	err = bpf_map_delete_elem(&processes, &pid);
	if (err) {
		bpf_ringbuf_discard(event, 0);
		return err;
	}
	if (is_cut_untold(&event->facts))
		count(event_args_cut);
	/* Who follows a process waits for its end. */
	submit_event(event, room, pid == followed);
	return 0;
}

/* Removes the row of a process that has ended, and emits its exit where that is wanted. */
static __always_inline int remove_row(const struct task_struct *task, u32 pid)
{
	const struct task_struct *leader = task->group_leader;
	const struct kamap_process *row;
	struct kamap_facts facts;
	u64 now;
	u32 status;

	if (!(wanted_events & KAMAP_EVENT_EXIT))
		return bpf_map_delete_elem(&processes, &pid);
	row = bpf_map_lookup_elem(&processes, &pid);
	if (!row)
		return -ENOENT;
	now = bpf_ktime_get_boot_ns();
	status = get_status(task);
	facts = row->facts;
	put_state(&facts, leader);
	/* `seed` may have taken it out of the table before it was told of. */
	facts.start_time = leader->start_boottime;
	if (facts.exec_id != leader->self_exec_id) {
		/* It ended in an exec of which the row knows nothing: that has given it its name. */
		facts.exec_id = leader->self_exec_id;
		facts.flags &= ~(KAMAP_EXE_DELETED | KAMAP_EXE_CUT | KAMAP_FILE_CUT | KAMAP_FILE_KNOWN);
		facts.exe_len = 0;
		facts.file_len = 0;
		facts.args_len = 1;
		facts.args_kept = 0;
	}
	if (!wants_event(KAMAP_EVENT_EXIT, &facts, leader) ||
	    now - facts.start_time < filter.min_duration || (filter.failed && !status))
		return bpf_map_delete_elem(&processes, &pid);
	return emit_exit(task, row, &facts, now, status);
}

#endif
