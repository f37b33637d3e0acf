//! Finding cgroups by their IDs.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::fs::{self, DirEntry, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};

use crate::Cgroup;

/// How many cgroups are remembered for certain; as many of those before them may be.
const MOST_KEPT: usize = 8192;

/// The most of the time that is spent on searching all cgroups, as a fraction: one in so many parts.
const PARTS_OF_TIME: u32 = 20;

/// Finds cgroups by their IDs ([`Process::cgroup_id`](crate::Process::cgroup_id)), and remembers them.
/// It can be shared by threads.
///
/// A [`Reader`](crate::Reader) has one of its own: it finds the cgroup of each process that it reads, so
/// that [`Process::cgroup`](crate::Process::cgroup) knows it even if the cgroup has been removed since.
///
/// The kernel gives no ID twice between two boots, and a cgroup cannot be renamed or moved, so what was
/// found once stays true. With `CAP_DAC_READ_SEARCH` a cgroup is found by a few system calls. Without it
/// the whole hierarchy is searched for new ones, at most for a twentieth of the time: a cgroup that comes
/// and goes between two searches is not found.
#[derive(Debug, Default)]
pub struct Cgroups(Mutex<Known>);

impl Cgroups {
    /// Knows none yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The cgroup with this ID: the inode number of its folder. `None` if it has been removed and was
    /// not asked for before, or if no mount of the v2 hierarchy shows it.
    pub fn get(&self, id: u64) -> Option<Arc<Cgroup>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(id)
    }
}

#[derive(Debug, Default)]
struct Known {
    /// `None`: it cannot be found.
    newer: HashMap<u64, Option<Arc<Cgroup>>>,
    /// Those that have not been asked for since `newer` was last full.
    older: HashMap<u64, Option<Arc<Cgroup>>>,
    mount: Option<Mount>,
    /// Of the mounts.
    mount_pace: Pace,
    /// Of all cgroups.
    walk_pace: Pace,
}

/// How often something is searched.
#[derive(Debug, Default)]
struct Pace {
    /// When it may be searched again.
    next: Option<Instant>,
}

impl Known {
    fn get(&mut self, id: u64) -> Option<Arc<Cgroup>> {
        if let Some(cgroup) = self.newer.get(&id) {
            return cgroup.clone();
        }
        let found = match self.older.remove(&id) {
            Some(cgroup) => cgroup,
            None => match self.find(id) {
                Ok(path) => path.map(|path| Arc::new(Cgroup::new(path))),
                // It may be known later.
                Err(Unknown) => return None,
            },
        };
        self.keep(id, found.clone());
        found
    }

    fn keep(&mut self, id: u64, cgroup: Option<Arc<Cgroup>>) {
        if self.newer.len() >= MOST_KEPT {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(id, cgroup);
    }

    /// The path of a cgroup that is not known; `None` if it has been removed, or the mount does not show
    /// it.
    fn find(&mut self, id: u64) -> Result<Option<PathBuf>, Unknown> {
        let mount = match &self.mount {
            Some(mount) => mount,
            None => {
                let mount = self
                    .mount_pace
                    .search(Mount::find)
                    .flatten()
                    .ok_or(Unknown)?;
                self.mount.insert(mount)
            }
        };
        let Some(root) = mount.open() else {
            // It has been unmounted.
            self.mount = None;
            return Err(Unknown);
        };
        match open_by_id(&root, id) {
            Ok(folder) => Ok(mount.path_of(&folder, id)),
            Err(err) if err.raw_os_error() == Some(libc::ESTALE) => Ok(None),
            // Not permitted.
            Err(_) => {
                let all = self.walk_pace.search(|| mount.walk()).ok_or(Unknown)?;
                self.keep_all(all, id)
            }
        }
    }

    /// Keeps what a search has found; returns the one that was searched for.
    fn keep_all(&mut self, found: Found, id: u64) -> Result<Option<PathBuf>, Unknown> {
        let mut wanted = None;
        for (other, path) in found.cgroups {
            if other == id {
                wanted = Some(path);
            } else if !self.newer.contains_key(&other) {
                self.keep(other, Some(Arc::new(Cgroup::new(path))));
            }
        }
        match wanted {
            None if !found.is_complete => Err(Unknown),
            wanted => Ok(wanted),
        }
    }
}

impl Pace {
    /// The result of `search`, unless the last search was too short a while ago.
    fn search<T>(&mut self, search: impl FnOnce() -> T) -> Option<T> {
        let start = Instant::now();
        if self.next.is_some_and(|next| start < next) {
            return None;
        }
        let found = search();
        let now = Instant::now();
        let pause = (now - start) * PARTS_OF_TIME;
        self.next = Some(now + pause.max(Duration::from_millis(1)));
        Some(found)
    }
}

/// It cannot be said now which cgroup it is, or whether there still is one.
struct Unknown;

/// Where the v2 hierarchy is mounted, also beside those of v1.
#[derive(Clone, Debug)]
struct Mount {
    folder: PathBuf,
    /// Which cgroup the folder is.
    root: PathBuf,
}

/// Cgroups, each with its path.
struct Found {
    cgroups: Vec<(u64, PathBuf)>,
    /// Whether these are all that there are.
    is_complete: bool,
}

impl Mount {
    fn find() -> Option<Self> {
        let mounts = fs::read("/proc/self/mountinfo").ok()?;
        Self::find_in(&mounts)
    }

