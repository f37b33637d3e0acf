/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * How long a process has run, when its last thread is leaving.
 *
 * The scheduler adds a thread's time up at ticks and when it switches to another, so that up to
 * a tick is missing while it runs: all of it, for most processes. What is missing is the time
 * since `se.exec_start`, by the clock of the run queue; wait() has it, since the kernel looks
 * again later.
 */
#ifndef CPU_TIME_BPF_H
#define CPU_TIME_BPF_H

#include "events.bpf.h"
#include "kernel.bpf.h"

/*
 * An event of each CPU that counts the clock of the scheduler (PERF_COUNT_SW_CPU_CLOCK), which
 * no helper returns. The flag keeps them here when user space closes the map's file descriptor. User
 * space fills it before it attaches the programs, and creates it only where exits are wanted.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(map_flags, BPF_F_PRESERVE_ELEMS);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} cpu_clocks SEC(".maps");

/* How far the clock of the scheduler was ahead of the time since boot, and when that was. */
struct clock_lead {
	u64 lead;	/* 0: it is not known */
	u64 time;	/* since boot */
	u64 good_for;	/* nanoseconds from then on */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct clock_lead);
} clock_leads SEC(".maps");

/*
 * How long a lead is good for, in nanoseconds: reading the clock costs 1,500. The two clocks drift apart
 * by less than a thousandth (MAXFREQ in linux/timex.h), mostly by far less, so the time doubles each
 * time that the lead has stayed the same within LEAD_MAY_MOVE, and starts again where it has not.
 */
#define LEAD_GOOD_FOR_LEAST 4000000
#define LEAD_GOOD_FOR_MOST 32000000
#define LEAD_MAY_MOVE 1000

/*
 * local_clock() of the kernel, 0 where it is not known: on a CPU that was not there when the
 * events were opened. Reading the event makes it remember when that was (cpu_clock_event_update
 * in kernel/events/core.c), and what it says is counted from its start only.
 */
static __always_inline u64 read_scheduler_clock(void)
{
	struct bpf_perf_event_value value;
	u32 cpu = bpf_get_smp_processor_id();
	const struct bpf_event_entry *entry;
	const struct bpf_array *events;
	const void *map = &cpu_clocks;

	if (bpf_perf_event_read_value(&cpu_clocks, BPF_F_CURRENT_CPU, &value, sizeof(value)))
		return 0;
	/* The verifier adds nothing to the address of a map; a copy is a number to it. */
	bpf_probe_read_kernel(&events, sizeof(events), &map);
	if (bpf_probe_read_kernel(&entry, sizeof(entry),
				  (void *)__builtin_preserve_access_index(&events->ptrs) +
				  cpu * sizeof(entry)))
		return 0;
	return BPF_CORE_READ(entry, event, hw.prev_count.a.a.counter);
}

/* Reads both clocks. */
static __always_inline int renew_lead(struct clock_lead *lead)
{
	u64 clock = read_scheduler_clock();
	u64 good_for = 2 * lead->good_for;
	u64 before = lead->lead;

	if (!clock)
		return 0;
	lead->time = bpf_ktime_get_boot_ns();
	lead->lead = clock - lead->time;
	if (lead->lead - before + LEAD_MAY_MOVE > 2 * LEAD_MAY_MOVE || good_for < LEAD_GOOD_FOR_LEAST)
		good_for = LEAD_GOOD_FOR_LEAST;
	if (good_for > LEAD_GOOD_FOR_MOST)
		good_for = LEAD_GOOD_FOR_MOST;
	lead->good_for = good_for;
	return 1;
}

/* The clock of the scheduler at `time` since boot, which is now; 0 where it is not known. */
static __always_inline u64 scheduler_clock(u64 time)
{
	struct clock_lead *lead;
	u32 slot = 0;

	lead = bpf_map_lookup_elem(&clock_leads, &slot);
	if (!lead)
		return 0;
	if (!lead->lead || time - lead->time > lead->good_for) {
		if (!renew_lead(lead))
			return 0;
		time = lead->time;
	}
	return time + lead->lead;
}

/* Whether the clock of a run queue is that of the scheduler. */
static __always_inline int clocks_are_same(void)
{
	return !bpf_core_field_exists(struct rq, prev_irq_time) &&
	       !bpf_core_field_exists(struct rq, prev_steal_time_rq);
}

/*
 * How long a thread that runs has done so since its time was last added up. The clock of a run queue
 * leaves out what interrupts and, of a virtual machine, its host have taken, where the kernel tells
 * that apart; only with CONFIG_FAIR_GROUP_SCHED does a task lead to its run queue.
 */
static __always_inline u64 time_at_hand(u64 now, u64 since)
{
	/* Also where the clock is not known, and `now` is 0. */
	return now > since ? now - since : 0;
}

