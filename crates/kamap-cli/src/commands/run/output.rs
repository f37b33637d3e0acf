//! Where events, report and timeline are written.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::Context;

use crate::policy::stdout;

/// Where something is printed.
pub(super) struct Target {
    file: File,
    /// Whether it is a file whose contents are still to be replaced. They are kept until there is
    /// something to write: it may turn out that nothing can be run.
    anew: bool,
    on_terminal: bool,
}

impl Target {
    /// The file at `path`, standard output as `-`; without a path standard error.
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let standard = match path {
            None => io::stderr().as_fd().try_clone_to_owned(),
            Some(path) if path == Path::new("-") => {
                stdout::check()?;
                io::stdout().as_fd().try_clone_to_owned()
            }
            Some(path) => {
                let mut options = File::options();
                let file = options.write(true).create(true).truncate(false).open(path);
                return Ok(Self {
                    file: file.with_context(|| format!("failed to create `{}`", path.display()))?,
                    anew: true,
                    on_terminal: false,
                });
            }
        };
        let file = File::from(standard.context("failed to duplicate a file descriptor")?);
        Ok(Self {
            on_terminal: file.is_terminal(),
            file,
            anew: false,
        })
    }

    /// Whether it is the same file as `other`, by whatever name, so that the output of both would be
    /// mixed.
    pub(super) fn is_mixed_with(&self, other: &Self) -> io::Result<bool> {
        let (one, other) = (self.file.metadata()?, other.file.metadata()?);
        let same = (one.dev(), one.ino()) == (other.dev(), other.ino());
        // What is written to /dev/null is not read.
        Ok(same && (!one.file_type().is_char_device() || self.on_terminal))
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.anew {
            // Pipes and devices hold nothing, and cannot be shortened.
            if self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
            }
            self.anew = false;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Where to print. Once that fails, nothing more is printed, but the command goes on.
pub(super) struct Report {
    out: BufWriter<Target>,
    pub(super) on_terminal: bool,
    failed: io::Result<()>,
}

impl Report {
    pub(super) fn to(target: Target) -> Self {
        Self {
            on_terminal: target.on_terminal,
            out: BufWriter::new(target),
            failed: Ok(()),
        }
    }

    pub(super) fn write(&mut self, write: impl FnOnce(&mut BufWriter<Target>) -> io::Result<()>) {
        if self.failed.is_ok() {
            self.failed = write(&mut self.out);
        }
    }

    /// The error, if writing failed, unless the output was closed.
    pub(super) fn end(self) -> anyhow::Result<()> {
        match self.failed {
            Err(err) if err.kind() != io::ErrorKind::BrokenPipe => {
                Err(err).context("failed to write the events")
            }
            _ => Ok(()),
        }
    }
}
