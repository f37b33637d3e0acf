/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The path of an executable: as much as a row holds, and all of it for an event. That needs bpf_loop
 * (5.17). bpf_d_path may not be called from these tracepoints.
 */
#ifndef PATH_BPF_H
#define PATH_BPF_H

#include "draft.bpf.h"
#include "kernel.bpf.h"

/* A walk from a file up to the root of init, which puts the path together from its end. */
struct path_walk {
	const struct dentry *dentry;
	const struct dentry *root;
	const struct mount *mount;
	const struct dentry *init_dentry;
	const struct vfsmount *init_mnt;
	char *room;
	u32 start;	/* bytes that are free */
	u32 whole;	/* 1: the root was reached */
};

/* A field of the struct at an address. */
#define read_at(type, address, field)						\
	(can_cast() ? cast_to(type, address)->field				\
		    : BPF_CORE_READ((struct type *)(address), field))

/* One name, or one mount point. `limit`: the most bytes that a path can have, one less than a power of two. */
static __always_inline long walk_up(u32 i, struct path_walk *walk, const u32 limit)
{
	const struct dentry *dentry = walk->dentry;
	const struct mount *mount = walk->mount;
	const struct mount *under;
	const struct dentry *above;
	const unsigned char *name;
	u32 at = walk->start;
	u32 len;

	if (dentry == walk->root) {
		under = read_at(mount, mount, mnt_parent);
		if ((dentry == walk->init_dentry && &mount->mnt == walk->init_mnt) ||
		    under == mount) {
			walk->whole = 1;
			return 1;
		}
		walk->dentry = read_at(mount, mount, mnt_mountpoint);
		walk->root = read_at(mount, under, mnt.mnt_root);
		walk->mount = under;
		return 0;
	}
	/*
	 * Its own parent, yet no root of a mount: a file without a folder (a memfd) if it is the first,
	 * else out of reach.
	 */
	above = read_at(dentry, dentry, d_parent);
	if (dentry == above && i > 0) {
		walk->whole = 1;
		return 1;
	}
	len = read_at(dentry, dentry, d_name.len);
	name = read_at(dentry, dentry, d_name.name);
	if (len >= at)
		return 1;
	at -= len + 1;
	/* No change, but the verifier cannot know that. */
	asm volatile("%0 &= %1" : "+r"(at) : "i"(limit));
	asm volatile("%0 &= %1" : "+r"(len) : "i"(255));
	walk->room[at] = '/';
	bpf_probe_read_kernel(&walk->room[at + 1], len, name);
	walk->start = at;
	walk->dentry = above;
	return 0;
}

static __always_inline struct path_walk begin_walk(const struct task_struct *task,
						   const struct mm_struct *mm, char *room, u32 room_len)
{
	const struct path *init_root = &task->thread_pid->numbers[0].ns->child_reaper->fs->root;
	const struct path *path = &mm->exe_file->f_path;
	const struct vfsmount *mnt = path->mnt;
	const struct mount *mount = container_of(mnt, struct mount, mnt);

	/* As walk_up leaves it, so that the verifier does not take the first round for another one. */
	if (can_cast())
		mount = cast_to(mount, mount);
	return (struct path_walk){
		.dentry = path->dentry,
		.root = mnt->mnt_root,
		.mount = mount,
		.init_dentry = init_root->dentry,
		.init_mnt = init_root->mnt,
		.room = room,
		.start = room_len,
	};
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
 * Before 6.2: the most folders that are followed, and as many again with the mount points
 * among them. The verifier walks each in turn, which a start has to wait for.
 */
#define MAX_DEPTH 16

/* The same walk for kernels where reading by address costs a call of a helper. */
static __always_inline void walk_up_unrolled(struct draft *draft, struct path_walk *walk)
{
	const struct dentry *dentry = walk->dentry;
	const struct dentry *root = walk->root;
	const struct mount *mount = walk->mount;
	const struct dentry *above;
	u32 start = walk->start;
	int depth;

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
			goto whole;
		if (!put_name(draft, &start, dentry->d_name.len, dentry->d_name.name))
			goto out;
		dentry = above;
	}

	/*
	 * Across mount points. The verifier knows no type for what surrounds a
	 * vfsmount, so this reads by address.
	 */
	for (depth = 0; depth < MAX_DEPTH; depth++) {
		if (dentry == root) {
			const struct mount *under;

			if (dentry == walk->init_dentry && &mount->mnt == walk->init_mnt)
				goto whole;
			under = BPF_CORE_READ(mount, mnt_parent);
			if (under == mount)
				goto whole;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			root = BPF_CORE_READ(under, mnt.mnt_root);
			mount = under;
			continue;
		}
		if (!put_name(draft, &start, BPF_CORE_READ(dentry, d_name.len),
			      BPF_CORE_READ(dentry, d_name.name)))
			goto out;
		dentry = BPF_CORE_READ(dentry, d_parent);
	}
	goto out;
whole:
	walk->whole = 1;
out:
	walk->start = start;
}