    /// The one that shows the most, of the mounts in a file like `/proc/self/mountinfo` (see proc(5)).
    fn find_in(mounts: &[u8]) -> Option<Self> {
        let mounts = mounts.split(|byte| *byte == b'\n').filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b' ');
            let root = unescape(fields.nth(3)?);
            let folder = unescape(fields.next()?);
            let file_system = fields.skip_while(|field| *field != b"-").nth(1)?;
            (file_system == b"cgroup2").then_some(Self { folder, root })
        });
        // Mounted from outside of the cgroup namespace, it has a root like `/..`.
        let usable = mounts.filter(|mount| !mount.root.starts_with("/.."));
        usable.min_by_key(|mount| mount.root.as_os_str().len())
    }

    /// The folder, if the hierarchy still is there.
    fn open(&self) -> Option<File> {
        // Not kept open: the mount would be busy.
        let folder = File::open(&self.folder).ok()?;
        let file_system = fstatfs(&folder).ok()?;
        (file_system.filesystem_type() == CGROUP2_SUPER_MAGIC).then_some(folder)
    }

    /// The path of the cgroup that is open as `folder`.
    fn path_of(&self, folder: &OwnedFd, id: u64) -> Option<PathBuf> {
        let path = fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd())).ok()?;
        // Not if it has been removed, is not below this mount, or is hidden by another mount.
        let is_it = fs::symlink_metadata(&path).is_ok_and(|found| found.ino() == id);
        let below = path.strip_prefix(&self.folder).ok().filter(|_| is_it)?;
        Some(join(&self.root, below))
    }

    /// All cgroups.
    fn walk(&self) -> Found {
        let mut cgroups = Vec::new();
        let mut is_complete = true;
        if let Ok(root) = fs::metadata(&self.folder) {
            cgroups.push((root.ino(), self.root.clone()));
        }
        let mut left = VecDeque::from([PathBuf::new()]);
        while let Some(below) = left.pop_front() {
            let entries = match fs::read_dir(self.folder.join(&below)) {
                Ok(entries) => entries,
                // It has been removed.
                Err(err) if err.kind() == ErrorKind::NotFound => continue,
                Err(_) => {
                    is_complete = false;
                    continue;
                }
            };
            let is_folder = |entry: &DirEntry| entry.file_type().is_ok_and(|file| file.is_dir());
            for entry in entries.flatten().filter(is_folder) {
                let below = below.join(entry.file_name());
                cgroups.push((entry.ino(), join(&self.root, &below)));
                left.push_back(below);
            }
        }
        Found {
            cgroups,
            is_complete,
        }
    }
}

/// Like `Path::join`, but nothing after a path adds nothing to it.
fn join(path: &Path, below: &Path) -> PathBuf {
    match below.as_os_str().is_empty() {
        true => path.to_owned(),
        false => path.join(below),
    }
}

