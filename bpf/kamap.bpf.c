// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The table of processes: a row is written when a process starts (fork) and
 * when it execs, and removed when its last thread has gone.
 *
 * All three tracepoints run in the context of the task they tell of (fork: of
 * its parent, before the child first runs), so no two programs ever write the
 * same row at once. The one exception is seeding, see `add`.
 *
 * Every write replaces a whole row, built aside in `drafts`: whoever reads
 * the table under its locks (by batch) sees the row before or after, never half
 * of one.
 */
#include "kernel.bpf.h"
#include "cpu_time.bpf.h"
#include "events.bpf.h"
#include "exec_failed.bpf.h"
#include "long_path.bpf.h"
#include "row.bpf.h"
#include "stats.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The first PID that found no room in the table, 0 if there is none. */
u32 first_refused = 0;

/* Whether `seed` has run to its end once. */
u32 seeded = 0;

/* pid -> row. max_entries is set before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, struct kamap_process);
} processes SEC(".maps");

/*
 * pid -> the arguments of a process that `seed` is to add. User space fills it before `seed` runs and
 * empties it after: reading the memory of another process can take as long as that likes.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, struct kamap_given_args);
} given_args SEC(".maps");

/*
 * Counts what became of writing a row; `first` where a process is first seen.
 *
 * What the map helpers return is kept in an int everywhere: before 6.4 (kernel
 * commit d7ba4cc900bf) the upper half of the register holds no sign.
 */
static __always_inline void count_refusal(u32 pid, int err, int first)
{
	count(refused);
	if (err == -E2BIG) {
		/*
		 * A process is counted once, at its start: an exec that finds
		 * the table still full loses no further process.
		 */
		if (!first)
			return;
		count(table_full);
		__sync_val_compare_and_swap(&first_refused, 0, pid);
	} else {
		count(skipped);
	}
}

/*
 * Tells of an exec whose arguments do not fit into a row: they are read again, as far
 * as max_args allows.
 */
static __always_inline void event_tell_args(struct draft *draft, struct task_struct *task,
					    u64 time)
{
	const struct kamap_facts *facts = &draft->row.facts;
	u32 used = facts->exe_len + facts->file_len;
	struct kamap_event *event;
	u32 room = event_args_room(facts->args_len);
	u32 len = facts->args_len;
	char *text;

	if (len > max_args)
		len = max_args;
	if (!room || len > room)	/* for the verifier */
		return;
	if (used > 2 * KAMAP_PATH_LEN)	/* for the verifier */
		return;
	event = event_reserve(2 * KAMAP_PATH_LEN + room);
	if (!event) {
		event_count_lost();
		return;
	}
	event_fill(event, KAMAP_EVENT_EXEC, time, facts, task);
	text = event_text(event);
	bpf_probe_read_kernel(text, used, draft->row.text);
	event->facts.args_kept = len;
	if (bpf_probe_read_user(text + used, len, (void *)untrusted(task)->mm->arg_start))
		event->facts.args_kept = 0;
	if (event->facts.args_kept < facts->args_len)
		count(event_args_cut);
	event_submit(event, event_size(2 * KAMAP_PATH_LEN + room), 0);
}

/*
 * Tells of an exec whose paths do not fit into a row: they are read again, as are its arguments.
 */
static __always_inline void event_tell_paths(struct draft *draft, struct task_struct *task, u64 time,
					     const char *file)
{
	const u32 room = max_args > 4096 ? KAMAP_MAX_ARGS : 4096;
	const struct task_struct *read = untrusted(task);
	struct kamap_facts *facts;
	struct kamap_event *event;
	u32 used = 0;
	u32 whole;
	u32 kept;
	char *text;
	long len;

	event = event_reserve(LONG_PATHS + room);
	if (!event) {
		event_count_lost();
		return;
	}
	event_fill(event, KAMAP_EVENT_EXEC, time, &draft->row.facts, task);
	facts = &event->facts;
	text = event_text(event);
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
	event_submit(event, event_size(LONG_PATHS + room), 0);
}

