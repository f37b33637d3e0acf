//! BPF file systems for pins.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A BPF file system for one test. Dropping it unmounts it and removes all its pins.
#[derive(Debug)]
pub struct BpfFs {
    dir: TempDir,
}

impl BpfFs {
    /// Mounts one.
    ///
    /// # Panics
    ///
    /// If it cannot.
    #[track_caller]
    pub fn mount() -> Self {
        let dir = tempfile::tempdir().expect("a folder can be made");
        let path = c_path(dir.path());
        let none = std::ptr::null();
        // SAFETY: C strings, and no data.
        let mounted =
            unsafe { libc::mount(c"bpf".as_ptr(), path.as_ptr(), c"bpf".as_ptr(), 0, none) };
        assert_eq!(mounted, 0, "{}", io::Error::last_os_error());
        Self { dir }
    }

    /// A path in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        // SAFETY: a C string.
        unsafe { libc::umount2(c_path(self.dir.path()).as_ptr(), libc::MNT_DETACH) };
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("paths have no NUL")
}
