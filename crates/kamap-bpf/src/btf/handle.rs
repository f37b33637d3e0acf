//! BTF in memory.

use std::fmt;
use std::io;
use std::ptr::NonNull;

/// BTF, as libbpf holds it.
pub(crate) struct Btf(pub(super) NonNull<libbpf_sys::btf>);

impl Btf {
    /// Loads BTF by its ID, which a map's information has.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_SYS_ADMIN`, `ENOENT` where there is none of this ID.
    pub(super) fn from_kernel(id: u32) -> io::Result<Self> {
        // SAFETY: takes a number and returns a pointer to be freed, or null with errno.
        let btf = unsafe { libbpf_sys::btf__load_from_kernel_by_id(id) };
        NonNull::new(btf)
            .map(Self)
            .ok_or_else(io::Error::last_os_error)
    }

    /// The running kernel's own, if it has any.
    pub(super) fn of_kernel() -> Option<Self> {
        // SAFETY: a C string; returns a pointer to be freed, or null.
        let btf = unsafe {
            libbpf_sys::btf__parse(c"/sys/kernel/btf/vmlinux".as_ptr(), std::ptr::null_mut())
        };
        NonNull::new(btf).map(Self)
    }
}

impl Drop for Btf {
    fn drop(&mut self) {
        // SAFETY: nobody else has the pointer, and all references have ended.
        unsafe { libbpf_sys::btf__free(self.0.as_ptr()) };
    }
}

impl fmt::Debug for Btf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Btf").finish_non_exhaustive()
    }
}
