/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Counters: a set for each CPU, so that none is missed and none is shared. */
#ifndef STATS_BPF_H
#define STATS_BPF_H

#include "kernel.bpf.h"

/* How many CPUs there can be. Set before loading, as is the size of the map. */
const volatile u32 possible_cpus = 1;

/* As many as a kernel can be built for (NR_CPUS). */
#define MAX_CPUS 8192

/*
 * CPU -> its counters. No per-CPU map: before 5.19 a program sees of such a map what is of its own
 * CPU only, and an iterator is to print all.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct kamap_counters);
} counters SEC(".maps");

/* Adds one to `field`; atomically, for newer kernels may preempt a program. */
#define count(field)								\
	do {									\
		u32 cpu = bpf_get_smp_processor_id();				\
		struct kamap_counters *set = bpf_map_lookup_elem(&counters, &cpu); \
										\
		if (set)							\
			__sync_fetch_and_add(&set->field, 1);			\
	} while (0)

#endif
