//! Children that run until they are released.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// A child that has exec'd and waits. On drop it is killed and reaped.
#[derive(Debug)]
pub struct Held {
    child: Child,
    stdout: BufReader<ChildStdout>,
    said: String,
}

impl Held {
    /// Starts `command` and waits for the first line that it prints.
    ///
    /// # Panics
    ///
    /// If it does not start, or ends without printing a line.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut held = Self {
            child,
            stdout,
            said: String::new(),
        };
        held.said = held.line();
        held
    }

    /// The first line that the child printed.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// Process ID of the child.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that the child prints.
    ///
    /// # Panics
    ///
    /// If the child ends without printing another line.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout
            .read_line(&mut line)
            .expect("the child prints UTF-8");
        line.strip_suffix('\n')
            .expect("the child prints a whole line")
            .to_owned()
    }

    /// Writes `text` to the child's standard input.
    ///
    /// # Panics
    ///
    /// If it is closed.
    #[track_caller]
    pub fn say(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("it is still open");
        stdin.write_all(text.as_bytes()).expect("the child reads");
    }

    /// Closes the child's standard input, which makes it end.
    pub fn let_go(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Lets the child end, and waits for it.
    ///
    /// # Panics
    ///
    /// If it cannot be waited for.
    #[track_caller]
    pub fn release(mut self) -> ExitStatus {
        // `wait` closes its standard input first.
        self.child.wait().expect("the child can be waited for")
    }

    /// Sends `signal` to the child.
    ///
    /// # Panics
    ///
    /// If it cannot.
    #[track_caller]
    pub fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so the PID is its own.
        let sent = unsafe { libc::kill(self.pid().cast_signed(), signal) };
        assert_eq!(sent, 0, "{}", io::Error::last_os_error());
    }

    /// The status of the child if it has ended.
    ///
    /// # Panics
    ///
    /// If it cannot be waited for.
    #[track_caller]
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child can be waited for")
    }

    /// Reads what the child prints until its end, and waits for it.
    ///
    /// # Panics
    ///
    /// If it prints anything but UTF-8.
    #[track_caller]
    pub fn read_to_end(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        let read = self.stdout.read_to_string(&mut rest);
        read.expect("the child prints UTF-8");
        let status = self.child.wait().expect("the child can be waited for");
        (status, rest)
    }

    /// Sends `signal` to the child, reads what it still prints, and waits for it.
    ///
    /// # Panics
    ///
    /// If it prints anything but UTF-8.
    #[track_caller]
    pub fn end(self, signal: i32) -> ExitStatus {
        self.signal(signal);
        self.read_to_end().0
    }

    /// Waits for the end of a child that ends on its own.
    ///
    /// # Panics
    ///
    /// If it cannot be waited for.
    #[track_caller]
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("the child can be waited for")
    }

    /// Kills the child, and waits for it.
    ///
    /// # Panics
    ///
    /// If it cannot be waited for.
    #[track_caller]
    pub fn kill(mut self) -> ExitStatus {
        self.child.kill().expect("the child can be killed");
        self.child.wait().expect("the child can be waited for")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Both fail if the child has ended already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
