//! Values that are written and read as a whole, under a lock of their own.

use std::os::fd::AsFd;
use std::ptr;

use super::map::is;
use super::operation::Operation;
use super::{Error, Iterable, Map, Readable, Result, sys};

/// A kind of map whose values can have a [`SpinLock`](super::SpinLock) as a field:
/// [`Hash`](super::Hash) and [`Array`](super::Array).
pub trait Lockable: Iterable {}

impl<T: Lockable, A: Readable> Map<T, A> {
    /// The same map, each of whose operations copies a value in or out under the
    /// lock that the value has (`BPF_F_LOCK`, Linux 5.1): no value is torn.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpinLock`] if the map's values have no `struct bpf_spin_lock` by
    /// the map's BTF; or [`Error::Kernel`].
    pub fn locked(self) -> Result<Self> {
        let lock = u64::from(libbpf_sys::BPF_F_LOCK);
        // SAFETY: there is room for no entries.
        let (_, answer) = unsafe {
            sys::lookup_batch(
                self.as_fd(),
                false,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                0,
                lock,
            )
        };
        match answer {
            Ok(()) => Ok(self.with_flags(lock)),
            Err(err) if is(&err, libc::EINVAL) => Err(Error::NoSpinLock {
                map: self.name().to_owned(),
            }),
            Err(err) => Err(self.error(Operation::READ_BATCH, err)),
        }
    }
}
