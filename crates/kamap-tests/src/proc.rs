//! What /proc says of processes.

use std::time::Duration;

use procfs::process::{Process, all_processes};

/// include/linux/sched.h; never renumbered since 2.6
const PF_EXITING: u32 = 0x4;

/// What of a process can be compared with its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Process ID.
    pub pid: u32,
    /// Start since boot, in clock ticks.
    pub start: u64,
    /// Parent's PID.
    pub ppid: u32,
    /// Effective user ID.
    pub uid: u32,
    /// Effective group ID.
    pub gid: u32,
    /// Its name. That of a worker thread of the kernel changes all the time.
    pub comm: String,
    /// Target of `/proc/PID/exe`; `None` for threads of the kernel.
    pub exe: Option<String>,
    /// Arguments.
    pub args: Vec<String>,
    /// Whether its main thread has ended, be it that it waits to be reaped or still
    /// gives back what it had.
    pub ended: bool,
}

/// `time` since boot in clock ticks, as /proc counts.
pub fn ticks(time: Duration) -> u64 {
    (time.as_nanos() * u128::from(procfs::ticks_per_second()) / 1_000_000_000) as u64
}

/// The process `pid`; `None` if it is not there.
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
