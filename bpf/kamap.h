/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the kernel side writes and user space reads. This is the only
 * definition: the Rust types are generated from it.
 *
 * Fixed-width fields, explicit padding, no bool, no includes.
 */
#ifndef KAMAP_H
#define KAMAP_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* Sizes and limits, in bytes where nothing else is said. */
enum kamap_limit {
	/* TASK_COMM_LEN of the kernel, part of its ABI (prctl(2), PR_SET_NAME). */
	KAMAP_COMM_LEN = 16,
	/*
	 * Of `exe`, `file` and arguments kept in a row. With it a row is 768
	 * bytes, so that 16,384 of them stay under 14 MiB of kernel memory.
	 */
	KAMAP_TEXT_LEN = 664,
	/* The most of `exe`, and of `file`, that a row keeps. */
	KAMAP_PATH_LEN = 255,
	/* The most of them that an event keeps: PATH_MAX of the kernel, less the NUL. */
	KAMAP_LONG_PATH_LEN = 4095,
	/* The most of the arguments that an event keeps: as much as a single one may have. */
	KAMAP_MAX_ARGS = 131072,
	/* The most ancestors in an event. */
	KAMAP_MAX_ANCESTORS = 32,
	/* How many values a list of the filter can have. */
	KAMAP_FILTER_LEN = 16,
	/* Of a version of kamap, as text. */
	KAMAP_VERSION_LEN = 32,
	/* Where KAMAP_FOLLOW_ID begins: its lowest bit. */
	KAMAP_FOLLOW_SHIFT = 8,
};

/* What holds unless user space sets something else before it loads the programs. */
enum kamap_default {
	KAMAP_DEFAULT_CAPACITY = 16384,		/* the most rows of the table */
	KAMAP_DEFAULT_RING_SIZE = 4194304,	/* bytes of the ring of events */
	KAMAP_DEFAULT_MAX_ARGS = 4096,		/* bytes of arguments in an event */
	KAMAP_DEFAULT_WAKE_PARTS = 4,		/* the reader is woken when a fourth of the ring waits */
};

/* How a process came to be in the table. */
enum kamap_origin {
	KAMAP_ORIGIN_SEED = 1,	/* it was alive before kamap watched, or before there was room */
	KAMAP_ORIGIN_FORK = 2,	/* started while kamap watched, has not exec'd */
	KAMAP_ORIGIN_EXEC = 3,	/* exec'd while kamap watched */
};

enum kamap_flag {
	KAMAP_KTHREAD = 1 << 0,		/* a thread of the kernel */
	KAMAP_EXE_DELETED = 1 << 1,	/* `exe` had no name left in its folder */
	KAMAP_EXE_CUT = 1 << 2,		/* of `exe` only the end is kept */
	KAMAP_FILE_CUT = 1 << 3,	/* of `file` only the beginning is kept */
	KAMAP_FOLLOWED = 1 << 4,	/* the process that is followed, or it descends from that */
	KAMAP_PROGRAM_SEEN = 1 << 5,	/* the exec of the program that it runs was recorded */
	KAMAP_FILE_KNOWN = 1 << 6,	/* `file` is what was asked for, even if it is empty */
	/* With KAMAP_FOLLOWED, of attached programs: which command is followed, from KAMAP_FOLLOW_SHIFT on. */
	KAMAP_FOLLOW_ID = 0x7fffff00,
};

/*
 * What is known of a process, but for its text: exe, file and arguments, which
 * follow in this order, unterminated.
 *
 * Times are nanoseconds since boot, suspend included (CLOCK_BOOTTIME).
 */
struct kamap_facts {
	/*
	 * (pid, start_time) identifies a process; a PID alone does not. 0 in a row: the
	 * process had ended when it was to be added, there is no such process.
	 */
	u64 start_time;
	u64 parent_start_time;	/* (ppid, parent_start_time) identifies the parent */
	u64 first_exec_time;	/* 0: has not exec'd while kamap watched */
	u64 last_exec_time;
	u64 cgroup_id;		/* in the cgroup v2 hierarchy */
	u64 exec_id;		/* the kernel's own count of its execs, see kamap_task */
	u32 pid;
	u32 ppid;
	u32 uid;		/* effective, as ps shows it */
	u32 gid;
	u32 execs;
	enum kamap_flag flags;
	u32 args_len;		/* bytes of all arguments, each with its NUL */
	u32 args_kept;		/* less than args_len: the arguments are cut */
	enum kamap_origin origin;
	u16 exe_len;
	u16 file_len;
	char comm[KAMAP_COMM_LEN];
};

/*
 * One live process: a row of the table, keyed by its PID (the tgid, as the
 * initial PID namespace counts).
 */
struct kamap_process {
	struct kamap_facts facts;
	char text[KAMAP_TEXT_LEN];
};

/* How far the life of a process has come, as the kernel has it. */
enum kamap_life {
	KAMAP_LIFE_STARTING = 1,	/* has a PID, but the fork is not yet told */
	KAMAP_LIFE_ALIVE = 2,
	KAMAP_LIFE_EXECING = 3,		/* alive, and the exec that it is in is not yet told */
	KAMAP_LIFE_LEAVING = 4,		/* its last threads are on their way out */
	KAMAP_LIFE_DEAD = 5,		/* all of its exits are told, it is to be reaped */
};

