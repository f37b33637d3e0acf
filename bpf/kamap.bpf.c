// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The table of processes: a row is written when a process starts (fork) and
 * when it execs, and removed when its last thread has gone.
 *
 * All three tracepoints run in the context of the task they tell of (fork: of
 * its parent, before the child first runs), so no two programs ever write the
 * same row at once. The one exception is seeding, see `add_row`.
 *
 * Every write replaces a whole row, built aside in `drafts`: whoever reads
 * the table under its locks (by batch) sees the row before or after, never half
 * of one.
 */
#include "kernel.bpf.h"
#include "cpu_time.bpf.h"
#include "events.bpf.h"
#include "exec.bpf.h"
#include "exec_failed.bpf.h"
#include "exit.bpf.h"
#include "follow.bpf.h"
#include "mark.bpf.h"
#include "pinned.bpf.h"
#include "replace.bpf.h"
#include "row.bpf.h"
#include "seed.bpf.h"
#include "stats.bpf.h"
#include "table.bpf.h"

/* So that the object's BTF has these types: it is from there that user space gets them. */
const volatile enum kamap_limit limit_type = 0;
const volatile enum kamap_default default_type = 0;

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 parent_pid = parent->tgid;
	u32 pid = child->tgid;
	const struct kamap_process *from;
	struct draft *draft;
	int err;

	if (child->pid != child->tgid)	/* a thread */
		return 0;
	if (is_recorded(child, KAMAP_ORIGIN_FORK))
		return 0;
	count(forks);
	draft = take_draft();
	if (!draft)
		return 0;

	from = bpf_map_lookup_elem(&processes, &parent_pid);
	put_facts(&draft->row.facts, child, KAMAP_ORIGIN_FORK);
	if (from)
		copy_text(&draft->row, from);
	else
		put_text(draft, child, NULL);
	draft->row.facts.flags |= get_marks(parent, from, pid);

	/* BPF_ANY: `seed` may have met the child before this program did. */
	err = bpf_map_update_elem(&processes, &pid, &draft->row, BPF_ANY);
	if (err) {
		count_refusal(pid, err, 1);
		wake_reader();
	}
	if (wants_event(KAMAP_EVENT_FORK, &draft->row.facts, child))
		emit_row(KAMAP_EVENT_FORK, draft->row.facts.start_time, 0, &draft->row,
			 child);
	give_back_draft(draft);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	u64 now = bpf_ktime_get_boot_ns();
	const struct kamap_process *past;
	u32 pid = task->tgid;
	struct draft *draft;
	int err;

	if (is_recorded(task, KAMAP_ORIGIN_EXEC))
		return 0;
	count(execs);
	draft = take_draft();
	if (!draft)
		return 0;

	put_facts(&draft->row.facts, task, KAMAP_ORIGIN_EXEC);
	put_text(draft, task, bprm->filename);
	draft->row.facts.flags |= KAMAP_PROGRAM_SEEN;
	draft->row.facts.first_exec_time = now;
	draft->row.facts.last_exec_time = now;
	draft->row.facts.execs = 1;
	past = bpf_map_lookup_elem(&processes, &pid);
	if (past && past->facts.start_time == draft->row.facts.start_time) {
		/* By the kernel's own count, so that one that was missed counts. */
		draft->row.facts.execs = past->facts.execs + (draft->row.facts.exec_id - past->facts.exec_id);
		if (past->facts.first_exec_time)
			draft->row.facts.first_exec_time = past->facts.first_exec_time;
		draft->row.facts.flags |= past->facts.flags & FOLLOW_FLAGS;
	} else {
		draft->row.facts.flags |= get_marks_without_row(task);
	}

	err = bpf_map_update_elem(&processes, &pid, &draft->row, BPF_ANY);
	if (err) {
		count_refusal(pid, err, 0);
		wake_reader();
	}
	if (wants_event(KAMAP_EVENT_EXEC, &draft->row.facts, task))
		emit_exec(draft, task, now, bprm->filename);
	give_back_draft(draft);
	return 0;
}

/*
 * Fires once per thread, and for a leader that leaves before its threads or is
 * replaced by one that execs. Without `group_dead`, two threads that leave
 * together can both find nobody alive; only one of them finds the row.
 */
SEC("tp_btf/sched_process_exit")
int on_exit(u64 *ctx)
{
	const struct task_struct *task = (struct task_struct *)ctx[0];
	const struct task_struct *read = untrusted(task);
	int dead;
	int err;

	if (bpf_core_type_exists(btf_trace_sched_process_exit___group_dead)) {
		dead = ctx[1] & 0xff;
	} else {
		dead = read->signal->live.counter == 0;
		/*
		 * A thread that still has its memory is the last one, and has yet to say how
		 * much of it there was (signal->maxrss): its own exit tells. Here it has none.
		 */
		if (dead && read->signal->nr_threads > 1 && can_loop())
			dead = !others_have_memory();
	}
	if (!dead)
		return 0;

	err = remove_row(read, task->tgid);
	if (!err)
		count(exits);
	else if (err != -ENOENT)
		count(skipped);
	return 0;
}

