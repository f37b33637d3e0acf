//! Running BPF iterators.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use crate::{Error, Result};

/// An attached BPF iterator: each run prints anew.
#[derive(Debug)]
pub(crate) enum BpfIterator {
    /// The link that attaches it.
    Link(OwnedFd),
    /// Where its link is pinned: a file like others, which needs no right to use BPF.
    Pin(PathBuf),
}

impl BpfIterator {
    /// Runs it to its end; returns what it prints.
    pub(crate) fn run(&self) -> Result<Vec<u8>> {
        let failed = |source| Error::System {
            action: "run a BPF iterator",
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
        let link = match self {
            Self::Link(link) => link,
            Self::Pin(path) => return File::open(path),
        };
        // SAFETY: takes a number; returns a negative errno or a new file descriptor.
        let fd = unsafe { libbpf_sys::bpf_iter_create(link.as_raw_fd()) };
        if fd < 0 {
            return Err(io::Error::from_raw_os_error(-fd));
        }
        // SAFETY: it is new, so nobody else closes it.
        Ok(unsafe { File::from_raw_fd(fd) })
    }
}
