//! What libbpf says while it works: the only source of a verifier's log and of
//! the name of a map that the kernel refused.

use std::sync::{Mutex, MutexGuard, PoisonError};

use libbpf_rs::{PrintCallback, PrintLevel};

/// libbpf has one print callback for the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
static LOG: Mutex<String> = Mutex::new(String::new());

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep(_level: PrintLevel, message: String) {
    lock(&LOG).push_str(&message);
}

/// Puts the previous callback back, also when a panic passes by.
struct Restore(Option<(PrintLevel, PrintCallback)>);

impl Drop for Restore {
    fn drop(&mut self) {
        libbpf_rs::set_print(self.0.take());
    }
}

/// Runs `work` and returns what libbpf warned of meanwhile, which is then
/// printed nowhere else.
pub(crate) fn capture<T>(work: impl FnOnce() -> T) -> (T, String) {
    let _one_at_a_time = lock(&ONE_AT_A_TIME);
    lock(&LOG).clear();
    let restore = Restore(libbpf_rs::set_print(Some((PrintLevel::Warn, keep))));
    let result = work();
    drop(restore);
    (result, std::mem::take(&mut *lock(&LOG)))
}
