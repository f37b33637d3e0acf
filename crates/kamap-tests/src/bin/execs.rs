//! Execs its second argument, with all that follow as its arguments, the name of the
//! program included. By its first argument:
//!
//! - `path`: execve(2), as any program does.
//! - `descriptor`: fexecve(3), by descriptor 42.
//! - `empty-path`: execveat(2) with `AT_EMPTY_PATH`, by descriptor 42.
//! - `folder`: execveat(2) with the name in a folder that is open as descriptor 42.
//! - `memory`: a copy in memory that has no name (memfd), by descriptor 42.

use std::ffi::{CStr, CString, OsString, c_char, c_int};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::ptr;

unsafe extern "C" {
    static environ: *const *const c_char;
}

const DESCRIPTOR: c_int = 42;

/// Has `file` open as `DESCRIPTOR`, across exec: an interpreter opens it again.
fn keep(file: &File) {
    // SAFETY: takes two integers, and nothing else is open as the second.
    let kept = unsafe { libc::dup2(file.as_raw_fd(), DESCRIPTOR) };
    assert_eq!(kept, DESCRIPTOR, "{}", io::Error::last_os_error());
}

fn open(path: &Path) -> File {
    File::open(path).expect("it can be opened")
}

fn in_memory(path: &Path) -> File {
    // SAFETY: the name is terminated.
    let fd = unsafe { libc::memfd_create(c"in memory".as_ptr(), 0) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the descriptor is new, and nobody else's.
    let mut file = unsafe { File::from_raw_fd(fd) };
    io::copy(&mut open(path), &mut file).expect("it can be copied");
    file
}

fn c(text: OsString) -> CString {
    CString::new(text.into_vec()).expect("there is no NUL in it")
}

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let how = arguments.next().expect("it is told how");
    let program = arguments.next().expect("it is told what to exec");
    let path = Path::new(&program);
    let arguments: Vec<_> = arguments.map(c).collect();
    let mut argv: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    argv.push(ptr::null());

    let at = |name: &CStr, flags| {
        // SAFETY: the name and the lists are terminated.
        unsafe {
            libc::execveat(
                DESCRIPTOR,
                name.as_ptr(),
                argv.as_ptr().cast(),
                environ.cast(),
                flags,
            )
        };
    };
    match how.to_str() {
        Some("path") => {
            let path = c(program.clone());
            // SAFETY: the path and the list of arguments are terminated.
            unsafe { libc::execv(path.as_ptr(), argv.as_ptr()) };
        }
        Some("descriptor") => {
            keep(&open(path));
            // SAFETY: the lists are terminated.
            unsafe { libc::fexecve(DESCRIPTOR, argv.as_ptr(), environ) };
        }
        Some("empty-path") => {
            keep(&open(path));
            at(c"", libc::AT_EMPTY_PATH);
        }
        Some("folder") => {
            keep(&open(path.parent().expect("it is in a folder")));
            let name = path.file_name().expect("it has a name").to_owned();
            at(&c(name), 0);
        }
        Some("memory") => {
            keep(&in_memory(path));
            at(c"", libc::AT_EMPTY_PATH);
        }
        other => panic!("unknown argument {other:?}"),
    }
    panic!("exec failed: {}", io::Error::last_os_error());
}
