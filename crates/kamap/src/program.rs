//! What the kernel says of a loaded program, and running one.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use libbpf_sys::bpf_prog_info;

use crate::{Error, Result};

/// Asks for name, runs, run time and recursion misses of a program.
pub(crate) fn info(program: BorrowedFd<'_>) -> Result<bpf_prog_info> {
    let mut info = bpf_prog_info::default();
    let mut len = size_of_val(&info) as u32;
    // SAFETY: `info` is valid for writes of `len` bytes, and all 0 it asks for nothing that would need
    // a buffer.
    let ret = unsafe {
        libbpf_sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &raw mut info, &raw mut len)
    };
    if ret < 0 {
        return Err(Error::System {
            action: "ask for a program's statistics",
            source: io::Error::from_raw_os_error(-ret),
        });
    }
    Ok(info)
}

/// Runs a program that is not attached to anything, once. Makes a system call and nothing else.
pub(crate) fn run(program: RawFd) -> i32 {
    // SAFETY: takes a number, and no options.
    unsafe { libbpf_sys::bpf_prog_test_run_opts(program, std::ptr::null_mut()) }
}
