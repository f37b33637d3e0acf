//! Maps that are written while they are read, or replaced.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use kamap_bpf::MapData;

use crate::SetOnDrop;

/// The key of a trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, MapData)]
#[repr(C)]
pub struct Net {
    /// How many bits of the address count.
    pub prefix_len: u32,
    /// The address.
    pub address: [u8; 4],
}

/// Makes the file descriptor of `map` one of `other`.
///
/// # Panics
///
/// If it cannot.
#[track_caller]
pub fn replace(map: &impl AsFd, other: &impl AsFd) {
    let fd = map.as_fd().as_raw_fd();
    // SAFETY: two open file descriptors, of which nothing else is kept.
    let replaced = unsafe { libc::dup2(other.as_fd().as_raw_fd(), fd) };
    assert_eq!(replaced, fd, "{}", io::Error::last_os_error());
}

/// Runs `read` and `write` at the same time until each has run `rounds` times.
pub fn while_written(rounds: u32, mut write: impl FnMut(u32) + Send, mut read: impl FnMut()) {
    let (written, done) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        // Otherwise the writer would never end where reading panics.
        let _ending = SetOnDrop(&done);
        let writer = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                write(written.fetch_add(1, Ordering::Relaxed));
            }
        });
        let mut read_rounds = 0;
        // A writer that panicked has ended; the scope then panics as well.
        while (read_rounds < rounds || written.load(Ordering::Relaxed) < rounds)
            && !writer.is_finished()
        {
            read();
            read_rounds += 1;
        }
    });
}
