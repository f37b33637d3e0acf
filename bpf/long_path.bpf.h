/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The path of an executable that is too long, or too deep, for a row: put together once more for the
 * event, from its end, in a buffer of its own. Needs bpf_loop (5.17).
 */
#ifndef LONG_PATH_BPF_H
#define LONG_PATH_BPF_H

#include "kernel.bpf.h"

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

/* A walk from a file up to the root of init, see put_exe in row.bpf.h. */
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

static long walk_up(u32 i, struct path_walk *walk)
{
	const struct dentry *dentry = walk->dentry;
	const struct mount *mount = walk->mount;
	const struct mount *under;
	const struct dentry *above;
	u32 at = walk->start;
	u32 len;

	if (dentry == walk->root) {
		under = BPF_CORE_READ(mount, mnt_parent);
		if ((dentry == walk->init_dentry && &mount->mnt == walk->init_mnt) ||
		    under == mount) {
			walk->whole = 1;
			return 1;
		}
		walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		walk->root = BPF_CORE_READ(under, mnt.mnt_root);
		walk->mount = under;
		return 0;
	}
	above = BPF_CORE_READ(dentry, d_parent);
	if (dentry == above && i > 0) {
		walk->whole = 1;
		return 1;
	}
	len = BPF_CORE_READ(dentry, d_name.len);
	if (len >= at)
		return 1;
	at -= len + 1;
	at &= KAMAP_LONG_PATH_LEN;
	bpf_probe_read_kernel(walk->room + at, 1, "/");
	bpf_probe_read_kernel(walk->room + at + 1, len & 255, BPF_CORE_READ(dentry, d_name.name));
	walk->start = at;
	walk->dentry = above;
	return 0;
}

/*
 * Puts the path at `text`, where there is room for KAMAP_LONG_PATH_LEN bytes; returns its length, 0
 * if that could not be done. `whole` says whether none of it is left out.
 */
static __always_inline u32 put_long_exe(char *text, const struct task_struct *task, u32 *whole)
{
	const struct path *init_root = &task->thread_pid->numbers[0].ns->child_reaper->fs->root;
	const struct path *path = &task->mm->exe_file->f_path;
	struct path_walk walk = {
		.dentry = path->dentry,
		.root = path->mnt->mnt_root,
		.mount = container_of(path->mnt, struct mount, mnt),
		.init_dentry = init_root->dentry,
		.init_mnt = init_root->mnt,
		.start = KAMAP_LONG_PATH_LEN,
	};
	struct long_path *long_path;
	u32 slot = 0;
	u32 len;

	*whole = 0;
	long_path = bpf_map_lookup_elem(&long_paths, &slot);
	if (!long_path || __sync_val_compare_and_swap(&long_path->busy, 0, 1))
		return 0;
	walk.room = long_path->room;
	bpf_loop(MAX_NAMES, walk_up, &walk, 0);
	len = (KAMAP_LONG_PATH_LEN - walk.start) & KAMAP_LONG_PATH_LEN;
	bpf_probe_read_kernel(text, len, long_path->room + (walk.start & KAMAP_LONG_PATH_LEN));
	*(volatile u32 *)&long_path->busy = 0;
	*whole = walk.whole;
	return len;
}

#endif
