/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Execs that fail: what was asked for, read from the memory of who asked.
 */
#ifndef EXEC_FAILED_BPF_H
#define EXEC_FAILED_BPF_H

#include "events.bpf.h"
#include "kernel.bpf.h"
#include "row.bpf.h"

/* A call of execve or execveat. */
struct exec_call {
	u64 file;
	u64 argv;
	int folder;	/* the file descriptor to which `file` is relative */
	u32 pointer;	/* bytes of a pointer in argv */
};

/*
 * Puts the call into `call` if it is one that execs. Of x86: the numbers are those of
 * arch/x86/entry/syscalls/, the registers those of its calling convention.
 */
static __always_inline int exec_call_of(const struct pt_regs *regs,
					const struct task_struct *task, struct exec_call *call)
{
	u32 number = regs->orig_ax;

	if (task->thread_info.status & TS_COMPAT) {
		call->pointer = 4;
		if (number == 11) {
			call->folder = AT_FDCWD;
			call->file = (u32)regs->bx;
			call->argv = (u32)regs->cx;
			return 1;
		}
		call->folder = regs->bx;
		call->file = (u32)regs->cx;
		call->argv = (u32)regs->dx;
		return number == 358;
	}
	call->pointer = 8;
	if (number == 59) {
		call->folder = AT_FDCWD;
		call->file = regs->di;
		call->argv = regs->si;
		return 1;
	}
	call->folder = regs->di;
	call->file = regs->si;
	call->argv = regs->dx;
	return number == 322;
}

/*
 * No change, for two paths are never longer, but the verifier cannot know that. Where a
 * copy is compared instead, that of 6.1 does not see that it holds for the original.
 */
#define BOUND(len) asm volatile("%0 &= %1" : "+r"(len) : "i"(2 * KAMAP_PATH_LEN + 1))

/*
 * Puts the file after the text of exe, named as the kernel would name it:
 * relative to the descriptor of a folder, or the descriptor alone.
 */
static __always_inline void put_asked_file(struct draft *draft, const struct exec_call *call)
{
	static const char format[] = "/dev/fd/%d/";
	u64 folder = (u32)call->folder;
	u32 used = draft->row.facts.exe_len;
	char *text = draft->row.text;
	char first = 0;
	u32 at = used;
	long len;

	if (used > KAMAP_PATH_LEN)	/* for the verifier */
		return;
	bpf_probe_read_user(&first, sizeof(first), (void *)call->file);
	if (call->folder != AT_FDCWD && first != '/') {
		/* With its NUL 20 bytes at most. */
		len = bpf_snprintf(text + at, 24, format, &folder, sizeof(folder));
		if (len > 2 && len <= 24)
			at += first ? len - 1 : len - 2;
	}
	BOUND(at);
	len = bpf_probe_read_user_str(text + at, KAMAP_PATH_LEN + 1, (void *)call->file);
	if (len > 0 && len <= KAMAP_PATH_LEN + 1)
		at += len - 1;
	if (at - used >= KAMAP_PATH_LEN) {
		at = used + KAMAP_PATH_LEN;
		draft->row.facts.flags |= KAMAP_FILE_CUT;
	}
	draft->row.facts.file_len = at - used;
}

/* Bytes of an argument that are read at once; a draft has as many to spare. */
#define ARGS_PIECE 512

/* The most arguments, and pieces of arguments, that are read. */
#define MAX_PIECES 256

/* What reading a piece of an argument needs to know. The text and its bounds never change. */
struct asked_args {
	char *text;
	volatile u32 *len;
	volatile struct asked_at *at;
	u64 used;
	u64 end;
	u64 pointer;
};

/*
 * Puts the next piece of an argument behind those that are there. Returns 1 to end it.
 *
 * So that each round is the same to the verifier, what differs from one to the next lies
 * where it remembers no value, and is computed without a branch.
 */
static long put_asked_piece(u32 i, struct asked_args *args)
{
	volatile struct asked_at *at = args->at;
	u64 start = args->used + *args->len;
	u64 arg = 0;
	u64 more;
	long got;

	at->ended = 1;
	if (bpf_probe_read_user(&arg, args->pointer, (void *)at->argv))
		return 1;
	if (!arg) {
		at->more = 0;
		return 1;
	}
	if (start > args->end)
		start = args->end;
	got = bpf_probe_read_user_str(args->text + start, ARGS_PIECE, (void *)(arg + at->done));
	if (got < 0)
		return 1;
	/* Of an empty one there is the NUL, which 6.1 does not count. */
	got |= (u64)(got - 1) >> 63;
	/* A full piece may end within the argument. Its NUL is read again then. */
	more = (u64)got / ARGS_PIECE;
	*args->len += got - more;
	at->argv += args->pointer & (more - 1);
	at->done = (at->done + ARGS_PIECE - 1) & -more;
	at->ended = 0;
	return 0;
}

