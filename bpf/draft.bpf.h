/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Drafts: memory in which a row is made before it is written to the table or to the ring.
 */
#ifndef DRAFT_BPF_H
#define DRAFT_BPF_H

#include "kernel.bpf.h"
#include "stats.bpf.h"

/* Bytes of text that a row has. */
static __always_inline u32 text_len(const struct kamap_facts *facts)
{
	return facts->exe_len + facts->file_len + facts->args_kept;
}

/* How far the reading of an argument list has come that was asked for (exec_failed.bpf.h). */
struct asked_at {
	u64 argv;	/* where the pointer to the argument at hand is */
	u64 done;	/* bytes of that argument */
	u32 ended;
	u32 more;	/* 1: there are more, or they could not be read */
};

/*
 * A row in the making. `room` serves twice: the path of the executable is put
 * together in it, and it lets the verifier see that text written at any offset
 * up to two paths, and up to KAMAP_TEXT_LEN long, stays inside the draft.
 */
struct draft {
	struct kamap_process row;
	char room[2 * (KAMAP_PATH_LEN + 1)];
	struct asked_at asked_at;
	u32 busy;
};

/*
 * A program takes a draft of its CPU and gives it back. One would do where
 * programs cannot be preempted; seeding can, and so can all on some kernels.
 */
#define DRAFTS 4

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DRAFTS);
	__type(key, u32);
	__type(value, struct draft);
} drafts SEC(".maps");

/* Returns NULL where all are taken. */
static __always_inline struct draft *try_draft(void)
{
	/* Mostly the first is free. Unrolled, the others would be in the way. */
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < DRAFTS; i++) {
		u32 slot = i;
		struct draft *draft = bpf_map_lookup_elem(&drafts, &slot);

		if (draft && !__sync_val_compare_and_swap(&draft->busy, 0, 1))
			return draft;
	}
	return NULL;
}

/* The same for what happens once: it is lost where all are taken. */
static __always_inline struct draft *take_draft(void)
{
	struct draft *draft = try_draft();

	if (!draft) {
		count(refused);
		count(skipped);
	}
	return draft;
}

static __always_inline void give_back_draft(struct draft *draft)
{
	*(volatile u32 *)&draft->busy = 0;
}

#endif
