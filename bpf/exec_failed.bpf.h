/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Execs that fail: what was asked for, read from the memory of who asked.
 *
 * One that fails past the point of no return has no such memory any more: the registers point into
 * that of the new program, where anything can lie. What it was asked for is kept beforehand then.
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
	u32 is_compat;	/* 1: the pointers in argv have 32 bits */
};

/* Bytes of a pointer in argv. No more than 8, which the verifier sees, without a branch. */
static __always_inline u32 pointer_len(const struct exec_call *call)
{
	return 8 - 4 * (call->is_compat & 1);
}

/* Reads the call of a thread; returns whether it is one that execs. */
static __always_inline int read_exec_call(const struct pt_regs *regs,
					  const struct task_struct *task, struct exec_call *call)
{
	int is_compat = is_compat_call(&task->thread_info);
	u32 number = get_call_number(regs);
	u64 args[3];

	get_call_args(regs, is_compat, args);
	call->is_compat = is_compat;
	if (number == (is_compat ? NR_COMPAT_EXECVE : NR_EXECVE)) {
		call->folder = AT_FDCWD;
		call->file = args[0];
		call->argv = args[1];
		return 1;
	}
	call->folder = args[0];
	call->file = args[1];
	call->argv = args[2];
	return number == (is_compat ? NR_COMPAT_EXECVEAT : NR_EXECVEAT);
}

/*
 * No change, for two paths are never longer, but the verifier cannot know that. Where a
 * copy is compared instead, that of 6.1 does not see that it holds for the original.
 */
#define BOUND(len) asm volatile("%0 &= %1" : "+r"(len) : "i"(2 * KAMAP_PATH_LEN + 1))

/* The most bytes that put_asked_folder puts, the NUL included. */
#define ASKED_FOLDER_LEN 24

/*
 * Puts the folder to which the file is relative, as the kernel would name it; returns how many
 * bytes that are.
 */
static __always_inline u32 put_asked_folder(char *text, const struct exec_call *call)
{
	static const char format[] = "/dev/fd/%d/";
	u64 folder = (u32)call->folder;
	char first = 0;
	long len;

	if (call->folder == AT_FDCWD)
		return 0;
	bpf_probe_read_user(&first, sizeof(first), (void *)call->file);
	if (first == '/')
		return 0;
	/* With its NUL 20 bytes at most. */
	len = bpf_snprintf(text, ASKED_FOLDER_LEN, format, &folder, sizeof(folder));
	if (len <= 2 || len > ASKED_FOLDER_LEN)
		return 0;
	/* A descriptor alone is followed by no slash. */
	return first ? len - 1 : len - 2;
}

/*
 * Puts the file after the text of exe, named as the kernel would name it:
 * relative to the descriptor of a folder, or the descriptor alone.
 */
static __always_inline void put_asked_file(struct draft *draft, const struct exec_call *call)
{
	struct kamap_facts *facts = &draft->row.facts;
	u32 used = facts->exe_len;
	char *text = draft->row.text;
	u32 at = used;
	long len;

	if (used > KAMAP_PATH_LEN)	/* for the verifier */
		return;
	at += put_asked_folder(text + at, call);
	BOUND(at);
	len = bpf_probe_read_user_str(text + at, KAMAP_PATH_LEN + 1, (void *)call->file);
	/* Of an empty one there is the NUL, which 6.1 does not count. */
	if (len >= 0)
		facts->flags |= KAMAP_FILE_KNOWN;
	if (len > 0 && len <= KAMAP_PATH_LEN + 1)
		at += len - 1;
	if (at - used >= KAMAP_PATH_LEN) {
		at = used + KAMAP_PATH_LEN;
		facts->flags |= KAMAP_FILE_CUT;
	}
	facts->file_len = at - used;
}

/* Bytes of an argument that are read at once; a draft has as many to spare. */
#define ARGS_PIECE 512

/*
 * The most arguments, and pieces of arguments, that are read where the kernel has bpf_loop: more
 * than can be kept. Without it the verifier looks at each round.
 */
