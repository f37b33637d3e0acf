//! Forks as many children as its first argument says, to run before anything else on
//! the CPU that the second one names. Prints their PIDs in a line, and waits for a
//! line. Then all children end at one moment or, with a third argument, exec that
//! and run until standard input is closed.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::ptr;

/// Has the calling process run on `cpu` alone, and before all that is not like it.
fn come_first_on(cpu: usize) -> io::Result<()> {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: a `cpu_set_t` is plain bits, of which none is set; `set` and
    // `priority` are valid for reading.
    let failed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set) != 0
            || libc::sched_setscheduler(0, libc::SCHED_FIFO, &priority) != 0
    };
    match failed {
        true => Err(io::Error::last_os_error()),
        false => Ok(()),
    }
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = || -> usize {
        let number = arguments.next().expect("there are two numbers");
        number.parse().expect("it is a number")
    };
    let (count, cpu) = (number(), number());
    let program = arguments
        .next()
        .map(|program| CString::new(program).expect("it is a path"));
    let argv = [
        program.as_ref().map_or(ptr::null(), |path| path.as_ptr()),
        ptr::null(),
    ];

    let (until_dropped, waits) = io::pipe()?;
    let (input, open) = io::pipe()?;
    let mut pids = Vec::new();
    for _ in 0..count {
        // SAFETY: this program has one thread.
        let pid = unsafe { libc::fork() };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        if pid == 0 {
            drop(waits);
            come_first_on(cpu)?;
            (&until_dropped).read_to_end(&mut Vec::new())?;
            // SAFETY: without a program nothing is dereferenced but the end of the
            // list; with one, its path and the list are terminated.
            unsafe {
                if program.is_some() {
                    libc::dup2(input.as_raw_fd(), 0);
                    libc::execv(argv[0], argv.as_ptr());
                }
                libc::_exit(0)
            }
        }
        pids.push(pid);
    }
    let text: Vec<_> = pids.iter().map(ToString::to_string).collect();
    println!("{}", text.join(" "));
    io::stdin().read_line(&mut String::new())?;
    drop(waits);
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(open);
    for pid in pids {
        // SAFETY: asks for no status.
        unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
    }
    Ok(())
}
