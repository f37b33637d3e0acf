//! The folder with the files of a history: their names, sizes and permissions, and the lock.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::{Error, Result};

const SUFFIX: &str = ".sqlite";

/// The file that a recorder locks. It has its PID.
const LOCK: &str = "lock";

/// What is behind the name of a file that is not whole yet.
const UNFINISHED: &str = ".new";

/// What is behind the name of a file that was damaged.
const DAMAGED: &str = ".damaged";

/// A file of a history.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileName {
    /// They are numbered from 1, whatever the clock says.
    pub(crate) number: u64,
    /// The day on which it began, in UTC.
    pub(crate) day: String,
    pub(crate) path: PathBuf,
}

/// The files in `dir`, the oldest first.
pub(crate) fn files(dir: &Path) -> Result<Vec<FileName>> {
    let entries = match fs::read_dir(dir) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(system("read", dir))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(system("read", dir))?.path();
        files.extend(parse(path));
    }
    files.sort();
    Ok(files)
}

/// The files in `dir` that were set aside, with their sizes, the oldest first.
pub(crate) fn set_aside(dir: &Path) -> Result<Vec<(PathBuf, Metadata)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(system("read", dir))? {
        let entry = entry.map_err(system("read", dir))?;
        let name = entry.file_name();
        if is_named(&name, DAMAGED)
            && let Ok(metadata) = entry.metadata()
        {
            files.push((entry.path(), metadata));
        }
    }
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(files)
}

fn is_named(name: &OsStr, suffix: &str) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("kamap-") && name.contains(SUFFIX) && name.ends_with(suffix)
}

fn parse(path: PathBuf) -> Option<FileName> {
    let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    let (number, day) = name.strip_prefix("kamap-")?.split_once('-')?;
    Some(FileName {
        number: number.parse().ok()?,
        day: day.to_owned(),
        path,
    })
}

impl FileName {
    pub(crate) fn new(dir: &Path, number: u64, day: &str) -> Self {
        Self {
            number,
            day: day.to_owned(),
            path: dir.join(format!("kamap-{number:06}-{day}{SUFFIX}")),
        }
    }

    /// The name that it has until it is whole.
    pub(crate) fn unfinished(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(UNFINISHED);
        path.into()
    }

    /// The files that SQLite keeps beside it while it is written.
    fn parts(&self) -> [PathBuf; 4] {
        ["", "-wal", "-shm", "-journal"].map(|suffix| {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            path.into()
        })
    }

    /// How much of the disk it uses.
    pub(crate) fn size(&self) -> u64 {
        let sizes = self
            .parts()
            .map(|part| fs::metadata(part).map_or(0, |file| file.len()));
        sizes.iter().sum()
    }