/*
 * A process in the kernel's own list of tasks: what of a row can change while the process
 * lives, as it is now, and what the table can be compared with. `exe` follows.
 */
struct kamap_task {
	struct kamap_facts facts;	/* without execs, file and arguments */
	enum kamap_life life;
	u32 vpid;		/* its PID in its own PID namespace; 0: not known, as of one that is reaped */
	u32 pid_ns;		/* inode number of that namespace */
	u32 reserved;
};

/* The arguments of a process that is to be added, read by user space. Keyed by PID. */
struct kamap_given_args {
	u64 start_time;		/* of the process that they were read of */
	u32 len;		/* as args_len and args_kept in kamap_facts */
	u32 kept;
	u32 ended;		/* whether the last byte that was read is a NUL */
	u32 reserved;
	char text[KAMAP_TEXT_LEN];
};

/* Numbers of types in the BTF of the kernel, each by its name. */
struct kamap_type_ids {
	u32 task_struct;
	u32 dentry;
	u32 mount;
};

enum kamap_event_kind {
	KAMAP_EVENT_FORK = 1 << 0,
	KAMAP_EVENT_EXEC = 1 << 1,
	KAMAP_EVENT_EXIT = 1 << 2,
	KAMAP_EVENT_EXEC_FAILED = 1 << 3,
	/*
	 * Other programs record from here on, or from close to it. Of no process: the version of the kamap that
	 * has attached them comes in the place of the text, KAMAP_VERSION_LEN bytes.
	 */
	KAMAP_EVENT_REPLACED = 1 << 4,
};

/*
 * What happened to a process: a record of the ring, with the process as it was
 * then. As many ancestors as were asked for follow, the parent first, then its text.
 * Of a failed exec these are the file and the arguments that it was asked for.
 */
struct kamap_event {
	u64 seq;	/* one more for each event that got into the ring */
	u64 lost;	/* how many had found no room in it by then */
	u64 time;
	/* Exit only: */
	u64 cpu_time;	/* of all threads, in nanoseconds */
	u64 max_rss;	/* the most memory that it had at a time, in pages */
	u32 status;	/* of an exit as wait() gives it, of a failed exec the errno */
	enum kamap_event_kind kind;
	struct kamap_facts facts;
};

/* A parent, or a parent's parent, at the time of an event. */
struct kamap_ancestor {
	u64 start_time;
	u32 pid;	/* 0: there is none */
	u32 reserved;
	char comm[KAMAP_COMM_LEN];
};

/* What an event has to be like. An empty list lets all pass. */
struct kamap_filter {
	u64 min_duration;	/* of an exit: since the process started */
	u64 cgroup_ids[KAMAP_FILTER_LEN];	/* what lies below one of these counts too */
	u32 uids[KAMAP_FILTER_LEN];
	u32 pids[KAMAP_FILTER_LEN];
	u32 ppids[KAMAP_FILTER_LEN];
	u32 cgroup_ids_len;
	u32 uids_len;
	u32 pids_len;
	u32 ppids_len;
	u32 failed;		/* 1: of exits only those without success */
	u32 followed;		/* 1: only of processes that are followed */
};

/* What is counted, on each CPU. */
struct kamap_counters {
	u64 forks;	/* processes started */
	u64 execs;	/* successful execs */
	u64 exits;	/* processes ended whose row was removed */
	u64 table_full;	/* processes that found no room in the table */
	u64 args_cut;	/* rows whose arguments did not fit */
	u64 event_args_cut;	/* events whose arguments were cut, an exec and its exit once */
	u64 skipped;	/* writes to the table that the kernel skipped */
	u64 refused;	/* all writes that came to nothing, repeated ones included */
	u64 unused[8];	/* so that no two CPUs write the same line of a cache */
};

/*
 * Version of what is pinned: names of pins, maps, keys, values, and what iterators print. It grows
 * when somebody who knows the version before would misread it.
 */
enum kamap_layout {
	KAMAP_LAYOUT = 2,
};

/* What is attached, and with which options: the only value of the map `description`. */
struct kamap_description {
	enum kamap_layout layout;
	enum kamap_event_kind events;	/* which kinds are recorded; 0: no ring */
	u64 attached_at;	/* since boot */
	u32 max_entries;	/* of the table */
	u32 ring_size;
	u32 max_args;
	u32 max_ancestors;
	u32 generation;	/* one more for each that has replaced another with its maps */
	u32 reserved;
	u64 missed_before;	/* runs of the programs that these have replaced which the kernel skipped */
	struct kamap_filter filter;	/* of the events */
	char version[KAMAP_VERSION_LEN];	/* of the kamap that attached it */
	char boot_id[40];
};

/* Who reads the ring, and up to where all was read: the only value of the map `reader`. */
struct kamap_reader {
	u64 start_time;	/* of the process, as /proc/PID/stat has it: in ticks */
	u32 pid;	/* 0: nobody reads */
	u32 wanted;	/* 1: another one waits for it to end */
	u64 next_seq;	/* of the first event that is not read */
	u64 lost;	/* of events_lost, so many were reported */
};

/*
 * What the iterator `status` prints: this, then the counters of each possible CPU. Whoever may read
 * that file needs no right to use BPF.
 */
struct kamap_printed_status {
	struct kamap_description description;
	u64 events_put;
	u64 events_lost;
	u32 first_refused;
	u32 cpus;
};

#endif
