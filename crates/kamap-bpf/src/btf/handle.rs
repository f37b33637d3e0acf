//! BTF in memory, owned by libbpf.

use std::fmt;
use std::io;
use std::ptr::NonNull;

/// BTF in memory; freed on drop.
pub(crate) struct Btf(pub(super) NonNull<libbpf_sys::btf>);

impl Btf {
    /// Loads the BTF with this ID, which a map's information contains.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_SYS_ADMIN`, `ENOENT` if there is no BTF with this ID.
    pub(super) fn from_kernel(id: u32) -> io::Result<Self> {
        // SAFETY: takes a number; returns null with errno, or a pointer that we free.
        let btf = unsafe { libbpf_sys::btf__load_from_kernel_by_id(id) };
        NonNull::new(btf)
            .map(Self)
            .ok_or_else(io::Error::last_os_error)
    }

    /// The BTF of the running kernel, if it has any.
    pub(super) fn of_kernel() -> Option<Self> {
        // SAFETY: a C string; returns null or a pointer that we free.
        let btf = unsafe {
            libbpf_sys::btf__parse(c"/sys/kernel/btf/vmlinux".as_ptr(), std::ptr::null_mut())
        };
        NonNull::new(btf).map(Self)
    }
}

impl Drop for Btf {
    fn drop(&mut self) {
        // SAFETY: nothing else owns the pointer, and all references to the BTF have ended.
        unsafe { libbpf_sys::btf__free(self.0.as_ptr()) };
    }
}

impl fmt::Debug for Btf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Btf").finish_non_exhaustive()
    }
}
