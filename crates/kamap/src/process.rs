//! A process, and the decoding of its row.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::Cgroup;
use crate::limits::{PATH_LEN, TEXT_LEN};
use crate::skel::types::{kamap_facts, kamap_flag, kamap_origin, kamap_process};
use crate::tasks::Task;

mod construct;

/// How a process came to be in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// It was alive before the tracker, or before the table had room for it.
    Seed,
    /// It started while the tracker watched, and has not exec'd.
    Fork,
    /// It exec'd while the tracker watched.
    Exec,
}

/// A process: a thread group, never a thread.
///
/// What can change while it lives is as of the call that has read it ([`Table::snapshot`](crate::Table::snapshot)) or, of an
/// [`Event`](crate::Event), as of when that happened. File and arguments are those of its last exec.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Process {
    /// Process ID (tgid), as the initial PID namespace counts.
    pub pid: u32,
    /// PID of the parent.
    pub ppid: u32,
    /// When the parent started: since boot, suspend included. It identifies the parent together with
    /// [`ppid`](Self::ppid). `None` if there is no parent.
    pub parent_start_time: Option<Duration>,
    /// Effective user ID, as `ps` shows it.
    pub uid: u32,
    /// Effective group ID.
    pub gid: u32,
    /// When it started: since boot, suspend included, as the kernel has it. Together with the
    /// PID this identifies a process of this boot, to every reader; PIDs are used again.
    /// [`Clock`](crate::Clock) converts it.
    pub start_time: Duration,
    /// When it first exec'd while the tracker watched.
    pub first_exec_time: Option<Duration>,
    /// When it last exec'd while the tracker watched.
    pub last_exec_time: Option<Duration>,
    /// How often it exec'd while the tracker watched.
    pub execs: u32,
    /// How it came to be in the table.
    pub origin: Origin,
    /// Whether the program that it runs was executed while the tracker watched: by itself, or by
    /// the process that it was forked from.
    pub program_seen: bool,
    /// ID of its cgroup in the v2 hierarchy: the inode number of its folder.
    pub cgroup_id: u64,
    /// The PID that it has in its own PID namespace, as processes there see it: 1 for the first process
    /// of a container. Only in a row; `None` in an event, and where the kernel's list did not show it.
    pub vpid: Option<u32>,
    /// The inode number of its PID namespace, as `/proc/PID/ns/pid` has it. `None` as for
    /// [`vpid`](Self::vpid).
    pub pid_ns: Option<u32>,
    /// Whether it is a thread of the kernel, which has neither executable nor
    /// arguments.
    pub kernel_thread: bool,
    /// Whether [`exe`](Self::exe) is only the end of the path.
    pub exe_cut: bool,
    /// Whether [`file`](Self::file) is only the beginning of the path.
    pub file_cut: bool,
    /// Whether [`args`](Self::args) are not all of the arguments: they were longer
    /// than what a row holds (about 600 bytes), or could not be read.
    pub args_cut: bool,
    /// The kernel's count of its execs, which goes on from the one of the process
    /// that forked it.
    pub(crate) exec_id: u64,
    pub(crate) comm: Vec<u8>,
    exe: OsString,
    file: Option<OsString>,
    args: Vec<u8>,
    /// Found by its ID after decoding.
    pub(crate) cgroup: Option<Arc<Cgroup>>,
}

