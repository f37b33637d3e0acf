//! The table of processes, and the decoding of its rows.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::mem::offset_of;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use crate::maps::{Hash, Map};
use crate::skel::types::{kamap_facts, kamap_flag, kamap_origin, kamap_process};
use crate::{Clock, Result};

/// Kernel memory for each entry: key, row, and what the kernel adds (its `struct
/// htab_elem` before them and the bucket).
pub(crate) const BYTES_PER_ENTRY: u64 = size_of::<kamap_process>() as u64 + 8 + 48 + 16;

/// Bytes of text in a row.
const TEXT_LEN: usize = size_of::<kamap_process>() - offset_of!(kamap_process, text);

/// The live processes of the machine, read from the kernel's table.
#[derive(Debug)]
pub struct Table {
    rows: Map<Hash<u32, kamap_process>>,
}

impl Table {
    pub(crate) fn new(rows: Map<Hash<u32, kamap_process>>) -> Self {
        Self { rows }
    }

    /// All rows, by PID.
    ///
    /// A process that lives throughout the call is in it exactly once. Of those
    /// that start or end meanwhile, each may be in it or not.
    ///
    /// # Errors
    ///
    /// [`Error::Map`](crate::Error::Map), where the kernel fails to read its map.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let time = Clock::since_boot();
        let mut processes = self
            .rows
            .iter()
            .map(|entry| Ok(Process::from_row(&entry?.1)))
            .collect::<Result<Vec<_>>>()?;
        processes.sort_unstable_by_key(|process| (process.pid, process.start_time));
        Ok(Snapshot { time, processes })
    }

    /// The row of one process, `None` if there is none of that PID.
    ///
    /// # Errors
    ///
    /// [`Error::Map`](crate::Error::Map), where the kernel fails to read its map.
    pub fn get(&self, pid: u32) -> Result<Option<Process>> {
        // The kernel copies a single row without a lock, so it may be replaced
        // meanwhile: a reading counts when the next one is the same.
        let read = || -> Result<_> { Ok(self.rows.get(&pid)?.as_ref().map(Process::from_row)) };
        let mut process = read()?;
        loop {
            let again = read()?;
            if again == process {
                return Ok(process);
            }
            process = again;
        }
    }

    /// The most processes that the table can hold.
    pub fn max_entries(&self) -> u32 {
        self.rows.max_entries()
    }
}

/// The table as it was read at one time.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When reading began: since boot, suspend included.
    pub time: Duration,
    /// The processes, by PID.
    pub processes: Vec<Process>,
}

impl IntoIterator for Snapshot {
    type Item = Process;
    type IntoIter = std::vec::IntoIter<Process>;

    fn into_iter(self) -> Self::IntoIter {
        self.processes.into_iter()
    }
}

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

/// A live process: a thread group, never a thread.
///
/// What can change while a process lives (name, user, parent, arguments) is as
/// of its last exec or, without one, of its fork or of when the tracker met it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Process {
    /// Process ID (tgid), as the initial PID namespace counts.
    pub pid: u32,
    /// PID of the parent.
    pub ppid: u32,
    /// Effective user ID, as `ps` shows it.
    pub uid: u32,
    /// Effective group ID.
    pub gid: u32,
    /// When it started: since boot, suspend included. Together with the PID this
    /// identifies a process; PIDs are used again. [`Clock`] converts it.
    pub start_time: Duration,
    /// When it first exec'd while the tracker watched.
    pub first_exec_time: Option<Duration>,
    /// When it last exec'd while the tracker watched.
    pub last_exec_time: Option<Duration>,
    /// How often it exec'd while the tracker watched.
    pub execs: u32,
    /// How it came to be in the table.
    pub origin: Origin,
    /// ID of its cgroup in the v2 hierarchy: the inode number of its folder.
    pub cgroup_id: u64,
    /// Whether it is a thread of the kernel, which has neither executable nor
    /// arguments.
    pub kernel_thread: bool,
    /// Whether [`args`](Self::args) are not all of the arguments: they were longer
    /// than what a row holds (about 600 bytes), or could not be read.
    pub args_cut: bool,
    /// The kernel's count of its execs, which goes on from the one of the process
    /// that forked it.
    pub(crate) exec_id: u64,
    pub(crate) comm: Vec<u8>,
    exe: OsString,
    file: OsString,
    args: Vec<u8>,
}

