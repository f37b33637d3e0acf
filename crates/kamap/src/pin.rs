//! Pinning what is attached: all of it or nothing, whatever ends this process meanwhile.

use std::ffi::{CStr, CString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::attached::Attached;
use crate::bpffs::c_path;
use crate::pin_names::{NAMES, READABLE};
use crate::{Error, Pinned, Result, program};

/// Longer than SAME_CALL of replace.bpf.h.
const OVERLAP: Duration = Duration::from_millis(20);

/// Pins what is attached in the new folder `dir`, or in the place of the one that is there. `group`
/// may read it. `lock` is that of `dir`.
pub(crate) fn pin(
    attached: &Attached,
    dir: &Path,
    group: Option<u32>,
    replace: bool,
    lock: &File,
) -> Result<Pinned> {
    let pins = attached.pins();
    let folder = beside(dir, "new");
    let at = |path: &Path, source| Error::NotPinned {
        path: path.to_owned(),
        source,
    };
    let mark = attached.shared.as_ref().filter(|_| replace);
    let mark = mark.and_then(|shared| Some(shared.mark.as_ref()?.as_raw_fd()));
    let mut guard =
        Guard::start(&folder, dir, replace, mark, lock).map_err(|source| at(&folder, source))?;
    let pinned = (|| {
        for (name, fd) in pins {
            let path = folder.join(name);
            pin_one(fd, &path, group.filter(|_| READABLE.contains(&name)))
                .map_err(|source| at(&path, source))?;
        }
        if let Some(group) = group {
            chown(&folder, None, Some(group))
                .and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(0o750)))
                .map_err(|source| at(&folder, source))?;
        }
        if replace {
            // As long as two programs have to be attached both to tell a failed exec that both have seen.
            thread::sleep(OVERLAP);
        }
        let pinned = Pinned::open(&folder)?.moved_to(dir);
        // Nothing fails from here on.
        put_in_place(&folder, dir, replace).map_err(|source| at(dir, source))?;
        Ok(pinned)
    })();
    match pinned {
        Ok(pinned) => guard
            .commit()
            .map(|()| pinned)
            .map_err(|source| at(dir, source)),
        Err(err) => {
            guard.roll_back();
            Err(err)
        }
    }
}

/// A name in the same folder as `dir`, of this process. (A file system of BPF has no names with dots.)
fn beside(dir: &Path, what: &str) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(format!("-{what}-{}", std::process::id()));
    name.into()
}

fn pin_one(fd: BorrowedFd<'_>, path: &Path, group: Option<u32>) -> io::Result<()> {
    let c_path = c_path(path)?;
    // SAFETY: takes a number and a C string, which it only reads.
    let ret = unsafe { libbpf_sys::bpf_obj_pin(fd.as_raw_fd(), c_path.as_ptr()) };
    if ret < 0 {
        return Err(io::Error::from_raw_os_error(-ret));
    }
    match group {
        Some(group) => {
            chown(path, None, Some(group))?;
            fs::set_permissions(path, Permissions::from_mode(0o440))
        }
        None => fs::set_permissions(path, Permissions::from_mode(0o600)),
    }
}