impl Process {
    /// The name that the kernel has for it (at most 15 bytes), with bytes that
    /// are no UTF-8 replaced. It may hold control characters: escape it before
    /// it goes to a terminal.
    pub fn comm(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.comm)
    }

    /// The same, byte for byte.
    pub fn comm_bytes(&self) -> &[u8] {
        &self.comm
    }

    /// The executable that runs, as `/proc/PID/exe` names it, ` (deleted)`
    /// included: for a script its interpreter. `None` for kernel threads, for processes whose main
    /// thread had already gone when the tracker came, and for one that ended in an exec that failed.
    ///
    /// A row has room for 254 bytes (before Linux 6.2 also for about 30 folders only), an event for 4,095 bytes. Of a longer path the
    /// end is kept, after `…` ([`exe_cut`](Self::exe_cut)).
    pub fn exe(&self) -> Option<&Path> {
        (!self.exe.is_empty()).then(|| Path::new(&self.exe))
    }

    /// The file that was to be executed, as the caller of `execve` named it: for
    /// a script the script, for `fexecve` `/dev/fd/N`. One that has not exec'd since it
    /// was forked has its parent's. `None` if neither exec'd while the tracker watched.
    ///
    /// A row has room for 255 bytes, an event for 4,095. Of a longer path the beginning is kept, before
    /// `…` ([`file_cut`](Self::file_cut)).
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref().map(Path::new)
    }

    /// The arguments, the name of the program first. If
    /// [`args_cut`](Self::args_cut), the last one may be shortened, and others
    /// may be missing.
    pub fn args(&self) -> impl Iterator<Item = &OsStr> {
        // Each argument ends with a NUL, so nothing follows the last one.
        let args = self.args.strip_suffix(b"\0").unwrap_or(&self.args);
        let none = self.args.is_empty();
        args.split(|&byte| byte == 0)
            .filter(move |_| !none)
            .map(OsStr::from_bytes)
    }

    /// Its cgroup in the v2 hierarchy: the path of [`cgroup_id`](Self::cgroup_id), and who runs in it.
    /// `None` if it is not known: the cgroup was removed before it was read for the first time, or no mount of
    /// the v2 hierarchy shows it ([`Cgroups`](crate::Cgroups)).
    pub fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_deref()
    }

    /// Whether its text has room in a row.
    pub(crate) fn fits_row(&self) -> bool {
        let file = self.file.as_ref().map_or(0, |file| file.len());
        let longest = self.exe.len().max(file);
        longest < PATH_LEN && self.exe.len() + file + self.args.len() <= TEXT_LEN
    }

    /// Whether it runs the program that `other`, the same process or the one that forked it, has run.
    pub(crate) fn runs_as(&self, other: &Self) -> bool {
        self.exec_id == other.exec_id
    }

    /// Takes over the path of the executable.
    pub(crate) fn take_exe(&mut self, from: &Self) {
        self.exe.clone_from(&from.exe);
        self.exe_cut = from.exe_cut;
    }

    /// Takes over the paths and the arguments.
    pub(crate) fn take_text(&mut self, from: &Self) {
        self.take_exe(from);
        self.file.clone_from(&from.file);
        self.args.clone_from(&from.args);
        (self.file_cut, self.args_cut) = (from.file_cut, from.args_cut);
    }

    /// Keeps at most so many bytes of the arguments.
    pub(crate) fn cut_args(&mut self, most: usize) {
        if self.args.len() > most {
            self.args.truncate(most);
            self.args_cut = true;
        }
    }

    /// The process of a row; `None` if it has ended while it was being added.
    pub(crate) fn from_row(row: &kamap_process) -> Option<Self> {
        let text = row.text.map(i8::cast_unsigned);
        (row.facts.start_time != 0).then(|| Self::decode(&row.facts, &text))
    }

    /// Whether it is the process with this identity.
    pub(crate) fn is(&self, pid: u32, start_time: Duration) -> bool {
        (self.pid, self.start_time) == (pid, start_time)
    }

    /// The process with what can change as `task` has it.
    pub(crate) fn refreshed(mut self, task: &Task) -> Self {
        self.take_state(&task.facts);
        self.take_own_pid(task);
        // One whose main thread has gone has no executable any more.
        if task.facts.exec_id == self.exec_id && !task.exe.is_empty() {
            self.take_exe_of(&task.facts, &task.exe);
        }
        self
    }

    /// Takes over its PID in its own namespace.
    pub(crate) fn take_own_pid(&mut self, task: &Task) {
        (self.vpid, self.pid_ns) = task.own_pid.unzip();
    }

    /// Takes over what can change without an exec, but for the path of the executable.
    fn take_state(&mut self, facts: &kamap_facts) {
        self.ppid = facts.ppid;
        self.parent_start_time =
            (facts.ppid != 0).then(|| Duration::from_nanos(facts.parent_start_time));
        self.uid = facts.uid;
        self.gid = facts.gid;
        self.cgroup_id = facts.cgroup_id;
        self.cgroup = None;
        self.comm.clear();
        self.comm.extend(until_nul(&facts.comm));
    }

    /// Takes over the path of the executable, of which `exe` is what was kept.
    fn take_exe_of(&mut self, facts: &kamap_facts, exe: &[u8]) {
        self.exe_cut = has(facts, kamap_flag::KAMAP_EXE_CUT);
        self.exe = path([
            (self.exe_cut, "…".as_bytes()),
            (true, exe),
            (has(facts, kamap_flag::KAMAP_EXE_DELETED), b" (deleted)"),
        ]);
    }

    /// The process with these facts and this text.
    pub(crate) fn decode(facts: &kamap_facts, text: &[u8]) -> Self {
        let flag = |flag| has(facts, flag);
        let (exe, rest) = split(text, facts.exe_len.into());
        let (file, rest) = split(rest, facts.file_len.into());
        let (args, _) = split(rest, facts.args_kept);
        let time = |nanos| (nanos != 0).then(|| Duration::from_nanos(nanos));

        let mut process = Self {
            first_exec_time: time(facts.first_exec_time),
            last_exec_time: time(facts.last_exec_time),
            execs: facts.execs,
            origin: match facts.origin {
                kamap_origin::KAMAP_ORIGIN_EXEC => Origin::Exec,
                kamap_origin::KAMAP_ORIGIN_FORK => Origin::Fork,
                _ => Origin::Seed,
            },
            program_seen: flag(kamap_flag::KAMAP_PROGRAM_SEEN),
            kernel_thread: flag(kamap_flag::KAMAP_KTHREAD),
            file_cut: flag(kamap_flag::KAMAP_FILE_CUT),
            args_cut: facts.args_kept < facts.args_len,
            exec_id: facts.exec_id,
            file: flag(kamap_flag::KAMAP_FILE_KNOWN).then(|| {
                path([
                    (true, file),
                    (flag(kamap_flag::KAMAP_FILE_CUT), "…".as_bytes()),
                    (false, b""),
                ])
            }),
            args: args.to_vec(),
            ..Self::new(facts.pid, Duration::from_nanos(facts.start_time))
        };
        process.take_state(facts);
        process.take_exe_of(facts, exe);
        process
    }
}

