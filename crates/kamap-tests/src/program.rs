//! BPF programs.

use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libbpf_rs::libbpf_sys as sys;

/// A BPF program that does nothing.
#[derive(Debug)]
pub struct Program {
    fd: OwnedFd,
    /// Its ID.
    pub id: u32,
}

impl Program {
    /// Loads one.
    ///
    /// # Panics
    ///
    /// If the kernel refuses it.
    #[track_caller]
    pub fn load() -> Self {
        let instruction = |code| sys::bpf_insn {
            code,
            ..Default::default()
        };
        // r0 = 0; exit
        let instructions = [instruction(0xb7), instruction(0x95)];
        let mut info = sys::bpf_prog_info::default();
        let mut len = size_of_val(&info) as u32;
        // SAFETY: C strings, two instructions, and information of its size.
        let fd = unsafe {
            let fd = sys::bpf_prog_load(
                sys::BPF_PROG_TYPE_SOCKET_FILTER,
                c"nothing".as_ptr(),
                c"GPL".as_ptr(),
                instructions.as_ptr(),
                2,
                std::ptr::null_mut(),
            );
            assert!(fd >= 0, "it can be loaded: {fd}");
            let described = sys::bpf_prog_get_info_by_fd(fd, &mut info, &mut len);
            assert_eq!(described, 0, "the kernel describes it");
            OwnedFd::from_raw_fd(fd)
        };
        Self { fd, id: info.id }
    }

    /// Pins it.
    ///
    /// # Panics
    ///
    /// If it cannot.
    #[track_caller]
    pub fn pin(&self, path: &Path) {
        let path = CString::new(path.as_os_str().as_bytes()).expect("paths have no NUL");
        // SAFETY: a C string.
        let pinned = unsafe { sys::bpf_obj_pin(self.fd.as_raw_fd(), path.as_ptr()) };
        assert_eq!(pinned, 0, "it can be pinned");
    }
}
