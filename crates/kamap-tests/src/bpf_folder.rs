//! A BPF file system of the test's own.

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

/// Where maps and programs can be pinned. Dropped, all pins are gone.
#[derive(Debug)]
pub struct BpfFolder {
    folder: tempfile::TempDir,
}

impl BpfFolder {
    /// Mounts a new one.
    ///
    /// # Panics
    ///
    /// If it cannot.
    #[track_caller]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = c_path(folder.path());
        // SAFETY: C strings, and no options.
        let mounted = unsafe {
            libc::mount(
                c"bpf".as_ptr(),
                path.as_ptr(),
                c"bpf".as_ptr(),
                0,
                std::ptr::null(),
            )
        };
        assert_eq!(mounted, 0, "{}", io::Error::last_os_error());
        Self { folder }
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Default for BpfFolder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for BpfFolder {
    fn drop(&mut self) {
        // SAFETY: a C string.
        unsafe { libc::umount2(c_path(self.folder.path()).as_ptr(), libc::MNT_DETACH) };
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_encoded_bytes()).expect("it has no zero")
}
