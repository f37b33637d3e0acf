/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What others read who attach nothing themselves: a description, and iterators that print the
 * table and the counters to whoever may open a file. Only `kamap attach` loads and pins them.
 */
#ifndef PINNED_BPF_H
#define PINNED_BPF_H

#include "draft.bpf.h"
#include "events.bpf.h"
#include "follow.bpf.h"
#include "kernel.bpf.h"
#include "row.bpf.h"
#include "stats.bpf.h"
#include "table.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct kamap_description);
} description SEC(".maps");

/* The reader of the ring. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct kamap_reader);
} reader SEC(".maps");

/*
 * Not inlined, so that the object's BTF has a function of this type: it is from there that user space
 * gets the struct.
 */
static __noinline void write_status(struct seq_file *seq, const struct kamap_printed_status *out)
{
	bpf_seq_write(seq, (void *)out, sizeof(*out));
}

static __always_inline void print_status(struct seq_file *seq)
{
	const struct kamap_description *known;
	struct kamap_printed_status *out;
	struct draft *draft;
	u32 slot = 0;

	known = bpf_map_lookup_elem(&description, &slot);
	if (!known)
		return;
	draft = try_draft();
	if (!draft)
		return;
	/* The stack has no room for it: older kernels round up what each function takes. */
	out = (void *)&draft->row;
	_Static_assert(sizeof(*out) <= sizeof(draft->row), "it is put together in a row");
	out->description = *known;
	out->events_put = events_put;
	out->events_lost = events_lost;
	out->first_refused = first_refused;
	out->cpus = possible_cpus;
	write_status(seq, out);
	give_back_draft(draft);
	for (u32 cpu = 0; cpu < MAX_CPUS && cpu < possible_cpus; cpu++) {
		u32 key = cpu;
		const struct kamap_counters *set = bpf_map_lookup_elem(&counters, &key);

		if (set)
			bpf_seq_write(seq, (void *)set, sizeof(*set));
	}
}

/* How often to copy a row again that was replaced meanwhile. */
#define ROW_TRIES 8

/*
 * Copies the row of a process into a draft, whole: nothing is locked, and the place of a row can
 * serve another one while it is copied. Returns whether it could.
 */
static __always_inline int copy_row(struct draft *draft, u32 pid)
{
	const struct kamap_facts *facts = &draft->row.facts;

	for (int i = 0; i < ROW_TRIES; i++) {
		const struct kamap_process *row = bpf_map_lookup_elem(&processes, &pid);
		const struct kamap_process *again;

		if (!row)
			return 0;
		bpf_probe_read_kernel(&draft->row, sizeof(draft->row), row);
		again = bpf_map_lookup_elem(&processes, &pid);
		if (again == row && facts->pid == pid && again->facts.pid == pid &&
		    again->facts.start_time == facts->start_time &&
		    again->facts.exec_id == facts->exec_id)
			return facts->start_time != 0;
	}
	return 0;
}

/* Prints a byte that anybody may have chosen, as it is where it cannot be misread. */
static __noinline void print_byte(struct seq_file *seq, u32 byte)
{
	char as_it_is = byte;

	if (byte > ' ' && byte < 0x7f && byte != '\\')
		bpf_seq_write(seq, &as_it_is, 1);
	else
		BPF_SEQ_PRINTF(seq, "\\x%02x", byte);
}

/* Bytes of a row that are printed. */
struct row_text {
	struct seq_file *seq;
	const char *from;
	u32 len;
	u32 ends_args;	/* 1: a NUL ends an argument */
};

static long print_next(u32 i, struct row_text *text)
{
	u32 byte;

	if (i >= text->len || i >= KAMAP_TEXT_LEN)
		return 1;
	byte = (unsigned char)text->from[i];
	if (byte || !text->ends_args)
		print_byte(text->seq, byte);
	else
		bpf_seq_write(text->seq, (void *)" ", 1);
	return 0;
}

/* Prints all of it, up to `most` bytes, a number that the verifier knows. */
static __always_inline void print_text(struct row_text *text, u32 most)
{
	if (can_loop()) {
		bpf_loop(most, print_next, text, 0);
		return;
	}
	for (u32 i = 0; i < most; i++)
		if (print_next(i, text))
			break;
}

/* Prints a column of so many bytes; `-` stands for none, so that one `-` is escaped. */
static __always_inline void print_column(struct seq_file *seq, const char *text, u32 len, u32 most)
{
	struct row_text column = { .seq = seq, .from = text, .len = len };

	if (!len)
		bpf_seq_write(seq, (void *)"-", 1);
	else if (len == 1 && text[0] == '-')
		BPF_SEQ_PRINTF(seq, "\\x2d");
	else
		print_text(&column, most);
	bpf_seq_write(seq, (void *)" ", 1);
}

/*
 * A length or a place in the text, anew: after a loop up to it the verifier would know which it was, and
 * walk on from each.
 */
#define again(value) (*(volatile typeof(value) *)&(value))

/* Prints name, executable, file and arguments of a row. Each argument ends with a space. */
static __always_inline void print_row_text(struct seq_file *seq, const struct draft *draft)
{
	const struct kamap_facts *facts = &draft->row.facts;
	struct row_text args = { .seq = seq, .ends_args = 1 };
	u32 at, len = 0;

	while (len < KAMAP_COMM_LEN && facts->comm[len])
		len++;
	print_column(seq, facts->comm, len, KAMAP_COMM_LEN);
	print_column(seq, draft->row.text, again(facts->exe_len), KAMAP_PATH_LEN);
	at = again(facts->exe_len) & KAMAP_PATH_LEN;
	print_column(seq, draft->row.text + at, again(facts->file_len), KAMAP_PATH_LEN);
	at = (again(facts->exe_len) & KAMAP_PATH_LEN) + (again(facts->file_len) & KAMAP_PATH_LEN);
	args.from = draft->row.text + at;
	args.len = again(facts->args_kept);
	print_text(&args, KAMAP_TEXT_LEN);
	bpf_seq_write(seq, (void *)"\n", 1);
}

static __always_inline void print_row(struct seq_file *seq, const struct task_struct *task)
{
	struct draft *draft = try_draft();

	if (!draft)
		return;
	if (copy_row(draft, task->tgid))
		bpf_seq_write(seq, &draft->row, sizeof(draft->row));
	give_back_draft(draft);
}

static __always_inline void print_header(struct seq_file *seq)
{
	BPF_SEQ_PRINTF(seq, "PID START_NS PPID PARENT_START_NS UID GID CGROUP_ID EXECS ORIGIN "
			    "FLAGS COMM EXE FILE ARGS\n");
}

static __always_inline void print_line(struct seq_file *seq, const struct task_struct *task)
{
	const struct kamap_facts *facts;
	struct draft *draft = try_draft();

	if (!draft)
		return;
	facts = &draft->row.facts;
	if (copy_row(draft, task->tgid)) {
		/* Who, whose and what it is called: now. */
		put_state(&draft->row.facts, task);
		BPF_SEQ_PRINTF(seq, "%u %llu %u %llu %u %u %llu %u %u %u ", facts->pid,
			       facts->start_time, facts->ppid, facts->parent_start_time,
			       facts->uid, facts->gid, facts->cgroup_id, facts->execs,
			       facts->origin, facts->flags & ~FOLLOW_FLAGS);
		print_row_text(seq, draft);
	}
	give_back_draft(draft);
}

#endif
