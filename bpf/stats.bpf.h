/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Counters: a set for each CPU, so that none is missed and none is shared. */
#ifndef STATS_BPF_H
#define STATS_BPF_H

#include "kernel.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct kamap_counters);
} counters SEC(".maps");

/* Adds one to `field`; atomically, for newer kernels may preempt a program. */
#define count(field)								\
	do {									\
		u32 slot = 0;							\
		struct kamap_counters *set = bpf_map_lookup_elem(&counters, &slot); \
										\
		if (set)							\
			__sync_fetch_and_add(&set->field, 1);			\
	} while (0)

#endif
