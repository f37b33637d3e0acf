/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The stream of events: one ring, so that their order is that of the kernel.
 *
 * A record is reserved and filled in place. Only sizes that the verifier knows can
 * be reserved, so the smallest of some that has room is taken.
 */
#ifndef EVENTS_BPF_H
#define EVENTS_BPF_H

#include "kernel.bpf.h"
#include "row.bpf.h"

/* Which to tell of: bits of enum kamap_event_kind. Set before loading. */
const volatile u32 wanted_events = 0;

/* Which of these. Set before loading. */
const volatile struct kamap_filter filter = {};

/* The most bytes of arguments in a record, up to KAMAP_MAX_ARGS. Set before loading. */
const volatile u32 max_args = 4096;

/* How many ancestors an event has. Set before loading. */
const volatile u32 max_ancestors = 0;

/*
 * The reader is woken when this many bytes wait, and when as many more do: a power of
 * two. Set before loading.
 */
const volatile u32 wake_at = 0;

/* Of this thread the next child is followed, and all that descends from it. */
const volatile u32 follow_child_of = 0;

/* The PID of that child, once it has started. */
u32 followed = 0;

/* How many events got into the ring, and how many found no room. */
u64 events_put = 0;
u64 events_lost = 0;

/* Created only where events are wanted, its size is set before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

/* Whether `value` is in a list of the filter, or the list is empty. */
#define event_listed(list, value)						\
	({									\
		int found = filter.list##_len == 0;				\
										\
		for (u32 i = 0; i < KAMAP_FILTER_LEN && i < filter.list##_len; i++) \
			found |= filter.list[i] == (value);			\
		found;								\
	})

/* The most cgroups above one that are compared with those of the filter. */
#define MAX_CGROUP_DEPTH 32

/* Whether a process is in a cgroup of the filter or below one, or the filter has none. */
static __always_inline int event_in_cgroups(const struct task_struct *leader)
{
	const struct cgroup *cgroup;
	int found = 0;
	int level;

	if (!filter.cgroup_ids_len)
		return 1;
	cgroup = untrusted(leader)->cgroups->dfl_cgrp;
	level = cgroup->level;
	for (int i = 0; i < MAX_CGROUP_DEPTH && i <= level; i++) {
		u64 id = 0;

		if (bpf_core_field_exists(cgroup->ancestors)) {
			struct cgroup *const *ancestors =
				__builtin_preserve_access_index(&cgroup->ancestors[0]);
			const struct cgroup *ancestor;

			bpf_probe_read_kernel(&ancestor, sizeof(ancestor), ancestors + i);
			id = BPF_CORE_READ(ancestor, kn, id);
		} else {
			const struct cgroup___ids *with_ids = (const void *)cgroup;
			const u64 *ids =
				__builtin_preserve_access_index(&with_ids->ancestor_ids[0]);

			bpf_probe_read_kernel(&id, sizeof(id), ids + i);
		}
		for (u32 j = 0; j < KAMAP_FILTER_LEN && j < filter.cgroup_ids_len; j++)
			found |= filter.cgroup_ids[j] == id;
	}
	return found;
}

/* Whether somebody wants to hear of such an event of such a process; `leader` leads it. */
static __always_inline int event_wanted(enum kamap_event_kind kind,
					const struct kamap_facts *facts,
					const struct task_struct *leader)
{
	return (wanted_events & kind) &&
	       (!filter.followed || (facts->flags & KAMAP_FOLLOWED)) &&
	       event_listed(uids, facts->uid) && event_listed(pids, facts->pid) &&
	       event_listed(ppids, facts->ppid) && event_in_cgroups(leader);
}

static __always_inline void event_count_lost(void)
{
	__sync_fetch_and_add(&events_lost, 1);
}

/* Bytes of a record with room for so much text. */
#define event_size(room)							\
	(sizeof(struct kamap_event) + max_ancestors * sizeof(struct kamap_ancestor) + (room))

/*
 * Whoever reserves a record tests it for NULL at once, and only then: the verifier of
 * 6.1 takes any further test for one that can fail, with the record not given back.
 */
#define event_reserve(room) bpf_ringbuf_reserve(&events, event_size(room), 0)

/* The smallest room for a text, in bytes. */
#define SMALLEST_ROOM 96

/* The smallest room for the text of a row; the verifier knows each. */
static __always_inline u32 event_room(u32 len)
{
	if (len <= SMALLEST_ROOM)
		return SMALLEST_ROOM;
	if (len <= 192)
		return 192;
	if (len <= 352)
		return 352;
	return KAMAP_TEXT_LEN;
}

/*
 * Room for arguments that a row cannot hold, as far as max_args lets them be told; the
 * verifier knows each. 0: it cannot be.
 */
static __always_inline u32 event_args_room(u32 len)
{
	if (len > max_args)
		len = max_args;
	if (len <= 1024)
		return 1024;
	if (len <= 4096)
		return 4096;
	if (len <= 16384)
		return 16384;
	if (len <= KAMAP_MAX_ARGS)
		return KAMAP_MAX_ARGS;
	return 0;
}

/* Room for exe and file as long as they may be. */
#define LONG_PATHS (2 * (KAMAP_LONG_PATH_LEN + 1))

/* Where the text of a record begins. */
static __always_inline char *event_text(struct kamap_event *event)
{
	return (char *)event + event_size(0);
}

/*
 * Puts the text of a row, `len` bytes. Where it fits into the smallest room, that is filled: plain words
 * cost less than a call of bpf_probe_read_kernel. Text beyond the lengths means nothing.
 */
static __always_inline void event_put_text(struct kamap_event *event,
					   const struct kamap_process *row, u32 len)
{
	const u64 *from = (const u64 *)row->text;
	u64 *to = (u64 *)event_text(event);

	if (len > SMALLEST_ROOM) {
		bpf_probe_read_kernel(to, len, from);
		return;
	}
	for (u32 i = 0; i < SMALLEST_ROOM / sizeof(u64); i++)
		to[i] = from[i];
}

/* Not inlined for the same reason as event_number. */
static __noinline void event_put_ancestor(struct kamap_ancestor *ancestor,
					  const struct task_struct *task)
{
	ancestor->start_time = task->group_leader->start_boottime;
	ancestor->pid = task->tgid;
	ancestor->reserved = 0;
	bpf_probe_read_kernel(ancestor->comm, KAMAP_COMM_LEN, task->group_leader->comm);
}

/*
 * Fills in what all records have. `task` is of the process, any of its threads.
 */
static __always_inline void event_fill(struct kamap_event *event, enum kamap_event_kind kind,
				       u64 time, const struct kamap_facts *facts,
				       const struct task_struct *task)
{
	struct kamap_ancestor *ancestors = (void *)(event + 1);

	event->kind = kind;
	event->time = time;
	event->cpu_time = 0;
	event->max_rss = 0;
	event->status = 0;
	event->facts = *facts;
	task = untrusted(task);
	for (u32 i = 0; i < KAMAP_MAX_ANCESTORS && i < max_ancestors; i++) {
		task = task->real_parent;
		event_put_ancestor(&ancestors[i], task);
		if (i == 0) {
			/* It may have another parent since, where that ended just now. */
			event->facts.ppid = ancestors[0].pid;
			event->facts.parent_start_time = ancestors[0].start_time;
		}
	}
}

/*
 * Gives the record its place in the stream. Not inlined, so that the object's BTF
 * has a function of this type: it is from there that user space gets the struct.
 */
static __noinline void event_number(struct kamap_event *event)
{
	event->lost = *(volatile u64 *)&events_lost;
	event->seq = __sync_fetch_and_add(&events_put, 1);
}

/*
 * Hands over a record of `size` bytes. Waking the reader costs more than all else
 * here, so it is done only when the bytes that wait pass a multiple of wake_at, or it is
 * `urgent`; now and then the reader looks by itself. Of two CPUs that reserve at once
 * neither may see that they have passed one: the next multiple is seen then.
 */
static __always_inline void event_submit(struct kamap_event *event, u32 size, int urgent)
{
	u64 waiting = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
	u64 before = waiting - ((size + BPF_RINGBUF_HDR_SZ + 7) & -8);
	u64 flags = BPF_RB_NO_WAKEUP;

	if (urgent || (waiting ^ before) >= wake_at)
		flags = BPF_RB_FORCE_WAKEUP;
	event_number(event);
	bpf_ringbuf_submit(event, flags);
}

/* Tells of a process as its row has it. */
static __always_inline void event_tell_row(enum kamap_event_kind kind, u64 time, u32 status,
					   const struct kamap_process *row,
					   const struct task_struct *task)
{
	u32 len = text_len(&row->facts);
	struct kamap_event *event;
	u32 room;

	if (len > KAMAP_TEXT_LEN)	/* for the verifier */
		return;
	room = event_room(len);
	event = event_reserve(room);
	if (!event) {
		event_count_lost();
		return;
	}
	event_fill(event, kind, time, &row->facts, task);
	event->status = status;
	event_put_text(event, row, len);
	event_submit(event, event_size(room), 0);
}

#endif
