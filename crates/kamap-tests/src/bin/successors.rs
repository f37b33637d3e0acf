//! Starts children one after the other, all with the same PID. For each line of its standard input
//! it starts a child and prints the PID: after `exec ARGUMENT` the child execs the program of the
//! first argument, after `fork` it does not. At the next line it ends the child, waits for it, and
//! prints its status.

use std::ffi::{CString, c_int};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::ptr;

/// Like fork(2), but the child gets the PID `wanted` as soon as it is free; 0 means any PID.
fn fork_as(wanted: c_int) -> io::Result<c_int> {
    // SAFETY: it is numbers, and with 0 in all of them clone3(2) does nothing special.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.exit_signal = libc::SIGCHLD as u64;
    if wanted != 0 {
        args.set_tid = (&raw const wanted) as u64;
        args.set_tid_size = 1;
    }
    loop {
        // SAFETY: `args` and the PID that it points to are valid for reading. As
        // after fork(2), the child has this memory to itself, and there is one thread.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &args, size_of_val(&args)) };
        let err = io::Error::last_os_error();
        match pid {
            // Another process has this PID, and will end.
            -1 if err.raw_os_error() == Some(libc::EEXIST) => std::thread::yield_now(),
            -1 => return Err(err),
            pid => return Ok(pid as c_int),
        }
    }
}

fn main() -> io::Result<()> {
    let program = std::env::args().nth(1).expect("it is told what to exec");
    let program = CString::new(program).expect("it is a path");
    let mut lines = io::stdin().lines();
    let mut pid = 0;
    println!();
    while let Some(line) = lines.next().transpose()? {
        let argument = line.strip_prefix("exec ");
        let argument = argument.map(|text| CString::new(text).expect("there is no NUL in it"));
        let (input, open) = io::pipe()?;
        let (mut ready, output) = io::pipe()?;
        pid = fork_as(pid)?;
        if pid == 0 {
            drop(open);
            // SAFETY: the byte is valid for reading and writing; the path and the
            // list of arguments are terminated.
            unsafe {
                libc::dup2(input.as_raw_fd(), 0);
                libc::dup2(output.as_raw_fd(), 1);
                if let Some(argument) = argument {
                    let argv = [program.as_ptr(), argument.as_ptr(), ptr::null()];
                    libc::execv(program.as_ptr(), argv.as_ptr());
                    libc::_exit(127);
                }
                let mut byte = b'\n';
                libc::write(1, (&raw const byte).cast(), 1);
                libc::read(0, (&raw mut byte).cast(), 1);
                libc::_exit(0)
            }
        }
        drop(output);
        ready.read_exact(&mut [0])?;
        println!("{pid}");
        lines.next().transpose()?;
        drop(open);
        let mut status = 0;
        // SAFETY: `status` is valid for writing.
        unsafe { libc::waitpid(pid, &mut status, 0) };
        println!("{status}");
    }
    Ok(())
}