/*
 * Puts the arguments behind `used` bytes of text, as far as `end`, a number that the
 * verifier knows; behind that there is room for another piece, where the rest is read to
 * and forgotten. `len` counts all of them. Returns whether there are more, or whether
 * they could not be read.
 */
static __always_inline int put_asked_args(char *text, u32 used, u32 end, volatile u32 *len,
					  const struct exec_call *call,
					  volatile struct asked_at *at)
{
	struct asked_args args = {
		.text = text,
		.len = len,
		.at = at,
		.used = used,
		.end = end,
		.pointer = call->pointer,
	};
	u64 arg = 0;

	*len = 0;
	if (!call->argv)	/* the same as an empty list */
		return 0;
	at->argv = call->argv;
	at->done = 0;
	at->more = 1;
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop)) {
		bpf_loop(MAX_PIECES, put_asked_piece, &args, 0);
	} else {
		for (u32 i = 0; i < MAX_PIECES; i++)
			if (put_asked_piece(i, &args))
				break;
	}
	if (at->ended)
		return at->more;
	return bpf_probe_read_user(&arg, call->pointer, (void *)at->argv) || arg;
}

/*
 * Says how much of the arguments was kept, if there was room for `room` bytes; `more`
 * tells whether there were others than those that have been counted.
 */
static __always_inline void count_asked_args(struct kamap_facts *facts, u32 room, int more)
{
	u32 kept = facts->args_len;

	if (kept > max_args)
		kept = max_args;
	if (kept > room)
		kept = room;
	facts->args_kept = kept;
	facts->args_len += more;
	if (kept < facts->args_len)
		count(event_args_cut);
}

/* Tells of a call with more arguments than fit into a draft, which has all the rest. */
static __always_inline void event_tell_asked_args(struct draft *draft, u32 used,
						  const struct task_struct *task, u64 time,
						  u32 error, const struct exec_call *call)
{
	u32 room = event_args_room(draft->row.facts.args_len);
	struct kamap_event *event;
	char *text;
	int more;

	if (!room)	/* for the verifier */
		return;
	event = event_reserve(2 * KAMAP_PATH_LEN + room + ARGS_PIECE);
	if (!event) {
		event_count_lost();
		return;
	}
	event_fill(event, KAMAP_EVENT_EXEC_FAILED, time, &draft->row.facts, task);
	event->status = error;
	text = event_text(event);
	BOUND(used);
	bpf_probe_read_kernel(text, used, draft->row.text);
	more = put_asked_args(text, used, 2 * KAMAP_PATH_LEN + room, &event->facts.args_len, call,
			      &draft->asked_at);
	count_asked_args(&event->facts, room, more);
	event_submit(event, event_size(2 * KAMAP_PATH_LEN + room + ARGS_PIECE), 0);
}

/* Tells that a call has failed; `draft` has the facts, and the text of exe. */
static __always_inline void event_tell_exec_failed(struct draft *draft,
						   const struct task_struct *task,
						   const struct exec_call *call, u32 error)
{
	struct kamap_facts *facts = &draft->row.facts;
	u64 now = bpf_ktime_get_boot_ns();
	u32 used;
	int more;

	put_asked_file(draft, call);
	/* Read again, so that the verifier remembers nothing of them. */
	used = *(volatile u16 *)&facts->exe_len + *(volatile u16 *)&facts->file_len;
	BOUND(used);
	more = put_asked_args(draft->row.text, used, KAMAP_TEXT_LEN, &facts->args_len, call,
			      &draft->asked_at);
	if (facts->args_len > KAMAP_TEXT_LEN - used) {
		event_tell_asked_args(draft, used, task, now, error, call);
		return;
	}
	count_asked_args(facts, KAMAP_TEXT_LEN, more);
	event_tell_row(KAMAP_EVENT_EXEC_FAILED, now, error, &draft->row, task);
}

#endif
