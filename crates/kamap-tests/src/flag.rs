//! Flags that end threads, even if the test fails.

use std::sync::atomic::{AtomicBool, Ordering};

/// Sets a flag when it is dropped. A scope waits for its threads even if the test panics, so
/// threads that wait for the flag would never end without this.
#[derive(Debug)]
pub struct SetOnDrop<'a>(pub &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
