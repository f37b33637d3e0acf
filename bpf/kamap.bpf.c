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
#include "events.bpf.h"
#include "stats.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * Set before loading. Since 6.16 the kernel tells sched_process_exit whether
 * the last thread of a process is leaving.
 */
const volatile u8 has_group_dead = 0;

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
 * A row in the making. `room` serves twice: the path of the executable is put
 * together in it, and it lets the verifier see that text written at any offset
 * up to two paths, and up to KAMAP_TEXT_LEN long, stays inside the draft.
 */
struct draft {
	struct kamap_process row;
	char room[2 * (KAMAP_PATH_LEN + 1)];
	u32 busy;
};

/*
 * A program takes a draft of its CPU and gives it back. One would do where
 * programs cannot be preempted; seeding can, and so can all on some kernels.
 */
#define DRAFTS 4

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DRAFTS);
	__type(key, u32);
	__type(value, struct draft);
} drafts SEC(".maps");

static __always_inline struct draft *draft_take(void)
{
	for (u32 i = 0; i < DRAFTS; i++) {
		u32 slot = i;
		struct draft *draft = bpf_map_lookup_elem(&drafts, &slot);

		if (draft && !__sync_val_compare_and_swap(&draft->busy, 0, 1))
			return draft;
	}
	count(refused);
	count(skipped);
	return NULL;
}

static __always_inline void draft_give_back(struct draft *draft)
{
	*(volatile u32 *)&draft->busy = 0;
}

/* Puts `/name` before the `*start` bytes free in draft->room; 0 if it does not fit. */
static __always_inline int put_name(struct draft *draft, u32 *start, u32 len,
				    const unsigned char *name)
{
	u32 at = *start;

	if (len >= at)
		return 0;
	at -= len + 1;
	/* No change, but the verifier cannot know that. */
	asm volatile("%0 &= %1" : "+r"(at) : "i"(KAMAP_PATH_LEN));
	asm volatile("%0 &= %1" : "+r"(len) : "i"(KAMAP_PATH_LEN));
	draft->room[at] = '/';
	bpf_probe_read_kernel(&draft->room[at + 1], len, name);
	*start = at;
	return 1;
}

/*
 * The most folders that are followed, and as many again with the mount points
 * among them. The verifier walks each in turn, which a start has to wait for.
 */
#define MAX_DEPTH 16

/*
 * The path of the executable as /proc/PID/exe has it, seen from the root of the
 * machine's init or, where that does not lead to it, of its mount namespace.
 * Returns its length. bpf_d_path may not be called from these tracepoints.
 * The path is put together from its end, in draft->room.
 */
static __always_inline u32 put_exe(struct draft *draft, struct task_struct *task,
				   struct mm_struct *mm)
{
	const struct path *init_root = &task->thread_pid->numbers[0].ns->child_reaper->fs->root;
	const struct vfsmount *init_mnt = init_root->mnt;
	const struct dentry *init_dentry = init_root->dentry;
	const struct path *path = &mm->exe_file->f_path;
	const struct vfsmount *mnt = path->mnt;
	const struct dentry *dentry = path->dentry;
	const struct dentry *root = mnt->mnt_root;
	const struct dentry *above;
	const struct mount *mount;
	u32 start = KAMAP_PATH_LEN;
	int depth;
	u32 len;

	if (!dentry)
		return 0;
	if (!dentry->d_hash.pprev)
		draft->row.facts.flags |= KAMAP_EXE_DELETED;

	/*
	 * Up to the root of the file's own mount, mostly the root of all. Field
	 * accesses cost next to nothing here, bpf_probe_read_kernel about 25 ns.
	 */
	for (depth = 0; depth < MAX_DEPTH; depth++) {
		if (dentry == root)
			break;
		/*
		 * Its own parent, yet no root of a mount: a file without a
		 * folder (a memfd) if it is the first, else out of reach.
		 */
		above = dentry->d_parent;
		if (dentry == above && depth > 0)
			goto done;
		if (!put_name(draft, &start, dentry->d_name.len, dentry->d_name.name))
			goto cut;
		dentry = above;
	}

