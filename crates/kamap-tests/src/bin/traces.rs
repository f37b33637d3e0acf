//! Traces the process whose PID is its argument and everything that it starts, like `strace -f`:
//! they stop at each system call, fork, exec and exit. Prints a line when it has begun, and ends
//! after the last of them.

use std::ffi::{c_int, c_uint};
use std::{io, ptr};

fn ptrace(request: c_uint, pid: c_int, data: c_int) -> io::Result<()> {
    // SAFETY: the requests made here take an integer as data, and no address.
    match unsafe { libc::ptrace(request, pid, ptr::null_mut::<u8>(), data as usize) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn main() -> io::Result<()> {
    let pid = std::env::args().nth(1).expect("it is told whom to trace");
    let pid = pid.parse().expect("it is a PID");
    let options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_TRACEEXIT;
    ptrace(libc::PTRACE_SEIZE, pid, options)?;
    ptrace(libc::PTRACE_INTERRUPT, pid, 0)?;
    println!();
    loop {
        let mut status = 0;
        // SAFETY: `status` is valid for writing.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::__WALL) };
        if pid < 0 {
            let err = io::Error::last_os_error();
            return match err.raw_os_error() {
                Some(libc::ECHILD) => Ok(()),
                _ => Err(err),
            };
        }
        if !libc::WIFSTOPPED(status) {
            continue;
        }
        let event = status >> 16;
        let signal = match libc::WSTOPSIG(status) {
            signal if event == 0 && signal != libc::SIGTRAP | 0x80 => signal,
            _ => 0,
        };
        // A process that was killed meanwhile cannot continue.
        match ptrace(libc::PTRACE_SYSCALL, pid, signal) {
            Err(err) if err.raw_os_error() != Some(libc::ESRCH) => return Err(err),
            _ => {}
        }
    }
}
