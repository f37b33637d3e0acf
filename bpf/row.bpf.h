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

/* Returns NULL where all are taken. */
static __always_inline struct draft *draft_try(void)
{
	/* Mostly the first is free. Unrolled, the others would be in the way. */
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < DRAFTS; i++) {
		u32 slot = i;
		struct draft *draft = bpf_map_lookup_elem(&drafts, &slot);

		if (draft && !__sync_val_compare_and_swap(&draft->busy, 0, 1))
			return draft;
	}
	return NULL;
}

/* The same for what happens once: it is lost where all are taken. */
static __always_inline struct draft *draft_take(void)
{
	struct draft *draft = draft_try();

	if (!draft) {
		count(refused);
		count(skipped);
	}
	return draft;
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

/* Says how long the arguments are, and how much of them was kept. */
static __always_inline void put_args_len(struct kamap_facts *facts, u64 len, u32 kept)
{
	/* Whoever chooses where they lie can have them as long as its address space. */
	facts->args_len = len > ~0U ? ~0U : len;
	facts->args_kept = kept;
	if (kept < len)
		count(args_cut);
}

/* Puts the arguments of the current process after `used` bytes of text. */
static __always_inline void put_args(struct draft *draft, u32 used, const struct mm_struct *mm)
{
	unsigned long args = mm->arg_start;
	unsigned long len = mm->arg_end - args;
	u32 kept = KAMAP_TEXT_LEN - used;

	if (kept > len)
		kept = len;
	if (kept > KAMAP_TEXT_LEN)	/* for the verifier */
		return;
	if (bpf_probe_read_user(draft->row.text + used, kept, (void *)args))
		kept = 0;
	put_args_len(&draft->row.facts, len, kept);
}

/* Puts `file`, a string of the kernel, after `used` bytes of text; returns how many there are. */
static __always_inline u32 put_file(struct draft *draft, u32 used, const char *file)
{
	struct kamap_facts *facts = &draft->row.facts;
	long len = bpf_probe_read_kernel_str(draft->row.text + used, KAMAP_PATH_LEN + 1, file);

	if (len <= 0)
		return used;
	if (len == KAMAP_PATH_LEN + 1)
		facts->flags |= KAMAP_FILE_CUT;
	facts->flags |= KAMAP_FILE_KNOWN;
	/* Not counting the NUL, which the arguments overwrite. */
	len = (len - 1) & KAMAP_PATH_LEN;
	facts->file_len = len;
	return used + len;
}

/* Puts exe, file and arguments of the current process; `file` is NULL where it is not known. */
static __always_inline void put_text(struct draft *draft, const struct task_struct *task,
				     const char *file)
{
	const struct task_struct *read = untrusted(task);
	const struct mm_struct *mm = read->mm;
	u32 used;

	if (!mm)
		return;
	used = put_exe(draft, read, mm);
	draft->row.facts.exe_len = used;
	if (file)
		used = put_file(draft, used, file);
	put_args(draft, used, mm);
}

/*
 * Whether the memory is that of a program which is still being loaded, or could not be: the end of the
 * environment is the last that is put there (create_elf_tables in fs/binfmt_elf.c).
 */
static __always_inline int is_half_made(const struct mm_struct *mm)
{
	return mm && !mm->env_end;
}

/* The name of a task. Field accesses cost far less than bpf_probe_read_kernel. */
static __always_inline void put_comm(char *comm, const struct task_struct *task)
{
	const u64 *from = (const u64 *)task->comm;

	((u64 *)comm)[0] = from[0];
	((u64 *)comm)[1] = from[1];
}

/*
 * What can change while a process lives: as it is now. `leader` leads it. The credentials are those
 * that others see (ps, /proc), not those that a thread has taken on for a moment.
 */
static __always_inline void put_state(struct kamap_facts *facts, const struct task_struct *leader)
{
	const struct task_struct *read = untrusted(leader);
	const struct task_struct *parent = read->real_parent->group_leader;
	const struct cred *cred = read->real_cred;

	facts->ppid = parent->tgid;
	facts->parent_start_time = parent->start_boottime;
	facts->uid = cred->euid.val;
	facts->gid = cred->egid.val;
	facts->cgroup_id = read->cgroups->dfl_cgrp->kn->id;
	put_comm(facts->comm, leader);
}

/* All facts but those of its text and its execs, of which it says there are none. */
static __always_inline void put_facts(struct kamap_facts *facts, const struct task_struct *leader,
				      enum kamap_origin origin)
{
	/* A draft still holds its last row. Text beyond the lengths means nothing. */
	__builtin_memset(facts, 0, sizeof(*facts));
	facts->pid = leader->tgid;
	facts->start_time = leader->start_boottime;
	facts->exec_id = leader->self_exec_id;
	if (leader->flags & PF_KTHREAD)
		facts->flags = KAMAP_KTHREAD;
	facts->origin = origin;
	put_state(facts, leader);
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
			    (KAMAP_EXE_DELETED | KAMAP_EXE_CUT | KAMAP_FILE_CUT |
			     KAMAP_FILE_KNOWN | KAMAP_PROGRAM_SEEN);
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
			    (KAMAP_EXE_DELETED | KAMAP_EXE_CUT | KAMAP_FOLLOWED |
			     KAMAP_PROGRAM_SEEN);
	if (len > KAMAP_PATH_LEN)	/* for the verifier */
		return;
	row->facts.exe_len = len;
	bpf_probe_read_kernel(row->text, len, from->text);
}

#endif