	/*
	 * Across mount points. The verifier knows no type for what surrounds a
	 * vfsmount, so this reads by address.
	 */
	mount = container_of(mnt, struct mount, mnt);
	for (depth = 0; depth < MAX_DEPTH; depth++) {
		if (dentry == root) {
			const struct mount *under;

			if (dentry == init_dentry && &mount->mnt == init_mnt)
				goto done;
			under = BPF_CORE_READ(mount, mnt_parent);
			if (under == mount)
				goto done;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			root = BPF_CORE_READ(under, mnt.mnt_root);
			mount = under;
			continue;
		}
		if (!put_name(draft, &start, BPF_CORE_READ(dentry, d_name.len),
			      BPF_CORE_READ(dentry, d_name.name)))
			goto cut;
		dentry = BPF_CORE_READ(dentry, d_parent);
	}
cut:
	draft->row.facts.flags |= KAMAP_EXE_CUT;
done:
	len = KAMAP_PATH_LEN - start;
	asm volatile("%0 &= %1" : "+r"(len) : "i"(KAMAP_PATH_LEN));
	asm volatile("%0 &= %1" : "+r"(start) : "i"(KAMAP_PATH_LEN));
	bpf_probe_read_kernel(draft->row.text, len, &draft->room[start]);
	return len;
}

/* Whose memory put_args reads. */
enum args_of {
	ARGS_OF_CURRENT,
	ARGS_OF_OTHER,	/* for sleepable programs only */
	ARGS_OF_NOBODY,	/* they count as cut */
};

/* Puts the arguments after `used` bytes of text. */
static __always_inline void put_args(struct draft *draft, u32 used, struct task_struct *task,
				     struct mm_struct *mm, enum args_of of)
{
	unsigned long args = mm->arg_start;
	unsigned long len = mm->arg_end - args;
	u32 kept = KAMAP_TEXT_LEN - used;
	long err = -1;

	/* The kernel bounds them by far less than 4 GiB (MAX_ARG_STRLEN, rlimit). */
	draft->row.facts.args_len = len;
	if (kept > len)
		kept = len;
	if (kept > KAMAP_TEXT_LEN)	/* for the verifier */
		return;
	if (of == ARGS_OF_CURRENT)
		err = bpf_probe_read_user(draft->row.text + used, kept, (void *)args);
	else if (of == ARGS_OF_OTHER &&
		 bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_copy_from_user_task))
		err = bpf_copy_from_user_task(draft->row.text + used, kept, (void *)args,
					      task, 0);
	draft->row.facts.args_kept = err ? 0 : kept;
	if (draft->row.facts.args_kept < len)
		count(args_cut);
}

/* Puts exe, file and arguments; `file` is NULL where it is not known. */
static __always_inline void put_text(struct draft *draft, struct task_struct *task,
				     const char *file, enum args_of of)
{
	struct mm_struct *mm = task->mm;
	u32 used;
	long len;

	if (!mm)
		return;
	used = put_exe(draft, task, mm);
	draft->row.facts.exe_len = used;
	if (file) {
		len = bpf_probe_read_kernel_str(draft->row.text + used, KAMAP_PATH_LEN + 1, file);
		if (len == KAMAP_PATH_LEN + 1)
			draft->row.facts.flags |= KAMAP_FILE_CUT;
		if (len > 0) {
			/* Not counting the NUL, which the arguments overwrite. */
			len = (len - 1) & KAMAP_PATH_LEN;
			draft->row.facts.file_len = len;
			used += len;
		}
	}
	put_args(draft, used, task, mm, of);
}

/* All facts but those of its text and its execs, of which it says there are none. */
static __always_inline void put_facts(struct kamap_facts *facts, struct task_struct *task,
				      enum kamap_origin origin)
{
	/* A draft still holds its last row. Text beyond the lengths means nothing. */
	__builtin_memset(facts, 0, sizeof(*facts));
	facts->pid = task->tgid;
	facts->start_time = task->start_boottime;
	facts->exec_id = task->self_exec_id;
	facts->ppid = task->real_parent->tgid;
	facts->uid = task->cred->euid.val;
	facts->gid = task->cred->egid.val;
	facts->cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	if (task->flags & PF_KTHREAD)
		facts->flags = KAMAP_KTHREAD;
	facts->origin = origin;
	bpf_probe_read_kernel(facts->comm, sizeof(facts->comm), task->comm);
}

