//! Forks as many children as the first argument says, on the CPU of the second argument and with
//! a real-time priority. Prints their PIDs on a line. When SIGUSR1 is sent to its process group,
//! all of them end at the same moment or, with a third argument, exec that program. It waits for
//! them when its standard input, which they share, is closed.

use std::ffi::CString;
use std::io::{self, Read};
use std::ptr;

use kamap_tests::{run_first, run_on};

/// Blocks SIGUSR1 so that [`libc::sigwait`] can wait for it; returns the signal set.
fn block() -> libc::sigset_t {
    // SAFETY: `set` is plain bits and valid for writing, then for reading.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGUSR1);
        libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut());
        set
    }
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = || -> usize {
        let number = arguments.next().expect("there are two numbers");
        number.parse().expect("it is a number")
    };
    let (count, cpu) = (number(), number());
    let program = arguments.next();
    let program = program.map(|path| CString::new(path).expect("it is a path"));
    let signal = block();

    let mut pids = Vec::new();
    for _ in 0..count {
        // SAFETY: this program has one thread.
        let pid = unsafe { libc::fork() };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        if pid == 0 {
            run_on(cpu);
            run_first();
            // SAFETY: the set is valid for reading, the number for writing; the path
            // and the list of arguments are terminated.
            unsafe {
                libc::sigwait(&signal, &mut 0);
                if let Some(program) = program {
                    let argv = [program.as_ptr(), ptr::null()];
                    libc::execv(program.as_ptr(), argv.as_ptr());
                }
                libc::_exit(0)
            }
        }
        pids.push(pid);
    }
    let text: Vec<_> = pids.iter().map(ToString::to_string).collect();
    println!("{}", text.join(" "));
    io::stdin().read_to_end(&mut Vec::new())?;
    for pid in pids {
        // SAFETY: asks for no status.
        unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
    }
    Ok(())
}