#define MAX_PIECES (KAMAP_MAX_ARGS + 1)
#define MAX_PIECES_UNROLLED 256

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
	/* More than can be kept need not be counted. */
	if (*args->len > KAMAP_MAX_ARGS)
		return 1;
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
		.pointer = pointer_len(call),
	};
	u64 arg = 0;

	*len = 0;
	if (!call->argv)	/* the same as an empty list */
		return 0;
	at->argv = call->argv;
	at->done = 0;
	at->more = 1;
	if (can_loop()) {
		bpf_loop(MAX_PIECES, put_asked_piece, &args, 0);
	} else {
		for (u32 i = 0; i < MAX_PIECES_UNROLLED; i++)
			if (put_asked_piece(i, &args))
				break;
	}
	if (at->ended)
		return at->more;
	return bpf_probe_read_user(&arg, args.pointer, (void *)at->argv) || arg;
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

/*
 * Puts the file again, as long as it may be, after `used` bytes of text; returns how many bytes
 * there are then, up to LONG_PATHS.
 */
static __always_inline u32 put_long_asked_file(char *text, u32 used, struct kamap_facts *facts,
					       const struct exec_call *call)
{
	u32 at = used + put_asked_folder(text + used, call);
	long len;

	BOUND(at);
	/* One more, to see whether there is more: that is no path to the kernel. */
	len = bpf_probe_read_user_str(text + at, KAMAP_LONG_PATH_LEN + 2, (void *)call->file);
	if (len <= KAMAP_LONG_PATH_LEN + 1)
		facts->flags &= ~KAMAP_FILE_CUT;
	else
		len = KAMAP_LONG_PATH_LEN + 1;
	/* It has been read before, but not by the verifier. */
	if (len > 0)
		at += (len - 1) & KAMAP_LONG_PATH_LEN;
	facts->file_len = at - used;
	return at;
}

/*
 * Emits a call whose file (`is_long`, a constant) or arguments do not fit into a draft: they are
 * read again.
 */
static __always_inline void emit_call_again(struct draft *draft, int is_long, const struct exec_call *call,
					    u64 time, u32 error)
{
	const struct task_struct *leader = bpf_get_current_task_btf()->group_leader;
	const u32 paths = is_long ? LONG_PATHS : 2 * KAMAP_PATH_LEN;
	u32 room = get_args_room(draft->row.facts.args_len);
	u32 used = *(volatile u16 *)&draft->row.facts.exe_len;
	struct kamap_facts *facts;
	struct kamap_event *event;
	char *text;
	int more;

	if (!room)	/* for the verifier */
		return;
	event = reserve_event(paths + room + ARGS_PIECE, KAMAP_EVENT_EXEC_FAILED, time,
			      &draft->row.facts, leader);
	if (!event) {
		count_lost_event();
		return;
	}
	event->status = error;
	facts = &event->facts;
	text = get_event_text(event);
	if (!is_long)
		used += *(volatile u16 *)&draft->row.facts.file_len;
	BOUND(used);
	bpf_probe_read_kernel(text, used, draft->row.text);
	if (is_long)
		used = put_long_asked_file(text, used, facts, call);
	more = put_asked_args(text, used, paths + room, &facts->args_len, call, &draft->asked_at);
	count_asked_args(facts, room, more);
	submit_event(event, paths + room + ARGS_PIECE, 0);
}

/*
 * The functions that follow are about the current task. They are global, so that the verifier walks through each
 * once, and not once for each way that leads there.
 */

/* Emits a call of which a draft does not hold all. */
__noinline int emit_exec_failed_again(struct draft *draft, const struct exec_call *call, u64 time, u32 error)
{
	if (!draft || !call)	/* for the verifier */
		return 0;
	if (draft->row.facts.flags & KAMAP_FILE_CUT)
		emit_call_again(draft, 1, call, time, error);
	else
		emit_call_again(draft, 0, call, time, error);
	return 0;
}

/* Emits a failure that fits into a draft. */
__noinline int emit_failure(struct draft *draft, u64 time, u32 error)
{
	if (draft)	/* for the verifier */
		emit_row(KAMAP_EVENT_EXEC_FAILED, time, error, &draft->row,
			 bpf_get_current_task_btf()->group_leader);
	return 0;
}

