// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Sends records of any length, as many as it is asked to, and tells how many of them
 * the kernel refused. Not attached to anything: tests run it when they need records.
 */
#include "kernel.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* linux/bpf.h */
#define BPF_MAP_TYPE_PERF_EVENT_ARRAY 4
#define BPF_F_CURRENT_CPU 0xffffffffULL

/* The most records of one run, and the most bytes of one. */
#define MOST 64
#define LONGEST 256

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} samples SEC(".maps");

/* What a test asks for. */
struct request {
	u64 first;	/* each word of a record is its number */
	u64 count;
	u64 len;	/* of each record, in bytes */
};

struct record {
	u64 words[LONGEST / sizeof(u64)];
};

static __always_inline void fill(struct record *record, u64 number)
{
	for (u32 i = 0; i < LONGEST / sizeof(u64); i++)
		record->words[i] = number;
}

SEC("raw_tp")
int to_ring(struct request *request)
{
	u64 len = request->len;
	struct record record;
	int refused = 0;

	if (len > sizeof(record))
		return -1;
	for (u32 i = 0; i < MOST && i < request->count; i++) {
		fill(&record, request->first + i);
		refused += bpf_ringbuf_output(&ring, &record, len, 0) != 0;
	}
	return refused;
}

SEC("raw_tp")
int to_ring_and_back(struct request *request)
{
	int refused = 0;

	for (u32 i = 0; i < MOST && i < request->count; i++) {
		u64 *record = bpf_ringbuf_reserve(&ring, 2 * sizeof(u64), 0);

		if (!record) {
			refused++;
			continue;
		}
		record[0] = request->first + i;
		record[1] = request->first + i;
		bpf_ringbuf_discard(record, 0);
	}
	return refused;
}

SEC("raw_tp")
int to_samples(struct request *request)
{
	u64 len = request->len;
	struct record record;
	int refused = 0;

	if (len > sizeof(record))
		return -1;
	for (u32 i = 0; i < MOST && i < request->count; i++) {
		fill(&record, request->first + i);
		refused += bpf_perf_event_output(request, &samples, BPF_F_CURRENT_CPU, &record,
						 len) != 0;
	}
	return refused;
}
