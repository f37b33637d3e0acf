/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The stream of events: one ring, so that their order is that of the kernel.
 *
 * A record is reserved and filled in place. Only sizes that the verifier knows can
 * be reserved, so the smallest of some that has room is taken.
 */
#ifndef EVENTS_BPF_H
#define EVENTS_BPF_H

#include "follow.bpf.h"
#include "kernel.bpf.h"
#include "row.bpf.h"

/* Which to tell of: bits of enum kamap_event_kind. Set before loading. */
const volatile u32 wanted_events = 0;

/* Which of these. Set before loading. */
const volatile struct kamap_filter filter = {};

/* The most bytes of arguments in a record, up to KAMAP_MAX_ARGS. Set before loading. */
const volatile u32 max_args = KAMAP_DEFAULT_MAX_ARGS;

/* How many ancestors an event has. Set before loading. */
const volatile u32 max_ancestors = 0;

/*
 * The reader is woken when this many bytes wait, and when as many more do: a power of
 * two. Set before loading.
 */
const volatile u32 wake_at = 0;

/* How many events got into the ring, and how many found no room. */
u64 events_put = 0;
u64 events_lost = 0;

/* Created only where events are wanted, its size is set before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

/* Whether `value` is in a list of the filter, or the list is empty. */
static __always_inline int is_listed(const volatile u32 *list, u32 len, u32 value)
{
	int found = len == 0;

	for (u32 i = 0; i < KAMAP_FILTER_LEN && i < len; i++)
		found |= list[i] == value;
	return found;
}

/* The most cgroups above one that are compared with those of the filter. */
#define MAX_CGROUP_DEPTH 32

/* Whether a process is in a cgroup of the filter or below one, or the filter has none. */
static __always_inline int is_in_cgroups(const struct task_struct *leader)
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
static __always_inline int wants_event(enum kamap_event_kind kind,
				       const struct kamap_facts *facts,
					const struct task_struct *leader)
{
	return (wanted_events & kind) &&
	       (!filter.followed || (facts->flags & KAMAP_FOLLOWED)) &&
	       is_listed(filter.uids, filter.uids_len, facts->uid) &&
	       is_listed(filter.pids, filter.pids_len, facts->pid) &&
	       is_listed(filter.ppids, filter.ppids_len, facts->ppid) && is_in_cgroups(leader);
}

static __always_inline void count_lost_event(void)
{
	__sync_fetch_and_add(&events_lost, 1);
}

/* Bytes of a record with room for so much text. */
static __always_inline u32 record_size(u32 room)
{
	return sizeof(struct kamap_event) + max_ancestors * sizeof(struct kamap_ancestor) + room;
}

/* The smallest room for a text, in bytes. */
#define SMALLEST_ROOM 96

/* The smallest room for the text of a row; the verifier knows each. */
static __always_inline u32 get_text_room(u32 len)
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
static __always_inline u32 get_args_room(u32 len)
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
static __always_inline char *get_event_text(struct kamap_event *event)
{
	return (char *)event + record_size(0);
}

/*
 * Puts the text of a row, `len` bytes. Where it fits into the smallest room, that is filled: plain words
 * cost less than a call of bpf_probe_read_kernel. Text beyond the lengths means nothing.
 */
static __always_inline void put_row_text(struct kamap_event *event,
					 const struct kamap_process *row, u32 len)
{
	const u64 *from = (const u64 *)row->text;
	u64 *to = (u64 *)get_event_text(event);

	if (len > SMALLEST_ROOM) {
		bpf_probe_read_kernel(to, len, from);
		return;
	}
	for (u32 i = 0; i < SMALLEST_ROOM / sizeof(u64); i++)
		to[i] = from[i];
}

/* Not inlined for the same reason as number_event. */
static __noinline void put_ancestor(struct kamap_ancestor *ancestor,
				    const struct task_struct *task)
{
	ancestor->start_time = task->group_leader->start_boottime;
	ancestor->pid = task->tgid;
	ancestor->reserved = 0;
	bpf_probe_read_kernel(ancestor->comm, KAMAP_COMM_LEN, task->group_leader->comm);
}

/*
 * Reserves a record with `room` for its text, a number that the verifier knows, and fills in what all
 * records have. `task` is of the process, any of its threads. NULL where the ring is full.
 *
 * The caller tests it for NULL at once, and only then: the verifier of 6.1 takes any
 * further test for one that can fail, with the record not given back.
 */
static __always_inline struct kamap_event *reserve_event(u32 room, enum kamap_event_kind kind,
							 u64 time, const struct kamap_facts *facts,
							 const struct task_struct *task)
{
	struct kamap_event *event = bpf_ringbuf_reserve(&events, record_size(room), 0);
	struct kamap_ancestor *ancestors;

	if (!event)
		return NULL;
	ancestors = (void *)(event + 1);
	event->kind = kind;
	event->time = time;
	event->cpu_time = 0;
	event->max_rss = 0;
	event->status = 0;
	event->facts = *facts;
	task = untrusted(task);
	for (u32 i = 0; i < KAMAP_MAX_ANCESTORS && i < max_ancestors; i++) {
		task = task->real_parent;
		put_ancestor(&ancestors[i], task);
		if (i == 0) {
			/* It may have another parent since, where that ended just now. */
			event->facts.ppid = ancestors[0].pid;
			event->facts.parent_start_time = ancestors[0].start_time;
		}
	}
	return event;
}

/*
 * Gives the record its place in the stream. Not inlined, so that the object's BTF
 * has a function of this type: it is from there that user space gets the struct.
 */
static __noinline void number_event(struct kamap_event *event)
{
	event->lost = *(volatile u64 *)&events_lost;
	event->seq = __sync_fetch_and_add(&events_put, 1);
}

/*
 * Hands over a record with `room` for its text. Waking the reader costs more than all else
 * here. The kernel does it for the first record behind those whose room the reader has given
 * back: one that does not want to be woken for it keeps some room. It is woken as well when the
 * bytes that wait pass a multiple of wake_at, or if it is `urgent`. Of two CPUs that reserve at once
 * neither may see that they have passed one: the next multiple is seen then.
 */
static __always_inline void submit_event(struct kamap_event *event, u32 room, int urgent)
{
	u64 waiting = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
	u64 before = waiting - ((record_size(room) + BPF_RINGBUF_HDR_SZ + 7) & -8);
	u64 flags = 0;

	if (urgent || (waiting ^ before) >= wake_at)
		flags = BPF_RB_FORCE_WAKEUP;
	number_event(event);
	bpf_ringbuf_submit(event, flags);
}

/*
 * Wakes a reader that waits, because of what the counters say: it gets a record that it skips. If much is
 * in the ring, the reader is awake, or there is none: then these records would take the room of events.
 */
static __always_inline void wake_reader(void)
{
	void *record;

	if (!wanted_events || bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= wake_at)
		return;
	record = bpf_ringbuf_reserve(&events, sizeof(u64), 0);
	if (record)
		bpf_ringbuf_discard(record, 0);
}

/* Emits an event of a process as its row has it. */
static __always_inline void emit_row(enum kamap_event_kind kind, u64 time, u32 status,
				     const struct kamap_process *row,
					   const struct task_struct *task)
{
	u32 len = text_len(&row->facts);
	struct kamap_event *event;
	u32 room;

	if (len > KAMAP_TEXT_LEN)	/* for the verifier */
		return;
	room = get_text_room(len);
	event = reserve_event(room, kind, time, &row->facts, task);
	if (!event) {
		count_lost_event();
		return;
	}
	event->status = status;
	put_row_text(event, row, len);
	submit_event(event, room, 0);
}

#endif
