//! Running BPF iterators.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::{Error, Result};

/// An attached BPF iterator: each run prints anew.
#[derive(Debug)]
pub(crate) struct BpfIterator {
    link: OwnedFd,
}

impl BpfIterator {
    /// `link` attaches the program.
    pub(crate) fn new(link: OwnedFd) -> Self {
        Self { link }
    }

    /// Runs it to its end; returns what it prints.
    pub(crate) fn run(&self) -> Result<Vec<u8>> {
        let failed = |source| Error::System {
            action: "read the kernel's task list",
            source,
        };
        let mut file = self.begin().map_err(failed)?;
        let mut printed = Vec::new();
        loop {
            match file.read_to_end(&mut printed) {
                Ok(_) => return Ok(printed),
                // After a million tasks in a row the kernel wants to be asked again.
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                Err(err) => return Err(failed(err)),
            }
        }
    }

    fn begin(&self) -> io::Result<File> {
        // SAFETY: takes a number; returns a negative errno or a new file descriptor.
        let fd = unsafe { libbpf_sys::bpf_iter_create(self.link.as_raw_fd()) };
        if fd < 0 {
            return Err(io::Error::from_raw_os_error(-fd));
        }
        // SAFETY: it is new, so nobody else closes it.
        Ok(unsafe { File::from_raw_fd(fd) })
    }
}
