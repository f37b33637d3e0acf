/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The mark in the stream of events where these programs have replaced others. */
#ifndef MARK_BPF_H
#define MARK_BPF_H

#include "events.bpf.h"
#include "kernel.bpf.h"
#include "pinned.bpf.h"
#include "replace.bpf.h"

/* Whether the ring is that of the programs that these replace. Set before loading. */
const volatile u32 takes_over_ring = 0;

/* The generation of the programs of which the last mark is. */
u32 marked = 0;

/*
 * Emits the mark of these programs, if there is none: whoever comes after one that was killed before it could
 * do this does it again.
 */
static __always_inline void emit_mark(void)
{
	u32 before = *(volatile u32 *)&marked;
	const struct kamap_description *known;
	struct kamap_ancestor *ancestors;
	struct kamap_event *event;
	u32 slot = 0;

	if (!takes_over_ring || before >= generation)
		return;
	known = bpf_map_lookup_elem(&description, &slot);
	if (!known)
		return;
	if (__sync_val_compare_and_swap(&marked, before, generation) != before)
		return;
	event = bpf_ringbuf_reserve(&events, record_size(KAMAP_VERSION_LEN), 0);
	if (!event) {
		count_lost_event();
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = KAMAP_EVENT_REPLACED;
	event->time = bpf_ktime_get_boot_ns();
	ancestors = (void *)(event + 1);
	for (u32 i = 0; i < KAMAP_MAX_ANCESTORS && i < max_ancestors; i++)
		__builtin_memset(&ancestors[i], 0, sizeof(ancestors[i]));
	__builtin_memcpy(get_event_text(event), known->version, KAMAP_VERSION_LEN);
	submit_event(event, KAMAP_VERSION_LEN, 1);
}

#endif
