//! Telling threads to end, also where a test fails.

use std::sync::atomic::{AtomicBool, Ordering};

/// Sets a flag when it is dropped. A scope waits for its threads, also where the test
/// panics: without this those that wait for the flag never end.
#[derive(Debug)]
pub struct SetOnDrop<'a>(pub &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
