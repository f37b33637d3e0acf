//! Starts a child and waits for it. The child execs the second argument. The first argument selects
//! how it is started:
//!
//! - `spawn`: posix_spawn(3).
//! - `vfork`: like vfork(2), which suspends the parent.
//! - `clone-parent`: as a child of this process's parent, which has to wait for it.
//! - `pid-namespace`: as the first process of a PID namespace.
//!
//! Except for `spawn`, the child first prints its PID as it sees it, and waits for a line.

use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::ptr;

/// The child's code. If it shares the memory of its parent, the parent is suspended.
extern "C" fn child(program: *mut c_void) -> c_int {
    let program = program.cast::<c_char>();
    let arguments = [program.cast_const(), ptr::null()];
    let mut byte = 0_u8;
    println!("{}", std::process::id());
    // SAFETY: `byte` has room for what is read into it, and the path and the list of
    // arguments are terminated.
    unsafe {
        while byte != b'\n' && libc::read(0, (&raw mut byte).cast(), 1) == 1 {}
        libc::execv(program, arguments.as_ptr());
        libc::_exit(127)
    }
}

/// Starts `child` with `flags` of clone(2); returns its PID.
fn clone(flags: c_int, program: &CString) -> io::Result<c_int> {
    // Never freed, because the child may share this memory and uses it.
    let stack = Box::leak(vec![0_u128; 4096].into_boxed_slice());
    // SAFETY: the stack grows down from its end, and lives as long as the child;
    // `child` takes the path that it is given.
    let pid = unsafe {
        libc::clone(
            child,
            stack.as_mut_ptr_range().end.cast(),
            flags | libc::SIGCHLD,
            program.as_ptr().cast_mut().cast(),
        )
    };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid),
    }
}

fn spawn(program: &CString) -> io::Result<c_int> {
    let arguments = [program.as_ptr().cast_mut(), ptr::null_mut()];
    let mut pid = 0;
    // SAFETY: `pid` is valid for writing, and the path and both lists are
    // terminated.
    let err = unsafe {
        libc::posix_spawn(
            &mut pid,
            program.as_ptr(),
            ptr::null(),
            ptr::null(),
            arguments.as_ptr(),
            [ptr::null_mut()].as_ptr(),
        )
    };
    match err {
        0 => Ok(pid),
        err => Err(io::Error::from_raw_os_error(err)),
    }
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let how = arguments.next().expect("it is told how");
    let program = arguments.next().expect("it is told what to exec");
    let program = CString::new(program).expect("it is a path");
    let pid = match &*how {
        "spawn" => spawn(&program)?,
        "vfork" => clone(libc::CLONE_VM | libc::CLONE_VFORK, &program)?,
        "pid-namespace" => clone(libc::CLONE_NEWPID, &program)?,
        "clone-parent" => {
            clone(libc::CLONE_PARENT, &program)?;
            loop {
                // SAFETY: takes nothing.
                unsafe { libc::pause() };
            }
        }
        other => panic!("unknown argument {other:?}"),
    };
    let mut status = 0;
    // SAFETY: `status` is valid for writing.
    if unsafe { libc::waitpid(pid, &mut status, 0) } != pid {
        return Err(io::Error::last_os_error());
    }
    std::process::exit(libc::WEXITSTATUS(status))
}