/* Tells of an exec, as its row has it or, where that has no room for all, with more. */
static __always_inline void event_tell_exec(struct draft *draft, struct task_struct *task, u64 time,
					    const char *file)
{
	const struct kamap_facts *facts = &draft->row.facts;

	if ((facts->flags & (KAMAP_EXE_CUT | KAMAP_FILE_CUT)) &&
	    bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop)) {
		event_tell_paths(draft, task, time, file);
	} else if (facts->args_kept < facts->args_len) {
		event_tell_args(draft, task, time);
	} else {
		/* User space shortens what is in a row. */
		if (facts->args_len > max_args)
			count(event_args_cut);
		event_tell_row(KAMAP_EVENT_EXEC, time, 0, &draft->row, task);
	}
}

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
	count(forks);
	draft = draft_take();
	if (!draft)
		return 0;

	from = bpf_map_lookup_elem(&processes, &parent_pid);
	put_facts(&draft->row.facts, child, KAMAP_ORIGIN_FORK);
	if (from)
		copy_text(&draft->row, from);
	else
		put_text(draft, child, NULL);
	if (is_followed(parent, from, pid))
		draft->row.facts.flags |= KAMAP_FOLLOWED;

	/* BPF_ANY: `seed` may have met the child before this program did. */
	err = bpf_map_update_elem(&processes, &pid, &draft->row, BPF_ANY);
	if (err)
		count_refusal(pid, err, 1);
	if (event_wanted(KAMAP_EVENT_FORK, &draft->row.facts, child))
		event_tell_row(KAMAP_EVENT_FORK, draft->row.facts.start_time, 0, &draft->row,
			       child);
	draft_give_back(draft);
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

	count(execs);
	draft = draft_take();
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
		draft->row.facts.flags |= past->facts.flags & KAMAP_FOLLOWED;
	} else if (is_followed_without_row(task)) {
		draft->row.facts.flags |= KAMAP_FOLLOWED;
	}

	err = bpf_map_update_elem(&processes, &pid, &draft->row, BPF_ANY);
	if (err)
		count_refusal(pid, err, 0);
	if (event_wanted(KAMAP_EVENT_EXEC, &draft->row.facts, task))
		event_tell_exec(draft, task, now, bprm->filename);
	draft_give_back(draft);
	return 0;
}

/* The status as wait() gives it. */
static __always_inline u32 status_of(const struct task_struct *task)
{
	const struct signal_struct *signal = task->signal;

	if (signal->flags & SIGNAL_GROUP_EXIT)
		return signal->group_exit_code;
	return task->group_leader->exit_code;
}

/*
 * Whether the arguments of an exit are cut, and no exec has said so: it was not to be told,
 * or there was none since the programs were attached.
 */
static __always_inline int is_cut_untold(const struct kamap_facts *facts)
{
	if ((wanted_events & KAMAP_EVENT_EXEC) && facts->last_exec_time)
		return 0;
	return facts->args_kept < facts->args_len || facts->args_kept > max_args;
}

/*
 * Removes the row of a process that has ended and tells of that, if the row was there:
 * nobody else does then. Returns what the removal did.
 */
static __always_inline int end_told(const struct task_struct *task, const struct kamap_process *row,
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
	room = event_room(len);
	event = event_reserve(room);
	if (!event) {
		err = bpf_map_delete_elem(&processes, &pid);
		if (!err)
			event_count_lost();
		return err;
	}
	event_fill(event, KAMAP_EVENT_EXIT, time, facts, task);
	event_put_text(event, row, len);
	event->status = status;
	event->max_rss = signal->maxrss;
	event->cpu_time = cpu_time_of(task, time);
	err = bpf_map_delete_elem(&processes, &pid);
	if (err) {
		bpf_ringbuf_discard(event, BPF_RB_NO_WAKEUP);
		return err;
	}
	if (is_cut_untold(&event->facts))
		count(event_args_cut);
	/* Who follows a process waits for its end. */
	event_submit(event, event_size(room), pid == followed);
	return 0;
}

