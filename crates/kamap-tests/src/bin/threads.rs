//! A process with threads in unusual situations. It reports that it runs, and waits until its
//! standard input is closed. The first argument selects what follows:
//!
//! - `leader-first`: the main thread has already ended with status 3; the other one ends with 5.
//! - `exec`: a thread other than the main one execs the second argument while eight others run.
//! - `exec-without-leader`: the main thread has already ended; after reading a line, another thread execs
//!   the second argument.
//! - `exec-fails`: a thread other than the main one changes its name to `thread` and its user to 4711,
//!   fails to exec the second argument, and forks a child that ends. Then the process ends.
//! - `together`: nine threads end at the same moment.
//! - `busy`: eight threads have used 100 ms of CPU each, according to the kernel, when the main thread
//!   ends the process. Each of them ends slowly.
//! - `many-together`: starts as many children as the second argument says, one after the other, each
//!   with nine threads that end at the same moment. Prints the PID of each and, after a line that lets
//!   it go, its status.

use std::ffi::CString;
use std::io::{self, Read};
use std::sync::Barrier;
use std::time::Duration;
use std::{ptr, thread};

/// Ends only the calling thread, with this status.
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

/// Execs `program` with its name as the only argument.
fn exec(program: &CString) -> ! {
    let arguments = [program.as_ptr(), ptr::null()];
    // SAFETY: the path and the list of arguments are terminated.
    unsafe { libc::execv(program.as_ptr(), arguments.as_ptr()) };
    panic!("exec failed: {}", io::Error::last_os_error());
}

/// Fails to exec as another user and with another name than the main thread.
fn fail_to_exec(program: &CString) {
    const UID: libc::uid_t = 4711;
    let arguments = [program.as_ptr(), ptr::null()];
    // SAFETY: the name, the path and the list of arguments are terminated. The call itself
    // changes the user of this thread only, which libc's setuid() does not. The child runs nothing.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NAME, c"thread".as_ptr()), 0);
        assert_eq!(libc::syscall(libc::SYS_setresuid, UID, UID, UID), 0);
        libc::execv(program.as_ptr(), arguments.as_ptr());
        let pid = libc::fork();
        if pid == 0 {
            libc::_exit(0);
        }
        assert_eq!(libc::waitpid(pid, ptr::null_mut(), 0), pid);
    }
}

/// Nine threads end at the same moment, including this one.
fn leave_together() -> ! {
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

/// Gives this thread so many files of its own that closing them takes long.
fn leave_slowly() {
    // SAFETY: takes numbers alone. It fails for none that matters: the test is then
    // less likely to find threads that are on their way out.
    unsafe {
        libc::unshare(libc::CLONE_FILES);
        for _ in 0..2_000 {
            libc::eventfd(0, 0);
        }
    }
}

/// The CPU time of this thread.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for writing.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Forks a child whose threads end at the same moment, when `input` is closed.
fn fork_together(input: &mut io::PipeReader, waits: io::PipeWriter) -> i32 {
    // SAFETY: this program has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        drop(waits);
        input.read_to_end(&mut Vec::new()).expect("it can be read");
        leave_together();
    }
    assert!(pid > 0, "{}", io::Error::last_os_error());
    println!("{pid}");
    io::stdin()
        .read_line(&mut String::new())
        .expect("standard input can be read");
    drop(waits);
    let mut status = 0;
    // SAFETY: `status` is valid for writing.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    status
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let how = arguments.next().expect("it is told what to do");
    println!();
    let second = arguments.next();
    let program = second
        .clone()
        .map(|path| CString::new(path).expect("it is a path"));
    match &*how {
        "leader-first" => {
            thread::spawn(|| {
                wait();
                leave(5);
            });
            leave(3);
        }
        "exec" => {
            let program = program.expect("it is told what to exec");
            for number in 0..8 {
                // Half of them on a CPU, half asleep.
                thread::spawn(move || {
                    loop {
                        if number % 2 == 0 {
                            std::hint::spin_loop();
                        } else {
                            thread::park();
                        }
                    }
                });
            }
            let execs = thread::spawn(move || {
                wait();
                exec(&program);
            });
            execs.join().expect("it does not return");
        }
        "exec-without-leader" => {
            let program = program.expect("it is told what to exec");
            thread::spawn(move || {
                io::stdin()
                    .read_line(&mut String::new())
                    .expect("standard input can be read");
                exec(&program);
            });
            leave(3);
        }
        "exec-fails" => {
            let program = program.expect("it is told what to exec");
            wait();
            let other = thread::spawn(move || fail_to_exec(&program));
            other.join().expect("it ends");
        }
        "together" => {
            wait();
            leave_together();
        }
        "busy" => {
            wait();
            let barrier: &Barrier = Box::leak(Box::new(Barrier::new(9)));
            for _ in 0..8 {
                thread::spawn(|| {
                    leave_slowly();
                    while cpu_time() < Duration::from_millis(100) {}
                    barrier.wait();
                    loop {
                        thread::park();
                    }
                });
            }
            barrier.wait();
            std::process::exit(0);
        }
        "many-together" => {
            let count = second.expect("it is told how many");
            for _ in 0..count.parse().expect("it is a number") {
                let (mut input, waits) = io::pipe().expect("there are descriptors");
                println!("{}", fork_together(&mut input, waits));
            }
        }
        other => panic!("unknown argument {other:?}"),
    }
}
