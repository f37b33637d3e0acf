/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a row says: what is known of a process, and the text of its executable
 * and its arguments.
 */
#ifndef ROW_BPF_H
#define ROW_BPF_H

#include "draft.bpf.h"
#include "kernel.bpf.h"
#include "path.bpf.h"
#include "stats.bpf.h"

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
			     KAMAP_FOLLOW_ID | KAMAP_PROGRAM_SEEN);
	if (len > KAMAP_PATH_LEN)	/* for the verifier */
		return;
	row->facts.exe_len = len;
	bpf_probe_read_kernel(row->text, len, from->text);
}

#endif
