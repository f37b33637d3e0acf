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
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
};
enum {
	BPF_F_NO_PREALLOC = 1,
	BPF_F_PRESERVE_ELEMS = 2048,	/* since 5.10 */
};
enum {
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
};
#define BPF_F_CURRENT_CPU 0xffffffffULL
struct bpf_perf_event_value {
	u64 counter;
	u64 enabled;
	u64 running;
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
/* asm-generic/signal.h */
#define SIGKILL 9
#define SIGSEGV 11
/* include/linux/sched/signal.h; never renumbered since 2.6 */
#define SIGNAL_GROUP_EXIT 0x00000004

/* What differs between machines: a file for each, with the same names. */
#if defined(__TARGET_ARCH_x86)
#include "arch/x86.bpf.h"
#else
#error "there is no file in bpf/arch for this machine"
#endif

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
	unsigned long env_end;
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
	int level;			/* how many are above it */
	struct cgroup *ancestors[1];	/* since 6.1: from the root to itself */
};

/* Before 6.1. */
struct cgroup___ids {
	u64 ancestor_ids[1];
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct list_head {
	struct list_head *next;
};

typedef struct seqcount {
	unsigned int sequence;	/* odd while somebody writes */
} seqcount_t;

typedef struct seqcount_spinlock {
	seqcount_t seqcount;
} seqcount_spinlock_t;

typedef struct {
	seqcount_spinlock_t seqcount;
} seqlock_t;

struct signal_struct {
	atomic_t live;		/* threads that have not begun to exit */
	int nr_threads;		/* threads that have not been released, and a list of these */
	struct list_head thread_head;
	unsigned int flags;
	int group_exit_code;
	seqlock_t stats_lock;	/* around the sum below, and a thread's leaving the list */
	/* Of threads that have been released: */
	unsigned long long sum_sched_runtime;
	unsigned long maxrss;	/* in pages */
};

/* Times by the clock of the task's CPU, see cpu_time.bpf.h. */
struct sched_entity {
	u64 sum_exec_runtime;	/* up to exec_start */
	u64 exec_start;
	struct cfs_rq *cfs_rq;
};

struct cfs_rq {
	struct rq *rq;
};

/* The run queue of a CPU: its clock when it last looked, and the same without what follows. */
struct rq {
	u64 clock;
	u64 clock_task;
	u64 prev_irq_time;
	u64 prev_steal_time_rq;
};

typedef struct {
	long counter;
} atomic_long_t;

typedef struct {
	atomic_long_t a;
} local_t;

typedef struct {
	local_t a;
} local64_t;

struct hw_perf_event {
	local64_t prev_count;
};

struct perf_event {
	struct hw_perf_event hw;
};

struct bpf_event_entry {
	struct perf_event *event;
};

struct bpf_array {
	void *ptrs[1];
};

struct ns_common {
	unsigned int inum;
};

struct pid_namespace {
	struct task_struct *child_reaper;
	struct ns_common ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;	/* of its PID namespace; 0: the initial one */
	struct upid numbers[1];	/* [0] is in the initial PID namespace */
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	u64 seq_num;	/* how many were printed before */
};

typedef struct {
	unsigned long sig[1];
} sigset_t;

struct sigpending {
	sigset_t signal;
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
	int on_cpu;
	const struct cred *real_cred;
	struct mm_struct *mm;
	struct signal_struct *signal;
	struct sigpending pending;	/* for this thread */
	struct css_set *cgroups;
	struct pid *thread_pid;
	struct fs_struct *fs;
	char comm[KAMAP_COMM_LEN];
};

struct linux_binprm {
	const char *filename;
	unsigned long p;	/* where the arguments begin, to be */
	unsigned long exec;	/* where the environment behind them ends */
	int argc;
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

/* For bpf_core_type_exists: this tracepoint, since 6.10, comes before an exec's point of no return. */
typedef void (*btf_trace_sched_prepare_exec)(void *, struct task_struct *, struct linux_binprm *);

/*
 * For bpf_core_enum_value_exists: the number here does not matter, only
 * whether the running kernel has the name.
 */
enum bpf_func_id {
	BPF_FUNC_loop = 181,	/* since 5.17 */
};

static __always_inline int can_loop(void)
{
	return bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop);
}

/*
 * The numbers of types in the BTF of the running kernel. libbpf, which could put them into the
 * instructions, gets a part of that only. Set before loading.
 */
const volatile struct kamap_type_ids type_ids = {};

/* Tells the verifier which struct is at an address. It becomes no instruction, but the verifier has to know the kfunc. */
#define cast_to(type, address)							\
	((const struct type *)bpf_rdonly_cast((const void *)(address), type_ids.type))

static __always_inline int can_cast(void)
{
	return bpf_ksym_exists(bpf_rdonly_cast);	/* since 6.2 */
}

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
	return can_cast() ? cast_to(task_struct, task) : task;
}

#endif
