/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * System calls of x86. The numbers are those of arch/x86/entry/syscalls/, the registers those of its
 * calling convention. Included by kernel.bpf.h only, which has the types first.
 */
#ifndef ARCH_X86_BPF_H
#define ARCH_X86_BPF_H

/* arch/x86/include/asm/thread_info.h: in a system call of 32 bits */
#define TS_COMPAT 0x0002

/* The numbers of the system calls that exec, of 64 and of 32 bits. */
enum {
	NR_EXECVE = 59,
	NR_EXECVEAT = 322,
	NR_COMPAT_EXECVE = 11,
	NR_COMPAT_EXECVEAT = 358,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct thread_info {
	u32 status;
};

/* What a system call was called with, and its number. */
struct pt_regs {
	unsigned long bx;
	unsigned long cx;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
};

#pragma clang attribute pop

/* Whether a thread is in a system call of 32 bits. */
static __always_inline int is_compat_call(const struct thread_info *thread)
{
	return !!(thread->status & TS_COMPAT);
}

/* The number of the system call that a thread is in. */
static __always_inline u32 get_call_number(const struct pt_regs *regs)
{
	return regs->orig_ax;
}

/* The first three arguments of a system call, of which one of 32 bits uses other registers. */
static __always_inline void get_call_args(const struct pt_regs *regs, int is_compat, u64 args[3])
{
	if (is_compat) {
		args[0] = (u32)regs->bx;
		args[1] = (u32)regs->cx;
		args[2] = (u32)regs->dx;
	} else {
		args[0] = regs->di;
		args[1] = regs->si;
		args[2] = regs->dx;
	}
}

#endif