/* A forked child runs what its parent runs, with the same arguments. */
static __always_inline void copy_text(struct kamap_process *row, const struct kamap_process *from)
{
	u32 len = text_len(&from->facts);

	row->facts.exe_len = from->facts.exe_len;
	row->facts.file_len = from->facts.file_len;
	row->facts.args_kept = from->facts.args_kept;
	row->facts.args_len = from->facts.args_len;
	row->facts.flags |= from->facts.flags &
			    (KAMAP_EXE_DELETED | KAMAP_EXE_CUT | KAMAP_FILE_CUT);
	if (len <= KAMAP_TEXT_LEN)	/* for the verifier */
		bpf_probe_read_kernel(row->text, len, from->text);
}

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
	u32 len = facts->args_len;
	u32 room;

	if (len > max_args)
		len = max_args;
	if (len <= 1024)
		room = 1024;
	else if (len <= 2048)
		room = 2048;
	else if (len <= 4096)
		room = 4096;
	else if (len <= 16384)
		room = 16384;
	else if (len <= KAMAP_MAX_ARGS)
		room = KAMAP_MAX_ARGS;
	else
		return;	/* for the verifier */
	if (used > 2 * KAMAP_PATH_LEN)	/* for the verifier */
		return;
	event = event_reserve(2 * KAMAP_PATH_LEN + room);
	if (!event) {
		event_count_lost();
		return;
	}
	event_fill(event, KAMAP_EVENT_EXEC, time, facts);
	bpf_probe_read_kernel(event + 1, used, draft->row.text);
	event->facts.args_kept = len;
	if (bpf_probe_read_user((char *)(event + 1) + used, len, (void *)task->mm->arg_start))
		event->facts.args_kept = 0;
	event_submit(event);
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
		put_text(draft, child, NULL, ARGS_OF_CURRENT);

	/* BPF_ANY: `seed` may have met the child before this program did. */
	err = bpf_map_update_elem(&processes, &pid, &draft->row, BPF_ANY);
	if (err)
		count_refusal(pid, err, 1);
	if (event_wanted(KAMAP_EVENT_FORK, &draft->row.facts))
		event_tell_facts(KAMAP_EVENT_FORK, draft->row.facts.start_time, &draft->row.facts);
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
	put_text(draft, task, bprm->filename, ARGS_OF_CURRENT);
	draft->row.facts.first_exec_time = now;
	draft->row.facts.last_exec_time = now;
	draft->row.facts.execs = 1;
	past = bpf_map_lookup_elem(&processes, &pid);
	if (past && past->facts.start_time == draft->row.facts.start_time) {
		/* By the kernel's own count, so that one that was missed counts. */
		draft->row.facts.execs = past->facts.execs + (draft->row.facts.exec_id - past->facts.exec_id);
		if (past->facts.first_exec_time)
			draft->row.facts.first_exec_time = past->facts.first_exec_time;
	}

	err = bpf_map_update_elem(&processes, &pid, &draft->row, BPF_ANY);
	if (err)
		count_refusal(pid, err, 0);
	if (event_wanted(KAMAP_EVENT_EXEC, &draft->row.facts)) {
		if (draft->row.facts.args_kept < draft->row.facts.args_len)
			event_tell_args(draft, task, now);
		else
			event_tell_row(KAMAP_EVENT_EXEC, now, &draft->row);
	}
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
 * Removes the row of a process that has ended and tells of that, if the row was there:
 * nobody else does then. Returns what the removal did.
 */
static __always_inline int end_told(struct task_struct *task, const struct kamap_process *row,
				    u32 pid, u64 time, u32 status)
{
	const struct signal_struct *signal = task->signal;
	const struct task_struct *leader = task->group_leader;
	u32 len = text_len(&row->facts);
	struct kamap_event *event;
	int err;

	if (len > KAMAP_TEXT_LEN)	/* for the verifier */
		return bpf_map_delete_elem(&processes, &pid);
	event = event_reserve(event_room(len));
	if (!event) {
		err = bpf_map_delete_elem(&processes, &pid);
		if (!err)
			event_count_lost();
		return err;
	}
	event_fill(event, KAMAP_EVENT_EXIT, time, &row->facts);
	bpf_probe_read_kernel(event + 1, len, row->text);
	event->status = status;
	event->max_rss = signal->maxrss;
	/* The main thread may have left before, but is released last. */
	event->cpu_time = signal->sum_sched_runtime + task->se.sum_exec_runtime;
	if (leader != task)
		event->cpu_time += leader->se.sum_exec_runtime;
	err = bpf_map_delete_elem(&processes, &pid);
	if (err)
		bpf_ringbuf_discard(event, BPF_RB_NO_WAKEUP);
	else
		event_submit(event);
	return err;
}

