/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The table: a row for each process. */
#ifndef TABLE_BPF_H
#define TABLE_BPF_H

#include "kernel.bpf.h"
#include "stats.bpf.h"

/* The first PID that found no room in the table, 0 if there is none. */
u32 first_refused = 0;

/* Whether `seed` has run to its end once. */
u32 seeded = 0;

/* pid -> row. max_entries is set before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KAMAP_DEFAULT_CAPACITY);
	__type(key, u32);
	__type(value, struct kamap_process);
} processes SEC(".maps");

/*
 * Counts what became of writing a row; `first` where a process is first seen.
 *
 * What the map helpers return is kept in an int everywhere: before 6.4 (kernel
 * commit d7ba4cc900bf) the upper half of the register holds no sign.
 */
static __always_inline void count_refusal(u32 pid, int err, int first)
{
	count(refused);
	if (err == -E2BIG) {
		/*
		 * A process is counted once, at its start: an exec that finds
		 * the table still full loses no further process.
		 */
		if (!first)
			return;
		count(table_full);
		__sync_val_compare_and_swap(&first_refused, 0, pid);
	} else {
		count(skipped);
	}
}

#endif