/// A path as mountinfo has it: spaces and some other bytes are `\` and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, others @ ..] = rest {
        let digits = others
            .get(..3)
            .and_then(|digits| str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (first, escaped) {
            (b'\\', Some(byte)) => {
                path.push(byte);
                rest = &others[3..];
            }
            _ => {
                path.push(*first);
                rest = others;
            }
        }
    }
    OsString::from_vec(path).into()
}

/// Opens the cgroup with this ID in the hierarchy of `root`.
fn open_by_id(root: &File, id: u64) -> io::Result<OwnedFd> {
    /// A `struct file_handle` with room for an ID.
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        id: u64,
    }
    /// `FILEID_KERNFS` of the kernel's exportfs.h, since Linux 5.5.
    const KERNFS: i32 = 0xfe;

    let mut handle = Handle {
        bytes: size_of::<u64>() as u32,
        kind: KERNFS,
        id,
    };
    let handle = (&raw mut handle).cast();
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    // SAFETY: the handle is one as the kernel declares it, followed by as many bytes as it says, and
    // outlives the call.
    let folder = unsafe { libc::open_by_handle_at(root.as_raw_fd(), handle, flags) };
    if folder < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it has just been opened, so nobody else closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(folder) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mounts: &str) -> Option<(String, String)> {
        let mount = Mount::find_in(mounts.as_bytes())?;
        let text = |path: PathBuf| path.into_os_string().into_string().expect("it is UTF-8");
        Some((text(mount.folder), text(mount.root)))
    }

    #[test]
    fn the_mount_that_shows_the_whole_hierarchy_is_found() {
        let line = |root: &str, folder: &str, kind: &str| {
            format!("41 31 0:38 {root} {folder} rw,relatime shared:7 - {kind} none rw\n")
        };
        let v1 = line("/", "/sys/fs/cgroup/systemd", "cgroup");
        assert_eq!(found(""), None);
        assert_eq!(found(&v1), None);
        assert_eq!(found("41 31 0:38\n"), None);
        let hybrid = v1.clone() + &line("/", "/sys/fs/cgroup/unified", "cgroup2");
        let whole = |folder: &str| Some((folder.to_owned(), "/".to_owned()));
        assert_eq!(found(&hybrid), whole("/sys/fs/cgroup/unified"));
        let part = line("/docker/x", "/a", "cgroup2");
        let outside = line("/../..", "/b", "cgroup2");
        let spaces = line("/", r"/c\040d\134e", "cgroup2");
        assert_eq!(
            found(&(part.clone() + &outside + &spaces)),
            whole(r"/c d\e")
        );
        let only_part = Some(("/a".to_owned(), "/docker/x".to_owned()));
        assert_eq!(found(&(outside + &part)), only_part);
    }

    #[test]
    fn bytes_of_a_mount_that_only_look_escaped_are_kept() {
        assert_eq!(unescape(br"/a\04"), Path::new(r"/a\04"));
        assert_eq!(unescape(br"/a\999\"), Path::new(r"/a\999\"));
    }

    #[test]
    fn those_that_were_asked_for_are_remembered_and_others_forgotten() {
        let mut known = Known::default();
        let cgroup = Arc::new(Cgroup::new("/x"));
        known.keep(0, Some(Arc::clone(&cgroup)));
        known.keep(1, None);
        for id in 2..3 * MOST_KEPT as u64 {
            known.keep(id, None);
            if id % 1000 == 0 {
                assert_eq!(known.get(0).as_ref(), Some(&cgroup), "{id}");
            }
        }
        assert!(!known.newer.contains_key(&1) && !known.older.contains_key(&1));
        assert!(known.newer.len() + known.older.len() <= 2 * MOST_KEPT);
    }

    #[test]
    fn searches_take_a_part_of_the_time_only() {
        let mut pace = Pace::default();
        assert_eq!(pace.search(|| 1), Some(1));
        assert_eq!(pace.search(|| 2), None);
        pace.next = Some(Instant::now());
        assert_eq!(pace.search(|| 3), Some(3));
    }
}
