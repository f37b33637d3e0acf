//! Reports that it runs, waits until its standard input is closed, and aborts while three more
//! threads run. The argument, if there is one, limits the size of the
//! core dump in bytes.

use std::io::{self, Read};
use std::thread;

fn main() -> io::Result<()> {
    let bytes = std::env::args().nth(1);
    let bytes = bytes.map_or(libc::RLIM_INFINITY, |bytes| {
        bytes.parse().expect("it is a number")
    });
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: `limit` is valid for reading.
    if unsafe { libc::setrlimit(libc::RLIMIT_CORE, &limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    for _ in 0..3 {
        thread::spawn(|| {
            loop {
                thread::park();
            }
        });
    }
    println!();
    io::stdin().read_to_end(&mut Vec::new())?;
    std::process::abort()
}