static long walk_up_short(u32 i, struct path_walk *walk)
{
	return walk_up(i, walk, KAMAP_PATH_LEN);
}

/*
 * The path of the executable as /proc/PID/exe has it, seen from the root of the
 * machine's init or, where that does not lead to it, of its mount namespace.
 * Returns its length. bpf_d_path may not be called from these tracepoints.
 * The path is put together from its end, in draft->room.
 */
static __always_inline u32 put_exe(struct draft *draft, const struct task_struct *task,
				   const struct mm_struct *mm)
{
	struct path_walk walk = begin_walk(task, mm, draft->room, KAMAP_PATH_LEN);
	const struct dentry *dentry = mm->exe_file->f_path.dentry;
	u32 start;
	u32 len;

	if (!dentry)
		return 0;
	if (!dentry->d_hash.pprev)
		draft->row.facts.flags |= KAMAP_EXE_DELETED;
	if (can_loop() && can_cast())
		bpf_loop(KAMAP_PATH_LEN, walk_up_short, &walk, 0);
	else
		walk_up_unrolled(draft, &walk);
	if (!walk.whole)
		draft->row.facts.flags |= KAMAP_EXE_CUT;
	start = walk.start;
	len = KAMAP_PATH_LEN - start;
	asm volatile("%0 &= %1" : "+r"(len) : "i"(KAMAP_PATH_LEN));
	asm volatile("%0 &= %1" : "+r"(start) : "i"(KAMAP_PATH_LEN));
	bpf_probe_read_kernel(draft->row.text, len, &draft->room[start]);
	return len;
}

/* A name and what is free before it; a name is never longer than NAME_MAX, 255. */
struct long_path {
	char room[KAMAP_LONG_PATH_LEN + 1 + 256];
	u32 busy;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct long_path);
} long_paths SEC(".maps");

/* The most names and mount points of a path: each takes two bytes of it, or none. */
#define MAX_NAMES (KAMAP_LONG_PATH_LEN + 1)

static long walk_up_long(u32 i, struct path_walk *walk)
{
	return walk_up(i, walk, KAMAP_LONG_PATH_LEN);
}

/*
 * Puts the path at `text`, where there is room for KAMAP_LONG_PATH_LEN bytes; returns its length, 0
 * if that could not be done. `whole` says whether none of it is left out.
 */
static __always_inline u32 put_long_exe(char *text, const struct task_struct *task, u32 *whole)
{
	struct path_walk walk;
	struct long_path *long_path;
	u32 slot = 0;
	u32 len;

	*whole = 0;
	long_path = bpf_map_lookup_elem(&long_paths, &slot);
	if (!long_path || __sync_val_compare_and_swap(&long_path->busy, 0, 1))
		return 0;
	walk = begin_walk(task, task->mm, long_path->room, KAMAP_LONG_PATH_LEN);
	bpf_loop(MAX_NAMES, walk_up_long, &walk, 0);
	len = (KAMAP_LONG_PATH_LEN - walk.start) & KAMAP_LONG_PATH_LEN;
	bpf_probe_read_kernel(text, len, long_path->room + (walk.start & KAMAP_LONG_PATH_LEN));
	*(volatile u32 *)&long_path->busy = 0;
	*whole = walk.whole;
	return len;
}

#endif