/// Gives the new folder its name. From here on it is found, or still the one before.
fn put_in_place(folder: &Path, dir: &Path, replace: bool) -> io::Result<()> {
    let rename = |flags| {
        let (from, to) = (c_path(folder)?, c_path(dir)?);
        // SAFETY: takes C strings and numbers.
        let ret = unsafe {
            libc::renameat2(
                libc::AT_FDCWD,
                from.as_ptr(),
                libc::AT_FDCWD,
                to.as_ptr(),
                flags,
            )
        };
        match ret {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    if !replace {
        // An empty folder may be there: one that was killed while it detached has left it.
        return rename(0);
    }
    match rename(libc::RENAME_EXCHANGE) {
        // Before Linux 5.16 a file system of BPF cannot exchange. There the folder is missing for a
        // moment.
        Err(err) if err.raw_os_error() == Some(libc::EINVAL) => {
            let old = beside(dir, "old");
            fs::rename(dir, &old)?;
            rename(0).inspect_err(|_| {
                let _ = fs::rename(&old, dir);
            })?;
            fs::rename(&old, folder)
        }
        // There is nothing to replace.
        Err(err) if err.kind() == io::ErrorKind::NotFound => rename(libc::RENAME_NOREPLACE),
        done => done,
    }
}

/// The group that may read what is pinned in `dir`, if one may.
pub(crate) fn group_of(dir: &Path) -> Option<u32> {
    let folder = fs::metadata(dir).ok()?;
    (folder.mode() & 0o050 == 0o050).then(|| folder.gid())
}

/// Fails if the members of a group cannot get to `dir`. systemd mounts /sys/fs/bpf so that only root can.
pub(crate) fn check_can_enter(dir: &Path, gid: u32) -> Result<()> {
    for path in dir.ancestors().skip(1) {
        let Ok(folder) = fs::metadata(path) else {
            continue;
        };
        // The bit of the group alone counts for its members.
        let bit = if folder.gid() == gid { 0o010 } else { 0o001 };
        if folder.mode() & bit == 0 {
            let path = path.to_owned();
            return Err(Error::GroupShutOut { gid, path });
        }
    }
    Ok(())
}

/// Removes the pins in a folder, and the folder. Whether it was there.
pub(crate) fn unpin(dir: &Path) -> io::Result<bool> {
    let folder = match open_folder(dir) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
        folder => folder?,
    };
    // First what records, so that no table is filled which nobody can read.
    for name in NAMES {
        // SAFETY: takes numbers and a C string.
        let ret = unsafe { libc::unlinkat(folder.as_raw_fd(), name.as_ptr(), 0) };
        if ret != 0 {
            let err = io::Error::last_os_error();
            if err.raw_os_error() != Some(libc::ENOENT) {
                return Err(err);
            }
        }
    }
    fs::remove_dir(dir).map(|()| true)
}

fn open_folder(dir: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(dir)
}

/// A process that makes the folder of the new pins, removes them if this one ends before it has committed, and
/// those that they replace once it has. It makes system calls only, and is a child that nobody's wait()
/// returns.
struct Guard {
    pid: libc::pid_t,
    /// One byte commits.
    socket: Option<File>,
    plan: Plan,
}

/// What a guard needs to know, without any more memory.
struct Plan {
    /// Where the new pins are put together. What they replace is there in the end.
    path: CString,
    /// Where they are once they are in place.
    dir: CString,
    /// Where those are meanwhile that are replaced, if two folders cannot be exchanged.
    old: CString,
    /// Whether others were there. Then there is no way back once they are in place.
    replaces: bool,
    /// The program that then puts a mark into the ring of events, if there is one.
    mark: Option<RawFd>,
}

impl Guard {
    /// Makes `folder`. The guard holds `lock` until it has done its work.
    fn start(
        folder: &Path,
        dir: &Path,
        replaces: bool,
        mark: Option<RawFd>,
        lock: &File,
    ) -> io::Result<Self> {
        let plan = Plan {
            path: c_path(folder)?,
            dir: c_path(dir)?,
            old: c_path(&beside(dir, "old"))?,
            replaces,
            mark,
        };
        let (mine, its) = UnixStream::pair()?;
        let (mut mine, its) = (File::from(OwnedFd::from(mine)), OwnedFd::from(its));
        // SAFETY: as fork() does, but the end of the child sends no signal. The child has a copy of this
        // thread alone, and until it ends it only makes system calls: others may hold any lock.
        let pid = unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) };
        match pid {
            -1 => return Err(io::Error::last_os_error()),
            0 => plan.watch(its.as_raw_fd(), lock.as_raw_fd()),
            _ => drop(its),
        }
        let mut made = [0; 4];
        let answer = mine.read_exact(&mut made);
        let mut guard = Self {
            pid: pid as libc::pid_t,
            socket: Some(mine),
            plan,
        };
        let err = match (answer, i32::from_ne_bytes(made)) {
            (Ok(()), 0) => return Ok(guard),
            (Ok(()), err) => io::Error::from_raw_os_error(err),
            (Err(err), _) => err,
        };
        guard.roll_back();
        Err(err)
    }

    /// The new pins are to stay. Where the guard cannot be told so, it has removed them, unless they have
    /// replaced others.
    fn commit(&mut self) -> io::Result<()> {
        let mut told = Ok(());
        if let Some(mut socket) = self.socket.take() {
            told = socket.write_all(&[1]);
        }
        if !self.wait() {
            // It was killed; what it was to do comes next.
            self.plan.remove_replaced();
        } else if !self.plan.replaces {
            return told;
        }
        Ok(())
    }

    fn roll_back(&mut self) {
        self.socket = None;
        if !self.wait() {
            self.plan.remove_new(None);
        }
    }

    /// Whether the guard has done its work.
    fn wait(&self) -> bool {
        let mut status = 0;
        loop {
            // SAFETY: writes a number.
            let ret = unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) };
            match ret {
                -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                _ => return ret == self.pid && status == 0,
            }
        }
    }
}

