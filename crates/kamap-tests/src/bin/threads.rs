//! Processes whose threads do what tools trip over. Says that it runs, waits until
//! its standard input is closed, then, by its first argument:
//!
//! - `leader-first`: the main thread has left already, with status 3; the other
//!   one leaves with status 5.
//! - `exec`: a thread that is not the main one execs the second argument.
//! - `together`: nine threads leave at once.

use std::ffi::CString;
use std::io::{self, Read};
use std::sync::Barrier;
use std::{ptr, thread};

/// Ends the calling thread alone, with a status of its own.
fn leave(status: i32) -> ! {
    // SAFETY: exit(2) takes one integer. It runs no destructor, and nothing here
    // relies on one.
    unsafe { libc::syscall(libc::SYS_exit, status) };
    unreachable!("exit(2) does not return")
}

fn wait() {
    io::stdin()
        .read_to_end(&mut Vec::new())
        .expect("standard input can be read");
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    println!();
    match arguments.next().as_deref() {
        Some("leader-first") => {
            thread::spawn(|| {
                wait();
                leave(5);
            });
            leave(3);
        }
        Some("exec") => {
            let program = arguments.next().expect("it is told what to exec");
            let program = CString::new(program).expect("it is a path");
            let exec = thread::spawn(move || {
                wait();
                let arguments = [program.as_ptr(), ptr::null()];
                // SAFETY: the path and the list of arguments are terminated.
                unsafe { libc::execv(program.as_ptr(), arguments.as_ptr()) };
                panic!("exec failed: {}", io::Error::last_os_error());
            });
            exec.join().expect("it does not return");
        }
        Some("together") => {
            wait();
            let barrier: &Barrier = Box::leak(Box::new(Barrier::new(9)));
            for status in 0..8 {
                thread::spawn(move || {
                    barrier.wait();
                    leave(status);
                });
            }
            barrier.wait();
            leave(8);
        }
        other => panic!("unknown argument {other:?}"),
    }
}
