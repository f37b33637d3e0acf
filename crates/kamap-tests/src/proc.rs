//! Processes according to /proc.

use std::time::Duration;

use procfs::process::{Process, all_processes};

/// Value of the flag in include/linux/sched.h, unchanged since Linux 2.6.
const PF_EXITING: u32 = 0x4;

/// The fields of a process that can be compared with its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Process ID.
    pub pid: u32,
    /// Start time since boot, in clock ticks.
    pub start: u64,
    /// Parent's PID.
    pub ppid: u32,
    /// Effective user ID.
    pub uid: u32,
    /// Effective group ID.
    pub gid: u32,
    /// Its name. Kernel worker threads change theirs all the time.
    pub comm: String,
    /// Target of `/proc/PID/exe`; `None` for kernel threads.
    pub exe: Option<String>,
    /// Arguments.
    pub args: Vec<String>,
    /// Whether its main thread has ended: it is still exiting, or waits to be reaped.
    pub ended: bool,
}

/// Converts a time since boot to clock ticks, the unit of /proc.
pub fn ticks(time: Duration) -> u64 {
    (time.as_nanos() * u128::from(procfs::ticks_per_second()) / 1_000_000_000) as u64
}

/// The process `pid`; `None` if it does not exist.
pub fn stat(pid: u32) -> Option<Stat> {
    read(&Process::new(pid.cast_signed()).ok()?)
}

/// All processes, by PID.
///
/// # Panics
///
/// If /proc cannot be read.
#[track_caller]
pub fn processes() -> Vec<Stat> {
    let all = all_processes().expect("/proc can be read");
    all.filter_map(|process| read(&process.ok()?)).collect()
}

fn read(process: &Process) -> Option<Stat> {
    let stat = process.stat().ok()?;
    let status = process.status().ok()?;
    let cmdline = std::fs::read(format!("/proc/{}/cmdline", stat.pid)).ok()?;
    let args = cmdline.strip_suffix(b"\0").unwrap_or(&cmdline);
    let args = args.split(|&byte| byte == 0);
    Some(Stat {
        pid: stat.pid.cast_unsigned(),
        start: stat.starttime,
        ppid: stat.ppid.cast_unsigned(),
        uid: status.euid,
        gid: status.egid,
        comm: stat.comm,
        exe: process
            .exe()
            .ok()
            .map(|exe| exe.to_string_lossy().into_owned()),
        args: args
            .filter(|_| !cmdline.is_empty())
            .map(|arg| String::from_utf8_lossy(arg).into_owned())
            .collect(),
        ended: stat.flags & PF_EXITING != 0,
    })
}
