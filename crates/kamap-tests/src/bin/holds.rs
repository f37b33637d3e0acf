//! Traces a child that execs the second argument, and stops it until standard input is closed.
//! Prints the child's PID when it is stopped. The first argument selects where:
//!
//! - `exit`: when it exits (PTRACE_EVENT_EXIT).
//! - `syscall`: when its call of execve returns.

use std::ffi::{CString, c_int, c_uint};
use std::io::{self, Read};
use std::ptr;

fn ptrace(request: c_uint, pid: c_int, data: c_int) -> io::Result<()> {
    // SAFETY: the requests made here take an integer as data, and no address.
    match unsafe { libc::ptrace(request, pid, ptr::null_mut::<u8>(), data as usize) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Waits until the child stops; returns its status.
fn stopped(pid: c_int) -> c_int {
    let mut status = 0;
    // SAFETY: `status` is valid for writing.
    let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!(waited, pid, "{}", io::Error::last_os_error());
    assert!(libc::WIFSTOPPED(status), "it has ended: {status:#x}");
    status
}

/// The system call at whose entry the child has stopped; `None` at a return.
fn call(pid: c_int) -> io::Result<Option<u64>> {
    // SAFETY: it is numbers, of which all may be 0.
    let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let len = size_of_val(&info);
    // SAFETY: `info` is valid for writing so many bytes.
    let got = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, len, &raw mut info) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return Ok(None);
    }
    // SAFETY: the kernel has filled in what belongs to this kind of stop.
    Ok(Some(unsafe { info.u.entry.nr }))
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let how = arguments.next().expect("it is told where to hold it");
    let program = arguments.next().expect("it is told what to exec");
    let program = CString::new(program)?;
    // SAFETY: this program has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let argv = [program.as_ptr(), ptr::null()];
        ptrace(libc::PTRACE_TRACEME, 0, 0)?;
        // SAFETY: the path and the list of arguments are terminated.
        unsafe {
            libc::raise(libc::SIGSTOP);
            libc::execv(program.as_ptr(), argv.as_ptr());
            libc::_exit(1)
        }
    }
    stopped(pid);
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACEEXIT | libc::PTRACE_O_EXITKILL;
    ptrace(libc::PTRACE_SETOPTIONS, pid, options)?;
    let request = match &*how {
        "exit" => libc::PTRACE_CONT,
        "syscall" => libc::PTRACE_SYSCALL,
        other => panic!("unknown argument {other:?}"),
    };
    let (mut in_execve, mut signal) = (false, 0);
    loop {
        ptrace(request, pid, signal)?;
        let status = stopped(pid);
        let at_end = status >> 16 == libc::PTRACE_EVENT_EXIT;
        assert!(!at_end || how == "exit", "it was not held before its end");
        if at_end {
            break;
        }
        signal = libc::WSTOPSIG(status);
        if signal == libc::SIGTRAP | 0x80 {
            signal = 0;
            match call(pid)? {
                Some(number) => in_execve = number == libc::SYS_execve as u64,
                None if in_execve => break,
                None => {}
            }
        }
    }
    println!("{pid}");
    io::stdin().read_to_end(&mut Vec::new())?;
    // It is killed with this process.
    Ok(())
}
