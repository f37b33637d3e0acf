/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The event of an exec: as its row has it or, where that has no room for all, with more.
 */
#ifndef EXEC_BPF_H
#define EXEC_BPF_H

#include "draft.bpf.h"
#include "events.bpf.h"
#include "kernel.bpf.h"
#include "path.bpf.h"
#include "stats.bpf.h"

/*
 * Emits an exec whose arguments do not fit into a row: they are read again, as far
 * as max_args allows.
 */
static __always_inline void emit_exec_with_args(struct draft *draft, struct task_struct *task,
						u64 time)
{
	const struct kamap_facts *facts = &draft->row.facts;
	u32 used = facts->exe_len + facts->file_len;
	struct kamap_event *event;
	u32 room = get_args_room(facts->args_len);
	u32 len = facts->args_len;
	char *text;

	if (len > max_args)
		len = max_args;
	if (!room || len > room)	/* for the verifier */
		return;
	if (used > 2 * KAMAP_PATH_LEN)	/* for the verifier */
		return;
	event = reserve_event(2 * KAMAP_PATH_LEN + room, KAMAP_EVENT_EXEC, time, facts, task);
	if (!event) {
		count_lost_event();
		return;
	}
	text = get_event_text(event);
	bpf_probe_read_kernel(text, used, draft->row.text);
	event->facts.args_kept = len;
	if (bpf_probe_read_user(text + used, len, (void *)untrusted(task)->mm->arg_start))
		event->facts.args_kept = 0;
	if (event->facts.args_kept < facts->args_len)
		count(event_args_cut);
	submit_event(event, 2 * KAMAP_PATH_LEN + room, 0);
}

/*
 * Emits an exec whose paths do not fit into a row: they are read again, as are its arguments.
 */
static __always_inline void emit_exec_with_paths(struct draft *draft, struct task_struct *task, u64 time,
						 const char *file)
{
	const u32 room = max_args > KAMAP_DEFAULT_MAX_ARGS ? KAMAP_MAX_ARGS : KAMAP_DEFAULT_MAX_ARGS;
	const struct task_struct *read = untrusted(task);
	struct kamap_facts *facts;
	struct kamap_event *event;
	u32 used = 0;
	u32 whole;
	u32 kept;
	char *text;
	long len;

	event = reserve_event(LONG_PATHS + room, KAMAP_EVENT_EXEC, time, &draft->row.facts, task);
	if (!event) {
		count_lost_event();
		return;
	}
	facts = &event->facts;
	text = get_event_text(event);
	used = put_long_exe(text, read, &whole);
	facts->exe_len = used;
	facts->flags &= ~(KAMAP_EXE_CUT | KAMAP_FILE_CUT);
	if (!whole)
		facts->flags |= KAMAP_EXE_CUT;
	/* One more, to see whether there is more: relative to the descriptor of a folder it can be. */
	len = bpf_probe_read_kernel_str(text + used, KAMAP_LONG_PATH_LEN + 2, file);
	if (len > KAMAP_LONG_PATH_LEN + 1) {
		len = KAMAP_LONG_PATH_LEN + 1;
		facts->flags |= KAMAP_FILE_CUT;
	}
	if (len > 0) {
		facts->file_len = (len - 1) & KAMAP_LONG_PATH_LEN;
		used += facts->file_len;
	}
	kept = facts->args_len;
	if (kept > max_args)
		kept = max_args;
	if (kept > room)	/* for the verifier */
		kept = 0;
	if (used > LONG_PATHS ||
	    bpf_probe_read_user(text + used, kept, (void *)read->mm->arg_start))
		kept = 0;
	facts->args_kept = kept;
	if (kept < facts->args_len)
		count(event_args_cut);
	submit_event(event, LONG_PATHS + room, 0);
}

/* Emits an exec, as its row has it or, where that has no room for all, with more. */
static __always_inline void emit_exec(struct draft *draft, struct task_struct *task, u64 time,
				      const char *file)
{
	const struct kamap_facts *facts = &draft->row.facts;

	if ((facts->flags & (KAMAP_EXE_CUT | KAMAP_FILE_CUT)) &&
	    can_loop()) {
		emit_exec_with_paths(draft, task, time, file);
	} else if (facts->args_kept < facts->args_len) {
		emit_exec_with_args(draft, task, time);
	} else {
		/* User space shortens what is in a row. */
		if (facts->args_len > max_args)
			count(event_args_cut);
		emit_row(KAMAP_EVENT_EXEC, time, 0, &draft->row, task);
	}
}

#endif
