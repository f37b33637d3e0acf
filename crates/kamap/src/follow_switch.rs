//! Telling programs that are attached whom to follow.

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::limits::LAST_FOLLOW_ID;
use crate::maps::{Array, Map};
use crate::skel::types::bss;
use crate::{Error, Result};

/// The variables of attached programs that say whose next child is followed. Who has claimed the ring of events sets
/// them; others would not see its events.
#[derive(Debug)]
pub(crate) struct FollowSwitch {
    globals: NonNull<bss>,
    /// Which command is followed.
    pub(crate) id: u32,
}

// SAFETY: the memory belongs to no thread, and is used by atomic operations only.
unsafe impl Send for FollowSwitch {}

impl FollowSwitch {
    /// For a command of which there has been none before: its number is another one.
    pub(crate) fn new(globals: &Map<Array<bss>>) -> Result<Self> {
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size_of::<bss>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                globals.as_fd().as_raw_fd(),
                0,
            )
        };
        let failed = |source| Error::System {
            action: "map the variables of attached programs",
            source,
        };
        if start == libc::MAP_FAILED {
            return Err(failed(io::Error::last_os_error()));
        }
        let Some(globals) = NonNull::new(start.cast()) else {
            return Err(failed(io::ErrorKind::AddrNotAvailable.into()));
        };
        let mut this = Self { globals, id: 0 };
        // Whoever has the PID of the last command by now is not followed.
        let followed = this.variable(offset_of!(bss, followed));
        followed.store(0, Ordering::SeqCst);
        while this.id == 0 {
            let before = this.variable(offset_of!(bss, follow_id));
            this.id = before.fetch_add(1, Ordering::SeqCst).wrapping_add(1) & LAST_FOLLOW_ID;
        }
        Ok(this)
    }

    /// Has the next child of this thread followed, which `spawn` starts.
    pub(crate) fn follow<T>(&self, spawn: impl FnOnce() -> T) -> T {
        let thread = self.variable(offset_of!(bss, follow_thread));
        // SAFETY: takes nothing, returns a number.
        thread.store(unsafe { libc::gettid() }.cast_unsigned(), Ordering::SeqCst);
        let spawned = spawn();
        // The child has taken it, if there is one.
        thread.store(0, Ordering::SeqCst);
        spawned
    }

    fn variable(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: a number of this size lies there, aligned, in memory that is mapped as long as this lives. The
        // programs and other processes change it by atomic operations too.
        unsafe { self.globals.cast::<AtomicU32>().byte_add(offset).as_ref() }
    }
}

impl Drop for FollowSwitch {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this size, and nothing refers to it any more.
        unsafe { libc::munmap(self.globals.as_ptr().cast(), size_of::<bss>()) };
    }
}
