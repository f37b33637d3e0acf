// SPDX-License-Identifier: GPL-2.0-only
/*
 * A congestion control for TCP that no connection uses: a map of struct_ops. A test names
 * it, because the names of all that there are in a kernel differ.
 */
#include "kernel.bpf.h"

/* The kernel lets none but GPL programs be operations of it. */
char LICENSE[] SEC("license") = "GPL";

struct sock;

/* include/net/tcp.h: what it cannot do without. libbpf finds the members by their names. */
struct tcp_congestion_ops {
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
};

SEC("struct_ops/ssthresh")
u32 ssthresh(u64 *ctx)
{
	return 2;
}

SEC("struct_ops/cong_avoid")
void cong_avoid(u64 *ctx)
{
}

SEC("struct_ops/undo_cwnd")
u32 undo_cwnd(u64 *ctx)
{
	return 2;
}

SEC(".struct_ops")
struct tcp_congestion_ops congestion = {
	.ssthresh = (void *)ssthresh,
	.cong_avoid = (void *)cong_avoid,
	.undo_cwnd = (void *)undo_cwnd,
};
