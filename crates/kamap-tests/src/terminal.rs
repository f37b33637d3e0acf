//! Terminals for children.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::ptr;

use crate::eventually;

/// A child on its own terminal. On drop it is killed and reaped.
#[derive(Debug)]
pub struct OnTerminal {
    child: Child,
    master: Option<File>,
    text: Vec<u8>,
}

impl OnTerminal {
    /// Starts `command` on a terminal of this size, which becomes its controlling terminal.
    ///
    /// # Panics
    ///
    /// If a terminal cannot be opened, or the child does not start.
    #[track_caller]
    pub fn start(rows: u16, columns: u16, command: &mut Command) -> Self {
        let size = libc::winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let (mut master, mut slave) = (-1, -1);
        // SAFETY: both descriptors are valid for writing, `size` for reading, and
        // neither a name nor settings are given.
        let opened = unsafe {
            libc::openpty(
                &mut master,
                &mut slave,
                ptr::null_mut(),
                ptr::null(),
                &raw const size,
            )
        };
        assert_eq!(opened, 0, "{}", io::Error::last_os_error());
        // SAFETY: both have just been opened, and nobody else has them.
        let (master, slave) = unsafe { (File::from_raw_fd(master), File::from_raw_fd(slave)) };
        for (fd, get, set, flag) in [
            // Otherwise the child would keep the other end open.
            (&master, libc::F_GETFD, libc::F_SETFD, libc::FD_CLOEXEC),
            (&slave, libc::F_GETFD, libc::F_SETFD, libc::FD_CLOEXEC),
            (&master, libc::F_GETFL, libc::F_SETFL, libc::O_NONBLOCK),
        ] {
            // SAFETY: neither takes a pointer.
            let set = unsafe {
                let flags = libc::fcntl(fd.as_raw_fd(), get);
                libc::fcntl(fd.as_raw_fd(), set, flags | flag)
            };
            assert_eq!(set, 0, "{}", io::Error::last_os_error());
        }
        let end = || slave.try_clone().expect("it can be duplicated");
        command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: both are system calls and nothing else.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("the child starts");
        Self {
            child,
            master: Some(master),
            text: Vec::new(),
        }
    }

    /// Process ID of the child.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` finds what it needs in everything that the child has written.
    ///
    /// # Panics
    ///
    /// If it does not within a minute, or the terminal has been closed.
    #[track_caller]
    pub fn shows<T>(&mut self, what: &str, mut ready: impl FnMut(&str) -> Option<T>) -> T {
        let (master, text) = (&mut self.master, &mut self.text);
        let master = master.as_mut().expect("it is still open");
        eventually(what, || {
            match master.read_to_end(text) {
                Ok(_) => {}
                // EIO: the child has ended. Everything that it wrote has been read.
                Err(err)
                    if err.kind() == ErrorKind::WouldBlock
                        || err.raw_os_error() == Some(libc::EIO) => {}
                Err(err) => panic!("the terminal cannot be read: {err}"),
            }
            ready(&String::from_utf8_lossy(text))
        })
    }

    /// Closes the terminal, like closing its window.
    pub fn hang_up(&mut self) {
        drop(self.master.take());
    }

    /// Waits until the child has ended.
    ///
    /// # Panics
    ///
    /// If it does not within a minute.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the child ends", || {
            child.try_wait().expect("it can be waited for")
        })
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // Both fail if the child has ended already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