/* Emits that a call has failed; `draft` has the facts, and the text of exe. */
__noinline int emit_exec_failed(struct draft *draft, const struct exec_call *call, u32 error)
{
	u64 now = bpf_ktime_get_boot_ns();
	struct kamap_facts *facts;
	u32 used;
	int more;

	if (!draft || !call)	/* for the verifier */
		return 0;
	facts = &draft->row.facts;
	put_asked_file(draft, call);
	/* Read again, so that the verifier remembers nothing of them. */
	used = *(volatile u16 *)&facts->exe_len + *(volatile u16 *)&facts->file_len;
	BOUND(used);
	more = put_asked_args(draft->row.text, used, KAMAP_TEXT_LEN, &facts->args_len, call,
			      &draft->asked_at);
	if ((facts->flags & KAMAP_FILE_CUT) || facts->args_len > KAMAP_TEXT_LEN - used)
		return emit_exec_failed_again(draft, call, now, error);
	count_asked_args(facts, KAMAP_TEXT_LEN, more);
	return emit_failure(draft, now, error);
}

/*
 * What a process was asked to execute, kept before the point of no return. Of the task itself, so
 * that it is gone with it.
 */
struct attempt {
	u32 argc;
	u32 args_room;		/* bytes of its arguments and its environment */
	char file[KAMAP_PATH_LEN + 1];
};

/* Created only where failed execs are wanted, and the kernel has the tracepoint. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct attempt);
} attempts SEC(".maps");

/* Whether the tracepoint before the point of no return is there: since 6.10. */
static __always_inline int knows_attempts(void)
{
	return bpf_core_type_exists(btf_trace_sched_prepare_exec);
}

/*
 * Whether an exec of `task`, which fails just now, has done so past the point of no return. `counted`
 * is how many the row knows, `done` how many the kernel has counted. The memory can be whole by then
 * (create_elf_tables has some steps left), but a fatal signal is on its way (bprm_execve in fs/exec.c).
 * That alone says nothing, and neither do the counts: the program may have missed an exec.
 */
static __always_inline int has_failed_late(const struct task_struct *task, u64 counted, u64 done)
{
	const unsigned long fatal = 1UL << (SIGKILL - 1) | 1UL << (SIGSEGV - 1);

	return is_half_made(task->mm) ||
	       (counted != done && (task->pending.signal.sig[0] & fatal));
}

/* A search for the end of the last argument. */
struct args_end {
	const char *text;
	u32 left;	/* arguments whose end is still to be found */
	u32 at;
	u32 len;
};

static long find_args_end(u32 i, struct args_end *end)
{
	char c = 0;

	if (!end->left || end->at >= end->len)
		return 1;
	bpf_probe_read_kernel(&c, sizeof(c), end->text + end->at);
	end->left -= !c;
	end->at++;
	return 0;
}

/*
 * Puts what the kernel was executing when it failed past the point of no return: exe from the new
 * memory; file and arguments as they were kept, as far as a row holds them. The kernel has put the
 * arguments into the new memory itself, and nothing has run there yet.
 */
__noinline int put_attempt(struct draft *draft)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct task_struct *read = untrusted(task);
	const struct mm_struct *mm = read->mm;
	struct kamap_facts *facts;
	struct attempt *attempt;
	u32 used = 0;

	if (!draft)	/* for the verifier */
		return 0;
	facts = &draft->row.facts;
	/* They count as cut, unless they are found. */
	facts->args_len = 1;
	if (mm)
		used = put_exe(draft, read, mm);
	facts->exe_len = used;
	if (!knows_attempts())
		return 0;
	attempt = bpf_task_storage_get(&attempts, task, NULL, 0);
	if (!attempt)
		return 0;
	put_file(draft, used, attempt->file);
	/* Read again, so that the verifier remembers nothing of them. */
	used = *(volatile u16 *)&facts->exe_len + *(volatile u16 *)&facts->file_len;
	BOUND(used);
	if (mm && mm->arg_start) {
		struct args_end end = { .left = attempt->argc };
		u32 kept = KAMAP_TEXT_LEN - used;

		if (kept > attempt->args_room)
			kept = attempt->args_room;
		if (kept > KAMAP_TEXT_LEN)	/* for the verifier */
			return 0;
		if (bpf_probe_read_user(draft->row.text + used, kept, (void *)mm->arg_start))
			return 0;
		end.text = draft->row.text + used;
		end.len = kept;
		bpf_loop(KAMAP_TEXT_LEN, find_args_end, &end, 0);
		facts->args_kept = end.at;
		facts->args_len = end.at + !!end.left;
	}
	return 0;
}

#endif