    /// Removes it. Whoever has opened it can go on reading.
    pub(crate) fn remove(&self) -> Result<()> {
        for part in self.parts() {
            match fs::remove_file(&part) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => {
                    return Err(system("remove", &part)(err));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives it another name, under which nobody looks for it. Returns that.
    pub(crate) fn set_aside(&self) -> Result<PathBuf> {
        let aside = |part: &Path| {
            let mut path = part.as_os_str().to_owned();
            path.push(DAMAGED);
            PathBuf::from(path)
        };
        for part in self.parts() {
            match fs::rename(&part, aside(&part)) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => {
                    return Err(system("rename", &part)(err));
                }
                _ => {}
            }
        }
        Ok(aside(&self.path))
    }
}

/// Whether nothing but a history is in a folder.
fn has_only_ours(dir: &Path) -> Result<bool> {
    for entry in fs::read_dir(dir).map_err(system("read", dir))? {
        let name = entry.map_err(system("read", dir))?.file_name();
        if name != LOCK && !is_named(&name, "") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The right to write into a folder, as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    dir: PathBuf,
    /// Who can read.
    group: Option<u32>,
    _file: Flock<File>,
}

impl Lock {
    /// Creates the folder where it is missing, and locks it.
    pub(crate) fn new(dir: &Path, group: Option<u32>) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(system("create", dir))?;
        let is_ours = has_only_ours(dir)?;
        let path = dir.join(LOCK);
        // The folder may be somebody else's, who lets a link lead to what is not to be overwritten.
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(system("open", &path))?;
        let mut file =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(mut file, _)| {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                Error::Recording {
                    dir: dir.to_owned(),
                    pid: pid.trim().parse().unwrap_or_default(),
                }
            })?;
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(system("write", &path))?;
        let lock = Self {
            dir: dir.to_owned(),
            group,
            _file: file,
        };
        lock.clean()?;
        if let Some(group) = group {
            if !is_ours {
                return Err(Error::NotOnlyHistory {
                    dir: dir.to_owned(),
                });
            }
            give(dir, group, 0o750)?;
            for file in files(dir)? {
                for part in file.parts().iter().filter(|part| part.exists()) {
                    give(part, group, 0o640)?;
                }
            }
        }
        Ok(lock)
    }

    /// Removes what a recorder has left that was killed while it made a file.
    fn clean(&self) -> Result<()> {
        let dir = &self.dir;
        for entry in fs::read_dir(dir).map_err(system("read", dir))? {
            let entry = entry.map_err(system("read", dir))?;
            if is_named(&entry.file_name(), UNFINISHED) {
                let path = entry.path();
                fs::remove_file(&path).map_err(system("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Creates an empty file that only those can read who may. SQLite gives the files that it keeps beside
    /// it the same permissions.
    pub(crate) fn create(&self, path: &Path) -> Result<()> {
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(system("create", path))?;
        self.group.map_or(Ok(()), |group| give(path, group, 0o640))
    }
}

/// Lets a group read `path`.
fn give(path: &Path, group: u32, mode: u32) -> Result<()> {
    chown(path, None, Some(group)).map_err(system("change the group of", path))?;
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(system("change the permissions of", path))
}

pub(crate) fn system(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::System {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_the_order_of_their_numbers_and_others_are_left_alone() {
        let dir = tempfile::tempdir().expect("there is room");
        let lock = Lock::new(dir.path(), None).expect("nobody has it");
        for number in [10, 9, 1_000_000] {
            let name = FileName::new(dir.path(), number, "2026-11-27");
            lock.create(&name.path).expect("there is room");
        }
        for other in ["kamap-1-2026.sqlite-wal", "kamap-x-y.sqlite", "notes"] {
            lock.create(&dir.path().join(other)).expect("there is room");
        }
        let files = files(dir.path()).expect("it can be read");
        let numbers: Vec<_> = files.iter().map(|file| file.number).collect();
        assert_eq!(numbers, [9, 10, 1_000_000]);
        files[0].remove().expect("it exists");
        let aside = files[1].set_aside().expect("it exists");
        assert!(aside.ends_with("kamap-000010-2026-11-27.sqlite.damaged"));
        assert_eq!(super::files(dir.path()).expect("it can be read").len(), 1);
    }

    #[test]
    fn a_folder_with_other_files_keeps_its_permissions() {
        let dir = tempfile::tempdir().expect("there is room");
        fs::write(dir.path().join("notes"), "").expect("there is room");
        let before = fs::metadata(dir.path()).expect("it is there");
        let group = nix::unistd::getegid().as_raw();
        let err = Lock::new(dir.path(), Some(group)).expect_err("others may need it");
        assert!(matches!(err, Error::NotOnlyHistory { .. }), "{err}");
        let after = fs::metadata(dir.path()).expect("it is there");
        assert_eq!(after.permissions(), before.permissions());
        fs::remove_file(dir.path().join("notes")).expect("it is there");
        Lock::new(dir.path(), Some(group)).expect("nothing else is there");
        let after = fs::metadata(dir.path()).expect("it is there");
        assert_eq!(after.permissions().mode() & 0o777, 0o750);
    }

    #[test]
    fn a_link_in_the_place_of_the_lock_is_not_followed() {
        let dir = tempfile::tempdir().expect("there is room");
        let other = tempfile::NamedTempFile::new().expect("there is room");
        fs::write(&other, "text").expect("there is room");
        std::os::unix::fs::symlink(other.path(), dir.path().join(LOCK)).expect("there is room");
        Lock::new(dir.path(), None).expect_err("it is a link");
        assert_eq!(fs::read_to_string(&other).expect("it is there"), "text");
    }

    #[test]
    fn the_second_recorder_is_refused() {
        let dir = tempfile::tempdir().expect("there is room");
        let first = Lock::new(dir.path(), None).expect("nobody has it");
        let err = Lock::new(dir.path(), None).expect_err("it is locked");
        assert!(matches!(err, Error::Recording { pid, .. } if pid == std::process::id()));
        drop(first);
        Lock::new(dir.path(), None).expect("it is free");
    }
}
