//! Forks without exec. Prints the child's PID, waits until standard input is
//! closed, lets the child exit, waits for it, and prints its status.

use std::io::{self, Read};

fn main() -> io::Result<()> {
    let (until_dropped, waits) = io::pipe()?;
    // SAFETY: this program has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        drop(waits);
        (&until_dropped).read_to_end(&mut Vec::new())?;
        std::process::exit(0);
    }
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    println!("{pid}");
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(waits);
    let mut status = 0;
    // SAFETY: `status` is valid for writing.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    println!("{status}");
    Ok(())
}
