//! Making processes from what is known of them, for tests and for records of the past.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Origin, Process};
use crate::Cgroup;

impl Process {
    /// A process with this PID that started at this time since boot. All else is absent, zero or
    /// `false`, and its origin is [`Origin::Seed`]: set the public fields, and add texts with the
    /// `with_` methods.
    ///
    /// Trackers never need this. It lets code that uses processes be tested, and lets processes be
    /// read back from where they were stored.
    ///
    /// ```
    /// use std::time::Duration;
    /// use kamap::Process;
    ///
    /// let mut make = Process::new(4711, Duration::from_secs(60))
    ///     .with_comm("make")
    ///     .with_exe("/usr/bin/make")
    ///     .with_args(["make", "-j2"]);
    /// make.uid = 1000;
    /// assert_eq!(make.args().last(), Some("-j2".as_ref()));
    /// ```
    pub fn new(pid: u32, start_time: Duration) -> Self {
        Self {
            pid,
            ppid: 0,
            parent_start_time: None,
            uid: 0,
            gid: 0,
            start_time,
            first_exec_time: None,
            last_exec_time: None,
            execs: 0,
            origin: Origin::Seed,
            program_seen: false,
            cgroup_id: 0,
            vpid: None,
            pid_ns: None,
            kernel_thread: false,
            exe_cut: false,
            file_cut: false,
            args_cut: false,
            exec_id: 0,
            comm: Vec::new(),
            exe: OsString::new(),
            file: None,
            args: Vec::new(),
            cgroup: None,
        }
    }

    /// Sets the name, see [`comm`](Self::comm).
    #[must_use]
    pub fn with_comm(mut self, comm: impl AsRef<[u8]>) -> Self {
        self.comm = comm.as_ref().to_vec();
        self
    }

    /// Sets the path of the executable, see [`exe`](Self::exe). An empty one means that it is not
    /// known.
    #[must_use]
    pub fn with_exe(mut self, exe: impl Into<PathBuf>) -> Self {
        self.exe = exe.into().into_os_string();
        self
    }

    /// Sets the file that was executed, see [`file`](Self::file).
    #[must_use]
    pub fn with_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into().into_os_string());
        self
    }

    /// Sets the arguments, see [`args`](Self::args). The kernel ends an argument at its first NUL:
    /// one that holds a NUL becomes two.
    #[must_use]
    pub fn with_args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.clear();
        for arg in args {
            self.args.extend(arg.as_ref().as_bytes());
            self.args.push(0);
        }
        self
    }

    /// Sets the cgroup, see [`cgroup`](Self::cgroup).
    #[must_use]
    pub fn with_cgroup(mut self, cgroup: impl Into<Arc<Cgroup>>) -> Self {
        self.cgroup = Some(cgroup.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_constructed_process_has_the_texts_that_it_was_given() {
        let process = Process::new(7, Duration::from_secs(1))
            .with_comm(b"\xff")
            .with_exe("/bin/sh")
            .with_file("")
            .with_args(["a", "", "b c"])
            .with_cgroup(Cgroup::new("/x"));
        assert_eq!(process.cgroup(), Some(&Cgroup::new("/x")));
        assert_eq!((process.pid, process.start_time.as_secs()), (7, 1));
        assert_eq!(process.comm_bytes(), b"\xff");
        assert_eq!(process.exe(), Some(Path::new("/bin/sh")));
        assert_eq!(process.file(), Some(Path::new("")));
        assert!(process.args().eq(["a", "", "b c"]));
        assert!(process.clone().with_args([""]).args().eq([""]));
        assert_eq!(process.with_args([""; 0]).args().count(), 0);

        let nothing = Process::new(7, Duration::ZERO);
        assert_eq!((nothing.exe(), nothing.file()), (None, None));
        assert_eq!(nothing.cgroup(), None);
        assert_eq!(nothing.args().count(), 0);
    }
}