impl Process {
    /// The name that the kernel has for it (at most 15 bytes), with bytes that
    /// are no UTF-8 replaced. A name given later (`PR_SET_NAME`) is not
    /// seen; before Linux 6.4 a new thread of the kernel is named like that, and
    /// shown as `kthreadd`. It may hold control characters: escape it before
    /// it goes to a terminal.
    pub fn comm(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.comm)
    }

    /// The executable that runs, as `/proc/PID/exe` names it, ` (deleted)`
    /// included: for a script its interpreter. `None` for kernel threads, and
    /// for processes whose main thread had already gone when the tracker came.
    ///
    /// Of a path of more than 254 bytes, or of more than about 30 folders, the end
    /// is kept, after `…`.
    pub fn exe(&self) -> Option<&Path> {
        (!self.exe.is_empty()).then(|| Path::new(&self.exe))
    }

    /// The file that was to be executed, as the caller of `execve` named it: for
    /// a script the script, for `fexecve` `/dev/fd/N`. One that has not exec'd since it
    /// was forked has its parent's. `None` if neither exec'd while the tracker watched.
    ///
    /// Of a path of more than 255 bytes the beginning is kept, before `…`.
    pub fn file(&self) -> Option<&Path> {
        (!self.file.is_empty()).then(|| Path::new(&self.file))
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

    /// Whether its text has room in a row.
    pub(crate) fn fits_row(&self) -> bool {
        self.exe.len() + self.file.len() + self.args.len() <= TEXT_LEN
    }

    /// Keeps at most so many bytes of the arguments.
    pub(crate) fn cut_args(&mut self, most: usize) {
        if self.args.len() > most {
            self.args.truncate(most);
            self.args_cut = true;
        }
    }

    fn from_row(row: &kamap_process) -> Self {
        Self::decode(&row.facts, &row.text.map(i8::cast_unsigned))
    }

    /// The process with these facts and this text.
    pub(crate) fn decode(facts: &kamap_facts, text: &[u8]) -> Self {
        let flag = |flag: kamap_flag| facts.flags.0 & flag.0 != 0;
        let (exe, rest) = split(text, facts.exe_len.into());
        let (file, rest) = split(rest, facts.file_len.into());
        let (args, _) = split(rest, facts.args_kept);
        let time = |nanos| (nanos != 0).then(|| Duration::from_nanos(nanos));

        Self {
            pid: facts.pid,
            ppid: facts.ppid,
            uid: facts.uid,
            gid: facts.gid,
            start_time: Duration::from_nanos(facts.start_time),
            first_exec_time: time(facts.first_exec_time),
            last_exec_time: time(facts.last_exec_time),
            execs: facts.execs,
            origin: match facts.origin {
                kamap_origin::KAMAP_ORIGIN_EXEC => Origin::Exec,
                kamap_origin::KAMAP_ORIGIN_FORK => Origin::Fork,
                _ => Origin::Seed,
            },
            cgroup_id: facts.cgroup_id,
            kernel_thread: flag(kamap_flag::KAMAP_KTHREAD),
            args_cut: facts.args_kept < facts.args_len,
            exec_id: facts.exec_id,
            comm: terminated(&facts.comm),
            exe: path([
                (flag(kamap_flag::KAMAP_EXE_CUT), "…".as_bytes()),
                (true, exe),
                (flag(kamap_flag::KAMAP_EXE_DELETED), b" (deleted)"),
            ]),
            file: path([
                (true, file),
                (flag(kamap_flag::KAMAP_FILE_CUT), "…".as_bytes()),
                (false, b""),
            ]),
            args: args.to_vec(),
        }
    }
}

/// The bytes of a C string, or all where no NUL ends it.
pub(crate) fn terminated(text: &[i8]) -> Vec<u8> {
    let bytes = text.iter().map(|byte| byte.cast_unsigned());
    bytes.take_while(|&byte| byte != 0).collect()
}

/// Like `split_at`, but never beyond the end.
fn split(text: &[u8], len: u32) -> (&[u8], &[u8]) {
    text.split_at((len as usize).min(text.len()))
}

fn path(parts: [(bool, &[u8]); 3]) -> OsString {
    let parts = parts.iter().filter(|part| part.0).map(|part| part.1);
    OsString::from_vec(parts.flatten().copied().collect())
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

    fn args(bytes: &[u8]) -> Vec<String> {
        let process = Process::from_row(&row(b"", b"", bytes));
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
        let process = Process::from_row(&row(b"/usr/bin/dash", b"./run", b"sh\0./run\0"));
        assert_eq!(process.exe(), Some(Path::new("/usr/bin/dash")));
        assert_eq!(process.file(), Some(Path::new("./run")));
        assert!(process.args().eq(["sh", "./run"]));
        assert!(!process.args_cut);

        let nothing = Process::from_row(&row(b"", b"", b""));
        assert_eq!((nothing.exe(), nothing.file()), (None, None));
    }

    #[test]
    fn what_was_cut_or_deleted_says_so() {
        let mut long = row(b"/deep/prog", b"./very/lo", b"a\0b");
        long.facts.flags = kamap_flag(
            kamap_flag::KAMAP_EXE_CUT.0
                | kamap_flag::KAMAP_EXE_DELETED.0
                | kamap_flag::KAMAP_FILE_CUT.0,
        );
        long.facts.args_len = 900;
        let process = Process::from_row(&long);
        assert_eq!(process.exe(), Some(Path::new("…/deep/prog (deleted)")));
        assert_eq!(process.file(), Some(Path::new("./very/lo…")));
        assert!(process.args_cut);
    }

    #[test]
    fn lengths_beyond_the_text_do_no_harm() {
        let mut wild = row(b"/bin/true", b"", b"");
        (wild.facts.exe_len, wild.facts.file_len) = (600, u16::MAX);
        wild.facts.args_kept = u32::MAX;
        let process = Process::from_row(&wild);
        assert_eq!(process.exe().map(|exe| exe.as_os_str().len()), Some(600));
        assert_eq!(process.args().count(), 0);
    }

    #[test]
    fn a_comm_of_full_length_needs_no_nul() {
        let mut full = row(b"", b"", b"");
        full.facts.comm = [b'x'.cast_signed(); 16];
        assert_eq!(Process::from_row(&full).comm(), "x".repeat(16));
    }
}
