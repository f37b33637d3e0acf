/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Processes that were alive before the programs were attached: adding them to the table, and printing
 * the kernel's own list of them.
 */
#ifndef SEED_BPF_H
#define SEED_BPF_H

#include "follow.bpf.h"
#include "kernel.bpf.h"
#include "row.bpf.h"
#include "stats.bpf.h"
#include "table.bpf.h"

/*
 * pid -> the arguments of a process that `seed` is to add. User space fills it before `seed` runs and
 * empties it after: reading the memory of another process can take as long as that likes.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KAMAP_DEFAULT_CAPACITY);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, struct kamap_given_args);
} given_args SEC(".maps");

/*
 * Puts the arguments that user space has read of the process. What it has not read, or could not read,
 * counts as cut: procfs then gives less than there is, and it does not end with a NUL. (A title that
 * the process has written over them can be shorter too, but that ends with one.)
 */
static __always_inline void put_given_args(struct draft *draft, u32 used, const struct mm_struct *mm)
{
	struct kamap_facts *facts = &draft->row.facts;
	const struct kamap_given_args *given;
	unsigned long there = mm->arg_end - mm->arg_start;
	u32 kept = KAMAP_TEXT_LEN - used;
	u32 pid = facts->pid;
	u32 len;

	given = bpf_map_lookup_elem(&given_args, &pid);
	if (!given || given->start_time != facts->start_time) {
		put_args_len(facts, 1, 0);
		return;
	}
	if (kept > given->kept)
		kept = given->kept;
	if (kept > KAMAP_TEXT_LEN)	/* for the verifier */
		return;
	bpf_probe_read_kernel(draft->row.text + used, kept, given->text);
	len = given->len;
	if (len < there && !given->ended)
		len++;
	put_args_len(facts, len, kept);
}

/*
 * Adds a process that was alive before the programs were attached, or that found
 * no room until now. A row that a tracepoint wrote is never overwritten.
 *
 * The process may end meanwhile. The exit program runs after `live` has dropped
 * to 0, and both take the lock of the row's bucket: either it comes second and
 * finds the row, or it came first and `live` is seen as 0 here. Then no start time
 * is left in the row, if it still is the one added here: to whoever reads the
 * table it is not there. It is not removed: another process can have the PID by now,
 * and its row would go. The exit program removes it, if it comes second after all,
 * or the next process of this PID takes its place.
 */
static __always_inline void add_row(struct task_struct *task)
{
	/*
	 * Read once: a leader that is replaced by a thread's exec is gone, its
	 * process is not, and they share this.
	 */
	const struct task_struct *read = untrusted(task);
	const struct signal_struct *signal = read->signal;
	const struct mm_struct *mm = read->mm;
	u64 start_time = task->start_boottime;
	struct kamap_process *row;
	u32 pid = task->tgid;
	struct draft *draft;
	int err;

	if (signal->live.counter == 0 || bpf_map_lookup_elem(&processes, &pid))
		return;
	draft = try_draft();
	if (!draft) {
		/* Next time. */
		count(refused);
		return;
	}
	put_facts(&draft->row.facts, task, KAMAP_ORIGIN_SEED);
	draft->row.facts.flags |= get_marks_without_row(task);
	if (mm) {
		u32 used = put_exe(draft, read, mm);

		draft->row.facts.exe_len = used;
		put_given_args(draft, used, mm);
	} else if (!(task->flags & PF_KTHREAD)) {
		/* Its main thread has gone, and only that leads to the arguments. */
		put_args_len(&draft->row.facts, 1, 0);
	}

	err = bpf_map_update_elem(&processes, &pid, &draft->row, BPF_NOEXIST);
	give_back_draft(draft);
	if (err) {
		if (err != -EEXIST)
			count_refusal(pid, err, !seeded);
		return;
	}
	if (signal->live.counter == 0) {
		row = bpf_map_lookup_elem(&processes, &pid);
		if (row)
			__sync_val_compare_and_swap(&row->facts.start_time, start_time, 0);
	}
}

/*
 * Some hosts hide their PID 1 from the iterator (seen on a 6.18 that runs virtual
 * machines); /proc has it. It never ends.
 */
static __always_inline struct task_struct *get_first_process(void)
{
	return untrusted(bpf_get_current_task_btf())->thread_pid->numbers[0].ns->child_reaper;
}

static __always_inline enum kamap_life get_life(const struct task_struct *task)
{
	const struct signal_struct *signal = task->signal;

	if (task->__state == TASK_NEW)
		return KAMAP_LIFE_STARTING;
	if (signal->live.counter > 0) {
		if (bpf_core_field_exists(task->in_execve) &&
		    BPF_CORE_READ_BITFIELD(task, in_execve))
			return KAMAP_LIFE_EXECING;
		/* One that failed late is not counted by the row, however long its end takes. */
		if (is_half_made(task->mm))
			return KAMAP_LIFE_EXECING;
		return KAMAP_LIFE_ALIVE;
	}
	/*
	 * A thread tells of its exit before it gets an exit_state, and is
	 * released after; the main thread is released last.
	 */
	if (task->exit_state && signal->nr_threads <= 1)
		return KAMAP_LIFE_DEAD;
	return KAMAP_LIFE_LEAVING;
}

/*
 * Not inlined, so that the object's BTF has a function of this type: it is from
 * there that user space gets the struct.
 */
static __noinline void write_task(struct seq_file *seq, const struct kamap_task *out)
{
	/* What does not fit is asked for again, with the next read. */
	bpf_seq_write(seq, (void *)out, sizeof(*out));
}

/* Puts the PID that the process has in its own PID namespace, and which namespace that is. */
static __always_inline void put_own_pid(struct kamap_task *out, const struct task_struct *task)
{
	/* By a helper, so that it is a number: before 6.2 nothing unknown is added to what a field has. */
	const struct pid *pid = BPF_CORE_READ(task, thread_pid);
	const void *numbers = __builtin_preserve_access_index(&pid->numbers[0]);
	const struct pid_namespace *ns = NULL;
	const struct upid *own;
	int nr = 0;

	/* Reaped meanwhile. */
	if (!pid)
		return;
	/* One for each namespace, from the initial one to its own. */
	own = numbers + BPF_CORE_READ(pid, level) * bpf_core_type_size(struct upid);
	bpf_probe_read_kernel(&nr, sizeof(nr), __builtin_preserve_access_index(&own->nr));
	bpf_probe_read_kernel(&ns, sizeof(ns), __builtin_preserve_access_index(&own->ns));
	if (!ns)
		return;
	bpf_probe_read_kernel(&out->pid_ns, sizeof(out->pid_ns),
			      __builtin_preserve_access_index(&ns->ns.inum));
	out->vpid = nr;
}

static __always_inline void print_task(struct seq_file *seq, const struct task_struct *task)
{
	const struct task_struct *read = untrusted(task);
	const struct mm_struct *mm = read->mm;
	struct kamap_task out = { .life = get_life(read) };
	struct draft *draft = NULL;
	u32 used;

	put_facts(&out.facts, task, KAMAP_ORIGIN_SEED);
	put_own_pid(&out, read);
	if (mm)
		draft = try_draft();
	if (!draft) {
		write_task(seq, &out);
		return;
	}
	draft->row.facts.flags = 0;
	used = put_exe(draft, read, mm);
	out.facts.flags |= draft->row.facts.flags;
	out.facts.exe_len = used;
	write_task(seq, &out);
	if (used <= KAMAP_PATH_LEN)	/* for the verifier */
		bpf_seq_write(seq, draft->row.text, used);
	give_back_draft(draft);
}

#endif