/* Removes the row of a process that has ended. */
static __always_inline int end(struct task_struct *task, u32 pid)
{
	const struct kamap_process *row;
	u64 now;
	u32 status;

	if (!(wanted_events & KAMAP_EVENT_EXIT))
		return bpf_map_delete_elem(&processes, &pid);
	row = bpf_map_lookup_elem(&processes, &pid);
	if (!row)
		return -ENOENT;
	now = bpf_ktime_get_boot_ns();
	status = status_of(task);
	if (!event_wanted(KAMAP_EVENT_EXIT, &row->facts) ||
	    now - row->facts.start_time < filter.min_duration || (filter.failed && !status))
		return bpf_map_delete_elem(&processes, &pid);
	return end_told(task, row, pid, now, status);
}

/*
 * Fires once per thread, and for a leader that leaves before its threads or is
 * replaced by one that execs. Without `group_dead`, two threads that leave
 * together can both find nobody alive; only one of them finds the row.
 */
SEC("tp_btf/sched_process_exit")
int on_exit(u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	int dead;
	int err;

	if (has_group_dead)
		dead = ctx[1] & 0xff;
	else
		dead = task->signal->live.counter == 0;
	if (!dead)
		return 0;

	err = end(task, task->tgid);
	if (!err)
		count(exits);
	else if (err != -ENOENT)
		count(skipped);
	return 0;
}

/*
 * Adds a process that was alive before the programs were attached, or that found
 * no room until now. A row that a tracepoint wrote is never overwritten.
 *
 * The process may end meanwhile. The exit program runs after `live` has dropped
 * to 0, and both take the lock of the row's bucket: either it comes second and
 * finds the row, or it came first and `live` is seen as 0 here. Then the row is
 * taken back, if it still is the one added here.
 */
static __always_inline void add(struct task_struct *task, enum args_of of)
{
	/*
	 * Read once: a leader that is replaced by a thread's exec is gone, its
	 * process is not, and they share this.
	 */
	struct signal_struct *signal = task->signal;
	u64 start_time = task->start_boottime;
	const struct kamap_process *row;
	u32 pid = task->tgid;
	struct draft *draft;
	int err;

	if (signal->live.counter == 0 || bpf_map_lookup_elem(&processes, &pid))
		return;
	draft = draft_take();
	if (!draft)
		return;
	put_facts(&draft->row.facts, task, KAMAP_ORIGIN_SEED);
	put_text(draft, task, NULL, of);

	err = bpf_map_update_elem(&processes, &pid, &draft->row, BPF_NOEXIST);
	draft_give_back(draft);
	if (err) {
		if (err != -EEXIST)
			count_refusal(pid, err, !seeded);
		return;
	}
	if (signal->live.counter == 0) {
		row = bpf_map_lookup_elem(&processes, &pid);
		if (row && row->facts.origin == KAMAP_ORIGIN_SEED &&
		    row->facts.start_time == start_time)
			bpf_map_delete_elem(&processes, &pid);
	}
}

/*
 * Some hosts hide their PID 1 from the iterator (seen on a 6.18 that runs virtual
 * machines); /proc has it. It never ends.
 */
static __always_inline struct task_struct *first_process(void)
{
	return bpf_get_current_task_btf()->thread_pid->numbers[0].ns->child_reaper;
}

/*
 * Runs once for each thread that is alive, and once more with none. Made
 * sleepable before loading where the kernel has bpf_copy_from_user_task, which
 * waits for pages that are not in memory.
 */
SEC("iter/task")
int seed(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task) {
		add(first_process(), ARGS_OF_NOBODY);
		seeded = 1;
	} else if (task->pid == task->tgid) {
		add(task, ARGS_OF_OTHER);
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
	struct kamap_task out = {
		.start_time = task->start_boottime,
		.exec_id = task->self_exec_id,
		.pid = task->tgid,
		.life = life_of(task),
		.kernel_thread = !!(task->flags & PF_KTHREAD),
	};

	bpf_probe_read_kernel(out.comm, sizeof(out.comm), task->comm);
	print(seq, &out);
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
