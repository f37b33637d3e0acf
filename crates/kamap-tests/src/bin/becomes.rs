//! Reports that it runs, then makes the change that each line of its standard input names, and
//! prints an empty line when it is done:
//!
//! - `name NAME`: changes its name (PR_SET_NAME).
//! - `comm NAME`: changes its name by writing to `/proc/self/comm`.
//! - `user UID`: changes its user to this one, and its group to the next number.
//! - `orphan`: forks a child, which continues in its place, and ends. Prints the child's PID instead.
//!
//! Ends with status 7 when its standard input is closed.

use std::ffi::CString;
use std::io;

fn check(result: i32) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn become_orphan() -> io::Result<()> {
    // SAFETY: takes nothing and cannot fail.
    let parent = unsafe { libc::getpid() };
    // SAFETY: this program has one thread.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: takes nothing and cannot fail.
            while unsafe { libc::getppid() } == parent {
                std::thread::yield_now();
            }
            Ok(())
        }
        _ => std::process::exit(0),
    }
}

/// The next line. It is read byte by byte, because a child may continue to read.
fn line() -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut byte = 0_u8;
    loop {
        // SAFETY: there is room for one byte.
        match unsafe { libc::read(0, (&raw mut byte).cast(), 1) } {
            0 => return Ok(None),
            1 if byte == b'\n' => break,
            1 => line.push(byte),
            _ => return Err(io::Error::last_os_error()),
        }
    }
    Ok(Some(String::from_utf8(line).expect("it is UTF-8")))
}

fn main() -> io::Result<()> {
    println!();
    while let Some(line) = line()? {
        match line.split_once(' ') {
            Some(("name", name)) => {
                let name = CString::new(name)?;
                // SAFETY: the name is terminated.
                check(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) })?;
            }
            Some(("comm", name)) => std::fs::write("/proc/self/comm", name)?,
            Some(("user", uid)) => {
                let uid = uid.parse().expect("it is a number");
                // SAFETY: both take a number.
                unsafe {
                    check(libc::setgid(uid + 1))?;
                    check(libc::setuid(uid))?;
                }
            }
            None if line == "orphan" => {
                become_orphan()?;
                println!("{}", std::process::id());
                continue;
            }
            _ => panic!("unknown line {line:?}"),
        }
        println!();
    }
    std::process::exit(7)
}