/*
 * Tells of execs that fail. Loaded only where that is wanted: it runs at the end of
 * every system call.
 *
 * There is nothing to pair, so nothing to leak: the arguments are still in the
 * registers then.
 */
SEC("tp_btf/sys_exit")
int BPF_PROG(on_exec_failed, struct pt_regs *regs, long ret)
{
	const struct kamap_process *row;
	struct task_struct *leader;
	struct task_struct *task;
	struct kamap_facts *facts;
	struct exec_call call;
	struct draft *draft;
	u32 pid;

	/* What is begun anew by the kernel has not failed. */
	if (ret >= 0 || ret <= -ERESTARTSYS)
		return 0;
	task = bpf_get_current_task_btf();
	if (!read_exec_call(regs, task, &call))
		return 0;
	if (is_shared && is_recorded_failure(bpf_ktime_get_boot_ns()))
		return 0;
	draft = take_draft();
	if (!draft)
		return 0;
	leader = task->group_leader;
	facts = &draft->row.facts;
	put_facts(facts, leader, KAMAP_ORIGIN_FORK);
	pid = facts->pid;
	row = bpf_map_lookup_elem(&processes, &pid);
	if (row)
		copy_state(&draft->row, row);
	else
		facts->flags |= get_marks_without_row(task);
	if (has_failed_late(untrusted(task), row ? row->facts.exec_id : facts->exec_id,
			    facts->exec_id)) {
		facts->flags &= ~(KAMAP_EXE_DELETED | KAMAP_EXE_CUT);
		put_attempt(draft);
		if (wants_event(KAMAP_EVENT_EXEC_FAILED, facts, leader)) {
			if (facts->args_kept < facts->args_len)
				count(event_args_cut);
			emit_failure(draft, bpf_ktime_get_boot_ns(), -ret);
		}
		/* The exit that follows reports the program that was to run. */
		if (row)
			bpf_map_update_elem(&processes, &pid, &draft->row, BPF_EXIST);
	} else if (wants_event(KAMAP_EVENT_EXEC_FAILED, facts, leader)) {
		emit_exec_failed(draft, &call, -ret);
	}
	give_back_draft(draft);
	return 0;
}

/* Keeps what is to be executed, in case it fails. Loaded only where failed execs are wanted. */
SEC("tp_btf/sched_prepare_exec")
int BPF_PROG(on_prepare_exec, struct task_struct *task, struct linux_binprm *bprm)
{
	struct attempt *attempt =
		bpf_task_storage_get(&attempts, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!attempt)
		return 0;
	attempt->argc = bprm->argc;
	attempt->args_room = bprm->exec - bprm->p;
	bpf_probe_read_kernel_str(attempt->file, sizeof(attempt->file), bprm->filename);
	return 0;
}

/* Runs once for each thread that is alive, and once more with none. */
SEC("iter/task")
int seed(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task) {
		add_row(get_first_process());
		seeded = 1;
	} else if (task->pid == task->tgid) {
		add_row(task);
	}
	return 0;
}

/* Prints the kernel's own list of processes, to compare the table with. */
SEC("iter/task")
int tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		print_task(ctx->meta->seq, get_first_process());
	else if (task->pid == task->tgid)
		print_task(ctx->meta->seq, task);
	return 0;
}

/* Prints the rows of all processes as they are in the table, `struct kamap_process` each. */
SEC("iter/task")
int rows(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		print_row(ctx->meta->seq, get_first_process());
	else if (task->pid == task->tgid)
		print_row(ctx->meta->seq, task);
	return 0;
}

/* Prints the table as text, a line for each row, after one with the names of the columns. */
SEC("iter/task")
int table(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct seq_file *seq = ctx->meta->seq;

	if (ctx->meta->seq_num == 0)
		print_header(seq);
	if (!task)
		print_line(seq, get_first_process());
	else if (task->pid == task->tgid)
		print_line(seq, task);
	return 0;
}

/* Not attached to anything: run once by whoever has put these programs in the place of others. */
SEC("syscall")
int mark(void *ctx)
{
	emit_mark();
	return 0;
}

/* Prints what is attached and what was counted, see `struct kamap_printed_status`. */
SEC("iter/task")
int status(struct bpf_iter__task *ctx)
{
	if (!ctx->task)
		print_status(ctx->meta->seq);
	return 0;
}
