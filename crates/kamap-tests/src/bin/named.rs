//! Changes its name to its first argument (PR_SET_NAME), reports that it runs, and waits until its
//! standard input is closed.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;

fn main() -> io::Result<()> {
    let name = std::env::args_os().nth(1).expect("it is told its name");
    let name = CString::new(name.into_vec())?;
    // SAFETY: the name is terminated; the kernel takes 15 bytes of it.
    if unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    println!();
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
