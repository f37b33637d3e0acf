//! Terminals for children.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::num::NonZero;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::ptr;

use crate::eventually;

/// A child on its own terminal. On drop it is killed and reaped.
pub struct OnTerminal {
    child: Child,
    master: Option<File>,
    text: Vec<u8>,
    /// What a terminal makes of the text.
    parser: vt100::Parser,
    /// How much of the text that is.
    parsed: usize,
}

/// What surrounds all that a terminal is to show at once.
const BEGIN_FRAME: &[u8] = b"\x1b[?2026h";
const END_FRAME: &[u8] = b"\x1b[?2026l";

/// Where `mark` begins for the last time.
fn last(text: &[u8], mark: &[u8]) -> Option<usize> {
    text.windows(mark.len()).rposition(|part| part == mark)
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
            parser: vt100::Parser::new(at_least_one(rows), at_least_one(columns), 0),
            parsed: 0,
        }
    }

    /// Types `keys`.
    ///
    /// # Panics
    ///
    /// If the terminal has been closed.
    #[track_caller]
    pub fn type_keys(&mut self, keys: &str) {
        let mut master = self.master.as_ref().expect("it is still open");
        let written = master.write_all(keys.as_bytes());
        written.expect("it can be typed");
    }

    /// Gives the terminal another size.
    ///
    /// # Panics
    ///
    /// If the terminal has been closed.
    #[track_caller]
    pub fn resize(&mut self, rows: u16, columns: u16) {
        let size = libc::winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        self.parser
            .screen_mut()
            .set_size(at_least_one(rows), at_least_one(columns));
        let master = self.master.as_ref().expect("it is still open");
        // SAFETY: it reads the size, which is valid.
        let set = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(set, 0, "{}", io::Error::last_os_error());
    }

    /// Whether the terminal edits lines and shows what is typed, as it does unless a program changes that.
    ///
    /// # Panics
    ///
    /// If the terminal has been closed.
    #[track_caller]
    pub fn has_line_editing(&self) -> bool {
        let mut settings = MaybeUninit::<libc::termios>::uninit();
        let master = self.master.as_ref().expect("it is still open");
        // SAFETY: there is room for what it writes.
        let got = unsafe { libc::tcgetattr(master.as_raw_fd(), settings.as_mut_ptr()) };
        assert_eq!(got, 0, "{}", io::Error::last_os_error());
        // SAFETY: it has not failed, so it has written them.
        let settings = unsafe { settings.assume_init() };
        settings.c_lflag & (libc::ICANON | libc::ECHO) == libc::ICANON | libc::ECHO
    }

    /// Waits until `ready` finds what it needs on the screen, as a terminal shows it.
    ///
    /// # Panics
    ///
    /// If it does not within a minute, or the terminal has been closed.
    #[track_caller]
    pub fn screen<T>(
        &mut self,
        what: &str,
        mut ready: impl FnMut(&vt100::Screen) -> Option<T>,
    ) -> T {
        let mut last = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(what, || {
                self.read();
                last = self.parser.screen().contents();
                ready(self.parser.screen())
            })
        }));
        found.unwrap_or_else(|panic| {
            eprintln!("the screen:\n{last}");
            std::panic::resume_unwind(panic)
        })
    }

    /// Reads what the child has written since.
    #[track_caller]
    fn read(&mut self) {
        let master = self.master.as_mut().expect("it is still open");
        match master.read_to_end(&mut self.text) {
            Ok(_) => {}
            // EIO: the child has ended. Everything that it wrote has been read.
            Err(err)
                if err.kind() == ErrorKind::WouldBlock || err.raw_os_error() == Some(libc::EIO) => {
            }
            Err(err) => panic!("the terminal cannot be read: {err}"),
        }
        // What is drawn at once is seen at once.
        let new = &self.text[self.parsed..];
        let [begin, end] = [BEGIN_FRAME, END_FRAME].map(|mark| last(new, mark));
        let whole = match begin {
            Some(begin) if end.is_none_or(|end| end < begin) => begin,
            _ => new.len(),
        };
        self.parser.process(&new[..whole]);
        self.parsed += whole;
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
        eventually(what, || {
            self.read();
            ready(&String::from_utf8_lossy(&self.text))
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

/// A terminal that does not know its size has 0 of each.
fn at_least_one(size: u16) -> NonZero<u16> {
    NonZero::new(size).unwrap_or(NonZero::<u16>::MIN)
}

impl fmt::Debug for OnTerminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnTerminal")
            .field("child", &self.child)
            .field("screen", &self.parser.screen().contents())
            .finish_non_exhaustive()
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // Both fail if the child has ended already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