/* Removes the row of a process that has ended. */
static __always_inline int end(const struct task_struct *task, u32 pid)
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
	status = status_of(task);
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
	if (!event_wanted(KAMAP_EVENT_EXIT, &facts, leader) ||
	    now - facts.start_time < filter.min_duration || (filter.failed && !status))
		return bpf_map_delete_elem(&processes, &pid);
	return end_told(task, row, &facts, now, status);
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
		if (dead && read->signal->nr_threads > 1 && can_walk_threads())
			dead = !others_have_memory(read);
	}
	if (!dead)
		return 0;

	err = end(read, task->tgid);
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
	if (!exec_call_of(regs, task, &call))
		return 0;
	draft = draft_take();
	if (!draft)
		return 0;
	leader = task->group_leader;
	facts = &draft->row.facts;
	put_facts(facts, leader, KAMAP_ORIGIN_FORK);
	pid = facts->pid;
	row = bpf_map_lookup_elem(&processes, &pid);
	if (row)
		copy_state(&draft->row, row);
	else if (is_followed_without_row(task))
		facts->flags |= KAMAP_FOLLOWED;
	if (has_failed_late(untrusted(task), row ? row->facts.exec_id : facts->exec_id,
			    facts->exec_id)) {
		facts->flags &= ~(KAMAP_EXE_DELETED | KAMAP_EXE_CUT);
		put_attempt(draft, task);
		if (event_wanted(KAMAP_EVENT_EXEC_FAILED, facts, leader)) {
			if (facts->args_kept < facts->args_len)
				count(event_args_cut);
			event_tell_row(KAMAP_EVENT_EXEC_FAILED, bpf_ktime_get_boot_ns(), -ret,
				       &draft->row, leader);
		}
		/* The exit that follows reports the program that was to run. */
		if (row)
			bpf_map_update_elem(&processes, &pid, &draft->row, BPF_EXIST);
	} else if (event_wanted(KAMAP_EVENT_EXEC_FAILED, facts, leader)) {
		event_tell_exec_failed(draft, leader, &call, -ret);
	}
	draft_give_back(draft);
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
static __always_inline void add(struct task_struct *task)
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
	draft = draft_try();
	if (!draft) {
		/* Next time. */
		count(refused);
		return;
	}
	put_facts(&draft->row.facts, task, KAMAP_ORIGIN_SEED);
	if (is_followed_without_row(task))
		draft->row.facts.flags |= KAMAP_FOLLOWED;
	if (mm) {
		u32 used = put_exe(draft, read, mm);

		draft->row.facts.exe_len = used;
		put_given_args(draft, used, mm);
	} else if (!(task->flags & PF_KTHREAD)) {
		/* Its main thread has gone, and only that leads to the arguments. */
		put_args_len(&draft->row.facts, 1, 0);
	}

	err = bpf_map_update_elem(&processes, &pid, &draft->row, BPF_NOEXIST);
	draft_give_back(draft);
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
static __always_inline struct task_struct *first_process(void)
{
	return untrusted(bpf_get_current_task_btf())->thread_pid->numbers[0].ns->child_reaper;
}

/* Runs once for each thread that is alive, and once more with none. */
SEC("iter/task")
int seed(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task) {
		add(first_process());
		seeded = 1;
	} else if (task->pid == task->tgid) {
		add(task);
	}
	return 0;
}

static __always_inline enum kamap_life life_of(const struct task_struct *task)
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
static __noinline void print(struct seq_file *seq, const struct kamap_task *out)
{
	/* What does not fit is asked for again, with the next read. */
	bpf_seq_write(seq, (void *)out, sizeof(*out));
}

static __always_inline void print_task(struct seq_file *seq, const struct task_struct *task)
{
	const struct task_struct *read = untrusted(task);
	const struct mm_struct *mm = read->mm;
	struct kamap_task out = { .life = life_of(read) };
	struct draft *draft = NULL;
	u32 used;

	put_facts(&out.facts, task, KAMAP_ORIGIN_SEED);
	if (mm)
		draft = draft_try();
	if (!draft) {
		print(seq, &out);
		return;
	}
	draft->row.facts.flags = 0;
	used = put_exe(draft, read, mm);
	out.facts.flags |= draft->row.facts.flags;
	out.facts.exe_len = used;
	print(seq, &out);
	if (used <= KAMAP_PATH_LEN)	/* for the verifier */
		bpf_seq_write(seq, draft->row.text, used);
	draft_give_back(draft);
}

/* Prints the kernel's own list of processes, to compare the table with. */
SEC("iter/task")
int tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		print_task(ctx->meta->seq, first_process());
	else if (task->pid == task->tgid)
		print_task(ctx->meta->seq, task);
	return 0;
}