/// Whether this flag is set.
fn has(facts: &kamap_facts, flag: kamap_flag) -> bool {
    facts.flags.0 & flag.0 != 0
}

/// The bytes of a C string, or all where no NUL ends it.
pub(crate) fn until_nul(text: &[i8]) -> impl Iterator<Item = u8> {
    let bytes = text.iter().map(|byte| byte.cast_unsigned());
    bytes.take_while(|&byte| byte != 0)
}

/// Like `split_at`, but never beyond the end.
fn split(text: &[u8], len: u32) -> (&[u8], &[u8]) {
    text.split_at((len as usize).min(text.len()))
}

fn path(parts: [(bool, &[u8]); 3]) -> OsString {
    let parts = parts.iter().filter(|part| part.0).map(|part| part.1);
    let mut path = Vec::with_capacity(parts.clone().map(<[u8]>::len).sum());
    parts.for_each(|part| path.extend_from_slice(part));
    OsString::from_vec(path)
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn row(exe: &[u8], file: &[u8], args: &[u8]) -> kamap_process {
        let facts = kamap_facts {
            exe_len: exe.len() as u16,
            file_len: file.len() as u16,
            args_kept: args.len() as u32,
            args_len: args.len() as u32,
            origin: kamap_origin::KAMAP_ORIGIN_EXEC,
            start_time: 1,
            flags: match file.is_empty() {
                true => kamap_flag(0),
                false => kamap_flag::KAMAP_FILE_KNOWN,
            },
            ..kamap_facts::default()
        };
        let mut row = kamap_process {
            facts,
            ..kamap_process::default()
        };
        for (to, from) in row.text.iter_mut().zip([exe, file, args].concat()) {
            *to = from.cast_signed();
        }
        row
    }

    pub(super) fn decoded(row: &kamap_process) -> Process {
        Process::from_row(row).expect("it has a start time")
    }

    fn args(bytes: &[u8]) -> Vec<String> {
        let process = decoded(&row(b"", b"", bytes));
        let args = process.args();
        args.map(|arg| arg.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn arguments_are_told_apart_by_their_nul() {
        assert_eq!(args(b"ls\0-l\0"), ["ls", "-l"]);
        assert_eq!(args(b"ls\0"), ["ls"]);
        assert_eq!(args(b"a\0\0b\0"), ["a", "", "b"]);
        assert_eq!(args(b"a\0\0"), ["a", ""]);
        assert_eq!(args(b"\0"), [""]);
        assert!(args(b"").is_empty());
        assert_eq!(args(b"cut of"), ["cut of"]);
    }

    #[test]
    fn exe_file_and_arguments_are_told_apart() {
        let process = decoded(&row(b"/usr/bin/dash", b"./run", b"sh\0./run\0"));
        assert_eq!(process.exe(), Some(Path::new("/usr/bin/dash")));
        assert_eq!(process.file(), Some(Path::new("./run")));
        assert!(process.args().eq(["sh", "./run"]));
        assert!(!process.args_cut);

        let nothing = decoded(&row(b"", b"", b""));
        assert_eq!((nothing.exe(), nothing.file()), (None, None));
    }

    #[test]
    fn what_was_cut_or_deleted_says_so() {
        let mut long = row(b"/deep/prog", b"./very/lo", b"a\0b");
        long.facts.flags = kamap_flag(
            kamap_flag::KAMAP_EXE_CUT.0
                | kamap_flag::KAMAP_EXE_DELETED.0
                | kamap_flag::KAMAP_FILE_CUT.0
                | kamap_flag::KAMAP_FILE_KNOWN.0,
        );
        long.facts.args_len = 900;
        let process = decoded(&long);
        assert_eq!(process.exe(), Some(Path::new("…/deep/prog (deleted)")));
        assert_eq!(process.file(), Some(Path::new("./very/lo…")));
        assert!(process.args_cut);
    }

    #[test]
    fn lengths_beyond_the_text_do_no_harm() {
        let mut wild = row(b"/bin/true", b"", b"");
        (wild.facts.exe_len, wild.facts.file_len) = (600, u16::MAX);
        wild.facts.args_kept = u32::MAX;
        let process = decoded(&wild);
        assert_eq!(process.exe().map(|exe| exe.as_os_str().len()), Some(600));
        assert_eq!(process.args().count(), 0);
    }

    #[test]
    fn a_comm_of_full_length_needs_no_nul() {
        let mut full = row(b"", b"", b"");
        full.facts.comm = [b'x'.cast_signed(); 16];
        assert_eq!(decoded(&full).comm(), "x".repeat(16));
    }
}
