//! File systems of BPF.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Where one is mounted on every system that mounts one.
const MOUNT_POINT: &str = "/sys/fs/bpf";

/// The folder that a path means, whether it is there or is to be made: without symbolic links, which
/// would be replaced instead of it, and with a name that others can be put beside.
pub(crate) fn resolve(dir: &Path) -> PathBuf {
    let there = dir.canonicalize();
    let to_be_made = || {
        let parent = match dir.parent()? {
            here if here.as_os_str().is_empty() => Path::new("."),
            parent => parent,
        };
        Some(parent.canonicalize().ok()?.join(dir.file_name()?))
    };
    there.ok().or_else(to_be_made).unwrap_or(dir.to_owned())
}

/// Whether a folder is on such a file system, and is not all of it.
pub(crate) fn is_below(dir: &Path) -> bool {
    dir.parent().is_some_and(is_bpffs)
}

/// Names longer than this leave no room for what is put behind that of a folder which is not in its place yet
/// (`-new-4194304`): a name has 255 bytes at most.
const LONGEST_NAME: usize = 255 - "-new-4194304".len();

/// Fails if a folder on the way to the pins in `dir` has a name that it cannot have. The kernel refuses these
/// with an errno that says something else.
pub(crate) fn check_name(dir: &Path) -> Result<()> {
    let bad = |path: &Path, reason| {
        Err(Error::BadName {
            dir: path.to_owned(),
            reason,
        })
    };
    for path in dir.ancestors().filter(|path| is_below(path)) {
        let name = path.file_name().unwrap_or_default();
        if name.as_bytes().contains(&b'.') {
            return bad(path, "has a dot, which the kernel refuses there".to_owned());
        }
        if path == dir && name.len() > LONGEST_NAME {
            return bad(path, format!("is longer than {LONGEST_NAME} bytes"));
        }
    }
    Ok(())
}

/// Fails if the file system of `dir` is read-only. Even maps that are pinned there cannot be opened for writing.
pub(crate) fn check_writable(dir: &Path) -> Result<()> {
    let parent = dir.parent().map(c_path);
    let is_read_only = parent.is_some_and(|parent| {
        // SAFETY: takes a C string and a number.
        parent.is_ok_and(|parent| unsafe { libc::access(parent.as_ptr(), libc::W_OK) } != 0)
            && io::Error::last_os_error().kind() == io::ErrorKind::ReadOnlyFilesystem
    });
    match is_read_only {
        true => Err(Error::ReadOnly {
            dir: dir.to_owned(),
        }),
        false => Ok(()),
    }
}

/// Sees that `dir` can be made on such a file system: mounts it where it is always to be.
pub(crate) fn prepare(dir: &Path) -> Result<()> {
    let not_bpffs = || Error::NotBpffs {
        dir: dir.to_owned(),
    };
    let parent = dir.parent().ok_or_else(not_bpffs)?;
    check_name(dir)?;
    if is_bpffs(parent) {
        return check_writable(dir);
    }
    if parent != Path::new(MOUNT_POINT) {
        return Err(not_bpffs());
    }
    mount().map_err(|source| Error::NotPinned {
        path: parent.to_owned(),
        source,
    })?;
    check_name(dir)
}

fn is_bpffs(dir: &Path) -> bool {
    let mut stat = MaybeUninit::<libc::statfs>::zeroed();
    c_path(dir).is_ok_and(|dir| {
        // SAFETY: takes a C string, and writes a struct of numbers, all of which may be 0.
        let (ret, stat) = unsafe {
            let ret = libc::statfs(dir.as_ptr(), stat.as_mut_ptr());
            (ret, stat.assume_init())
        };
        ret == 0 && i128::from(stat.f_type) == i128::from(libc::BPF_FS_MAGIC)
    })
}

fn mount() -> io::Result<()> {
    let point = c_path(Path::new(MOUNT_POINT))?;
    // SAFETY: takes C strings and numbers.
    let ret = unsafe {
        libc::mount(
            c"bpf".as_ptr(),
            point.as_ptr(),
            c"bpf".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
            c"mode=0700".as_ptr().cast(),
        )
    };
    match ret {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Opens what is pinned.
pub(crate) fn get(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    // SAFETY: takes a C string; returns a negative errno or a new file descriptor.
    let fd = unsafe { libbpf_sys::bpf_obj_get(path.as_ptr()) };
    new_fd(fd)
}

/// Opens a pin in the folder of something that is attached, which was there a moment ago.
pub(crate) fn open_pin(dir: &Path, name: &str) -> Result<OwnedFd> {
    get(&dir.join(name)).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::Detached {
            dir: dir.to_owned(),
        },
        io::ErrorKind::ReadOnlyFilesystem => Error::ReadOnly {
            dir: dir.to_owned(),
        },
        _ => Error::NotReadable {
            dir: dir.to_owned(),
            source,
        },
    })
}

/// What the kernel has answered with: a file descriptor, or an error.
pub(crate) fn new_fd(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: it is new, so nobody else closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
