//! Keeping signals away while programs are loaded.

use std::mem::MaybeUninit;
use std::ptr;

/// While it lives, signals do not interrupt this thread; they wait, or go to
/// another thread.
///
/// The verifier gives up with EAGAIN as soon as one is pending (`do_check` in
/// kernel/bpf/verifier.c). libbpf tries five times, which is not enough for a
/// thread of a program whose children end all the time.
pub(crate) struct Blocked {
    before: libc::sigset_t,
}

impl Blocked {
    pub(crate) fn new() -> Self {
        let mut all = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: `sigfillset` initialises `all`; `pthread_sigmask` reads it and
        // initialises `before`. Neither can fail with valid arguments.
        let before = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            before.assume_init()
        };
        Self { before }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: `before` is a set that `pthread_sigmask` has written.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, ptr::null_mut()) };
    }
}
