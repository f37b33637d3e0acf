/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A row in the making: what is known of a process, and the text of its executable
 * and its arguments.
 */
#ifndef ROW_BPF_H
#define ROW_BPF_H

#include "kernel.bpf.h"
#include "stats.bpf.h"

/* Bytes of text that a row has. */
static __always_inline u32 text_len(const struct kamap_facts *facts)
{
	return facts->exe_len + facts->file_len + facts->args_kept;
}

/* How far the reading of an argument list has come that was asked for (exec_failed.bpf.h). */
struct asked_at {
	u64 argv;	/* where the pointer to the argument at hand is */
	u64 done;	/* bytes of that argument */
	u32 ended;
	u32 more;	/* 1: there are more, or they could not be read */
};

/*
 * A row in the making. `room` serves twice: the path of the executable is put
 * together in it, and it lets the verifier see that text written at any offset
 * up to two paths, and up to KAMAP_TEXT_LEN long, stays inside the draft.
 */
struct draft {
	struct kamap_process row;
	char room[2 * (KAMAP_PATH_LEN + 1)];
	struct asked_at asked_at;
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
	/* Mostly the first is free. Unrolled, the others would be in the way. */
#pragma clang loop unroll(disable)
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
static __always_inline u32 put_exe(struct draft *draft, const struct task_struct *task,
				   const struct mm_struct *mm)
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
				     const struct mm_struct *mm, enum args_of of)
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
	const struct task_struct *read = untrusted(task);
	const struct mm_struct *mm = read->mm;
	u32 used;
	long len;

	if (!mm)
		return;
	used = put_exe(draft, read, mm);
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

/* The name of a task. Field accesses cost far less than bpf_probe_read_kernel. */
static __always_inline void put_comm(char *comm, const struct task_struct *task)
{
	const u64 *from = (const u64 *)task->comm;

	((u64 *)comm)[0] = from[0];
	((u64 *)comm)[1] = from[1];
}

/* All facts but those of its text and its execs, of which it says there are none. */
static __always_inline void put_facts(struct kamap_facts *facts, const struct task_struct *task,
				      enum kamap_origin origin)
{
	const struct task_struct *read = untrusted(task);
	const struct cred *cred = read->cred;

	/* A draft still holds its last row. Text beyond the lengths means nothing. */
	__builtin_memset(facts, 0, sizeof(*facts));
	facts->pid = task->tgid;
	facts->start_time = task->start_boottime;
	facts->exec_id = task->self_exec_id;
	facts->ppid = read->real_parent->tgid;
	facts->uid = cred->euid.val;
	facts->gid = cred->egid.val;
	facts->cgroup_id = read->cgroups->dfl_cgrp->kn->id;
	if (task->flags & PF_KTHREAD)
		facts->flags = KAMAP_KTHREAD;
	facts->origin = origin;
	put_comm(facts->comm, task);
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

/* What a process runs and how often it has exec'd, from its own row. */
static __always_inline void copy_state(struct kamap_process *row, const struct kamap_process *from)
{
	u32 len = from->facts.exe_len;

	row->facts.first_exec_time = from->facts.first_exec_time;
	row->facts.last_exec_time = from->facts.last_exec_time;
	row->facts.execs = from->facts.execs;
	row->facts.origin = from->facts.origin;
	row->facts.flags |= from->facts.flags &
			    (KAMAP_EXE_DELETED | KAMAP_EXE_CUT | KAMAP_FOLLOWED);
	if (len > KAMAP_PATH_LEN)	/* for the verifier */
		return;
	row->facts.exe_len = len;
	bpf_probe_read_kernel(row->text, len, from->text);
}

#endif