/* Whether the kernel says what the clock of a run queue leaves out. */
static __always_inline int knows_taken_time(void)
{
	return clocks_are_same() || bpf_core_field_exists(struct sched_entity, cfs_rq);
}

/* The most threads that are looked at one by one. */
#define MAX_THREADS 4096

/* A walk through the threads of a process that have not been released. */
struct threads {
	const struct signal_struct *signal;
	const struct list_head *at;
	const struct list_head *end;
	u64 now;
	u64 time;	/* that those so far have run */
	u64 memory;	/* of the last one, 0 if it has given that up */
};

static __always_inline void begin_threads(struct threads *threads)
{
	const struct signal_struct *signal = threads->signal;

	threads->at = BPF_CORE_READ(signal, thread_head.next);
	threads->end = &signal->thread_head;
}

static long add_thread(u32 i, struct threads *threads)
{
	const struct task_struct *thread = container_of(threads->at, struct task_struct, thread_node);

	if (threads->at == threads->end)
		return 1;
	threads->time += BPF_CORE_READ(thread, se.sum_exec_runtime);
	if (knows_taken_time() && BPF_CORE_READ(thread, on_cpu)) {
		u64 since = BPF_CORE_READ(thread, se.exec_start);

		if (!clocks_are_same()) {
			const struct rq *rq = BPF_CORE_READ(thread, se.cfs_rq, rq);

			since += BPF_CORE_READ(rq, clock) - BPF_CORE_READ(rq, clock_task);
		}
		threads->time += time_at_hand(threads->now, since);
	}
	threads->at = BPF_CORE_READ(thread, thread_node.next);
	return 0;
}

/* How often the threads are walked through until none was released meanwhile. */
#define WALKS 4

/*
 * Sums up the time of all threads; returns 1 if none was released meanwhile. That moves the
 * thread's time to the sum, under a sequence count: a walk that saw it change would count a thread
 * twice, or not at all.
 */
static long add_threads(u32 i, struct threads *threads)
{
	const struct signal_struct *signal = threads->signal;
	u32 sequence = BPF_CORE_READ(signal, stats_lock.seqcount.seqcount.sequence);

	begin_threads(threads);
	threads->time = BPF_CORE_READ(signal, sum_sched_runtime);
	bpf_loop(MAX_THREADS, add_thread, threads, 0);
	return !(sequence & 1) &&
	       sequence == BPF_CORE_READ(signal, stats_lock.seqcount.seqcount.sequence);
}

/*
 * The time that all threads of a process have run, whose last one, the current one, is leaving at
 * `time` since boot, which is now. Global, so that the verifier walks through it once, and not once
 * for each way that leads here. So its caller keeps all bounds in registers as well: the verifier of
 * 6.1 forgets those of 32 bits that it has to put aside.
 */
__noinline u64 sum_cpu_time(u64 time)
{
	const struct task_struct *task = untrusted(bpf_get_current_task_btf());
	const struct signal_struct *signal = task->signal;
	u64 now;
	u64 sum;

	/* Before 6.8 a global function is verified even if nothing calls it: without exits there is no clock. */
	if (!(wanted_events & KAMAP_EVENT_EXIT))
		return 0;
	now = scheduler_clock(time);
	if (signal->nr_threads > 1 && can_loop()) {
		struct threads threads = { .signal = signal, .now = now };

		bpf_loop(WALKS, add_threads, &threads, 0);
		return threads.time;
	}
	sum = signal->sum_sched_runtime + task->se.sum_exec_runtime;
	if (knows_taken_time()) {
		u64 since = task->se.exec_start;

		if (!clocks_are_same()) {
			const struct rq *rq = task->se.cfs_rq->rq;

			since += rq->clock - rq->clock_task;
		}
		sum += time_at_hand(now, since);
	}
	/* The main thread may have left before, but is released last. */
	if (task->group_leader != task)
		sum += task->group_leader->se.sum_exec_runtime;
	return sum;
}

/* Ends at the first thread that has memory. */
static long find_memory(u32 i, struct threads *threads)
{
	const struct task_struct *thread = container_of(threads->at, struct task_struct, thread_node);

	if (threads->at == threads->end)
		return 1;
	threads->memory = (u64)BPF_CORE_READ(thread, mm);
	threads->at = BPF_CORE_READ(thread, thread_node.next);
	return !!threads->memory;
}

/*
 * Whether a thread of the current process, of which this one has given it up, still has its memory.
 * Global for the same reason.
 */
__noinline int others_have_memory(void)
{
	struct threads threads = { .signal = untrusted(bpf_get_current_task_btf())->signal };

	if (!can_loop())
		return 0;
	begin_threads(&threads);
	bpf_loop(MAX_THREADS, find_memory, &threads, 0);
	return !!threads.memory;
}

#endif