impl Plan {
    /// The life of the guard.
    fn watch(&self, socket: RawFd, lock: RawFd) -> ! {
        let mut byte = 0_u8;
        // SAFETY: system calls with numbers and valid memory. Signals are blocked, so that those to a whole
        // group of processes, as of Ctrl-C, do not end the guard before its parent.
        let (folder, committed) = unsafe {
            libc::setsid();
            let mut all = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
            close_all_but([socket, lock, self.mark.unwrap_or(lock)]);
            let mut failed = 0;
            let mut folder = -1;
            if libc::mkdir(self.path.as_ptr(), 0o700) != 0 {
                failed = *libc::__errno_location();
            } else {
                folder = open_dir(&self.path);
                if folder < 0 {
                    failed = *libc::__errno_location();
                    libc::rmdir(self.path.as_ptr());
                }
            }
            libc::write(socket, (&raw const failed).cast(), size_of_val(&failed));
            if failed != 0 {
                libc::_exit(0);
            }
            loop {
                let read = libc::read(socket, (&raw mut byte).cast(), 1);
                if read >= 0 || *libc::__errno_location() != libc::EINTR {
                    break (folder, read == 1);
                }
            }
        };
        if committed || (self.replaces && self.is_in_place(folder)) {
            self.remove_replaced();
        } else {
            self.remove_new(Some(folder));
        }
        // SAFETY: ends this process, without anything of its parent's.
        unsafe { libc::_exit(0) }
    }

    fn is_in_place(&self, folder: RawFd) -> bool {
        // SAFETY: all 0 is a valid value of this struct of numbers, which is written; takes a C string.
        unsafe {
            let (mut new, mut there): (libc::stat, libc::stat) = std::mem::zeroed();
            libc::fstat(folder, &raw mut new) == 0
                && libc::stat(self.dir.as_ptr(), &raw mut there) == 0
                && (new.st_dev, new.st_ino) == (there.st_dev, there.st_ino)
        }
    }

    /// Removes the new pins, which are in this folder, or else in that where they are put together.
    fn remove_new(&self, folder: Option<RawFd>) {
        remove_pins(folder.unwrap_or_else(|| open_dir(&self.path)));
        // Of the two names, one is its own; a folder that has pins stays in any case.
        // SAFETY: takes C strings.
        unsafe {
            libc::rmdir(self.path.as_ptr());
            libc::rmdir(self.dir.as_ptr());
            libc::rename(self.old.as_ptr(), self.dir.as_ptr());
        }
    }

    /// The new pins are in place of the old ones, which go.
    fn remove_replaced(&self) {
        if let Some(mark) = self.mark {
            program::run(mark);
        }
        for path in [&self.path, &self.old] {
            let old = open_dir(path);
            if old < 0 {
                continue;
            }
            remove_pins(old);
            // SAFETY: takes a number and a C string; closes what was opened here.
            unsafe {
                libc::close(old);
                libc::rmdir(path.as_ptr());
            }
        }
    }
}

/// Opens a folder by a system call alone.
fn open_dir(path: &CStr) -> RawFd {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: takes a C string and a number.
    unsafe { libc::open(path.as_ptr(), flags) }
}

fn remove_pins(folder: RawFd) {
    for name in NAMES {
        // SAFETY: takes numbers and a C string.
        unsafe { libc::unlinkat(folder, name.as_ptr(), 0) };
    }
}

/// Closes all file descriptors but these, so that only the parent holds what they refer to.
unsafe fn close_all_but<const N: usize>(mut keep: [RawFd; N]) {
    keep.sort_unstable();
    let mut from = 0_u32;
    for fd in keep.map(RawFd::cast_unsigned) {
        if fd > from {
            // SAFETY: takes numbers. This process uses no other file descriptor.
            unsafe { libc::syscall(libc::SYS_close_range, from, fd - 1, 0) };
        }
        from = fd + 1;
    }
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_close_range, from, u32::MAX, 0) };
}
