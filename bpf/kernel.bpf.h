/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The few kernel types that the programs read. Only the fields in use are
 * declared; libbpf finds each by name in the running kernel's BTF (CO-RE), so
 * neither order nor offset matters here.
 *
 * Includes libbpf's helpers, which need the fixed-width types first.
 */
#ifndef KERNEL_BPF_H
#define KERNEL_BPF_H

#include "kamap.h"

typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef u16 __be16;
typedef u32 __be32;
typedef u32 __wsum;

/* Of the kernel's user ABI: linux/bpf.h and asm-generic/errno*.h. */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
};
enum {
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
};
enum {
	BPF_RB_AVAIL_DATA = 0,
};
enum {
	BPF_RINGBUF_HDR_SZ = 8,
};
#define ENOENT 2
#define E2BIG 7
#define EEXIST 17
#define ERESTARTSYS 512	/* and above: not seen by user space */
#define AT_FDCWD -100

#define offsetof(type, member) __builtin_offsetof(type, member)
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

/* include/linux/sched.h; never renumbered since 2.6 */
#define PF_KTHREAD 0x00200000
/* include/linux/sched.h; since 4.8 */
#define TASK_NEW 0x00000800
/* arch/x86/include/asm/thread_info.h: in a system call of 32 bits */
#define TS_COMPAT 0x0002
/* include/linux/sched/signal.h; never renumbered since 2.6 */
#define SIGNAL_GROUP_EXIT 0x00000004

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	u32 val;
} kuid_t;

typedef struct {
	u32 val;
} kgid_t;

struct cred {
	kuid_t euid;
	kgid_t egid;
};

struct qstr {
	u32 len;
	const unsigned char *name;
};

struct hlist_bl_node {
	struct hlist_bl_node **pprev;
};

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
	struct file *exe_file;
};

struct fs_struct {
	struct path root;
};

struct kernfs_node {
	u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct list_head {
	struct list_head *next;
};

struct signal_struct {
	atomic_t live;		/* threads that have not begun to exit */
	int nr_threads;		/* threads that have not been released, and a list of these */
	struct list_head thread_head;
	unsigned int flags;
	int group_exit_code;
	/* Of threads that have been released: */
	unsigned long long sum_sched_runtime;
	unsigned long maxrss;	/* in pages */
};

struct sched_entity {
	u64 sum_exec_runtime;
};

struct pid_namespace {
	struct task_struct *child_reaper;
};

struct upid {
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;	/* of its PID namespace; 0: the initial one */
	struct upid numbers[1];	/* [0] is in the initial PID namespace */
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

/* On x86. */
struct thread_info {
	u32 status;
};

/* Of x86: what a system call was called with, and its number. */
struct pt_regs {
	unsigned long bx;
	unsigned long cx;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long r10;
	unsigned long orig_ax;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int __state;	/* `state` before 5.14 */
	int exit_state;
	int exit_code;
	unsigned int in_execve : 1;
	unsigned int flags;
	int pid;
	int tgid;
	u64 start_boottime;
	u64 self_exec_id;	/* 64 bits since 5.7 */
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct list_head thread_node;	/* in the list of its process */
	struct sched_entity se;
	const struct cred *cred;
	struct mm_struct *mm;
	struct signal_struct *signal;
	struct css_set *cgroups;
	struct pid *thread_pid;
	struct fs_struct *fs;
	char comm[KAMAP_COMM_LEN];
};

struct linux_binprm {
	const char *filename;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

/*
 * For bpf_core_type_exists, which counts the parameters: since 6.16 this tracepoint tells
 * whether the last thread of a process is leaving.
 */
typedef void (*btf_trace_sched_process_exit___group_dead)(void *, struct task_struct *, _Bool);

/*
 * For bpf_core_enum_value_exists: the number here does not matter, only
 * whether the running kernel has the name.
 */
enum bpf_func_id {
	BPF_FUNC_copy_from_user_task = 191,	/* since 5.18 */
	BPF_FUNC_loop = 181,			/* since 5.17 */
};

/*
 * The same task, to read pointers from. What a program is called with is trusted, and for
 * each pointer that it reads from there the verifier searches all types of the kernel,
 * several times, for whether that can be trusted too (kernel commit 57539b1c0ac2, 6.3).
 * That took most of all verification. The cast itself is no instruction, but each read
 * through it is checked at run time, as all were before 6.2: what is no pointer is read
 * from the task as it came.
 */
static __always_inline const struct task_struct *untrusted(const struct task_struct *task)
{
	if (bpf_ksym_exists(bpf_rdonly_cast))	/* since 6.2 */
		return bpf_core_cast(task, struct task_struct);
	return task;
}

#endif
