//! Reports that it runs. For each line `COUNT PATH` of its standard input it tries COUNT times to
//! exec PATH, and prints the errno of the attempts. If PATH can be executed, it replaces this
//! program.

use std::ffi::CString;
use std::io;
use std::ptr;

fn main() {
    println!();
    for line in io::stdin().lines() {
        let line = line.expect("standard input can be read");
        let (count, path) = line.split_once(' ').expect("there are two words");
        let count: usize = count.parse().expect("it is a number");
        let path = CString::new(path).expect("it is a path");
        let arguments = [path.as_ptr(), ptr::null()];
        let mut errors: Vec<_> = (0..count)
            .map(|_| {
                // SAFETY: the path and the list of arguments are terminated.
                unsafe { libc::execv(path.as_ptr(), arguments.as_ptr()) };
                io::Error::last_os_error().raw_os_error()
            })
            .collect();
        errors.dedup();
        let [Some(error)] = errors[..] else {
            panic!("they failed differently: {errors:?}");
        };
        println!("{error}");
    }
}
