//! Opening existing maps, and pinning.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::create::{MapSpec, kept_name};
use super::map::{RawMap, is};
use crate::map_type::MapType;
use crate::{Error, Result, sys};

impl RawMap {
    /// Duplicates a file descriptor that something else owns, such as a skeleton.
    pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> Result<Self> {
        let fd = fd.try_clone_to_owned();
        Self::from_fd(fd.map_err(|source| Error::NotOpened {
            what: "map of the skeleton".to_owned(),
            source,
        })?)
    }

    /// Opens the map with this ID. `flags`: `BPF_F_RDONLY`, `BPF_F_WRONLY`, or none.
    pub(crate) fn open_id(id: u32, flags: u32) -> Result<Self> {
        let fd = sys::open_id(id, flags);
        Self::from_fd(fd.map_err(|err| not_opened(format!("map with ID {id}"), err))?)
    }

    /// Opens the map that is pinned at `path`.
    pub(crate) fn open_pinned(path: &Path, flags: u32) -> Result<Self> {
        let fd = open_pinned(path, flags, "map")?;
        let found = what_is(fd.as_fd());
        Self::from_fd(fd).map_err(|err| match err {
            Error::NotAMap { source, .. } => Error::NotAMap {
                what: format!("what is pinned at `{}`", path.display()),
                found,
                source,
            },
            other => other,
        })
    }

    /// Opens the map with this name. The kernel keeps the first 15 bytes of a name, and lets
    /// maps share one.
    pub(crate) fn open_name(name: &str, flags: u32) -> Result<Self> {
        let mut found = Vec::new();
        // A write-only handle could not be used to read the name.
        for map in Self::all(libbpf_sys::BPF_F_RDONLY)? {
            let map = map?;
            if map.name().as_bytes() == kept_name(name) {
                found.push(map.info().id);
            }
        }
        match found[..] {
            [] => Err(Error::NotFound {
                what: format!("map with the name `{name}`"),
            }),
            [id] => Self::open_id(id, flags),
            _ => Err(Error::Ambiguous {
                name: name.to_owned(),
                ids: found,
            }),
        }
    }

    /// All maps of the machine, in the order of their IDs. A map that is freed meanwhile is left
    /// out. After an error, the list ends.
    pub(crate) fn all(flags: u32) -> Result<impl Iterator<Item = Result<Self>>> {
        let following = |id| match sys::next_id(id) {
            Err(err) if is(&err, libc::ENOENT) => Ok(None),
            Err(err) => Err(not_opened("list of maps".to_owned(), err)),
            Ok(next) => Ok(Some(next)),
        };
        // The first ID is read at once, so that a missing privilege is reported here.
        let mut next = following(0)?;
        Ok(std::iter::from_fn(move || {
            while let Some(id) = next.take() {
                let map = following(id).and_then(|following| {
                    let map = Self::open_id(id, flags);
                    if matches!(map, Ok(_) | Err(Error::NotFound { .. })) {
                        next = following;
                    }
                    map
                });
                if !matches!(map, Err(Error::NotFound { .. })) {
                    return Some(map);
                }
            }
            None
        }))
    }

    /// Opens the map that is pinned at `path`, or creates one with `create` and pins it there.
    pub(crate) fn open_or_create(
        path: &Path,
        kind: MapType,
        spec: &MapSpec<'_>,
        create: impl FnOnce() -> Result<Self>,
    ) -> Result<Self> {
        let open = || {
            let map = Self::open_pinned(path, 0)?.expect(kind)?;
            spec.compare(&map)?;
            Ok(map)
        };
        match open() {
            Err(Error::NotFound { .. }) => {}
            opened => return opened,
        }
        let map = create()?;
        match map.pin(path) {
            Ok(()) => Ok(map),
            // Another process was faster.
            Err(Error::Pin { source, .. }) if is(&source, libc::EEXIST) => open(),
            Err(err) => Err(err),
        }
    }

    /// Pins the map at `path`, in a BPF file system.
    pub(crate) fn pin(&self, path: &Path) -> Result<()> {
        let pinned = c_path(path).and_then(|path| sys::pin(self.as_fd(), &path));
        pinned.map_err(|err| self.pin_error(path, err))
    }

    /// Removes the pin at `path`. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`Error::PinnedOther`] where something else is pinned there, [`Error::Pin`].
    pub(crate) fn unpin(&self, path: &Path, flags: u32) -> Result<bool> {
        let pinned = match c_path(path).and_then(|path| sys::open_pinned(&path, flags)) {
            Err(err) if is(&err, libc::ENOENT) => return Ok(false),
            pinned => pinned.map_err(|err| self.pin_error(path, err))?,
        };
        if sys::info(pinned.as_fd()).ok().map(|info| info.id) != Some(self.info().id) {
            return Err(Error::PinnedOther {
                map: self.name().to_owned(),
                path: path.to_owned(),
            });
        }
        self.remove_pin(path).map(|()| true)
    }

    /// Removes the pin of this map at `path`.
    pub(crate) fn remove_pin(&self, path: &Path) -> Result<()> {
        fs::remove_file(path).map_err(|err| self.pin_error(path, err))
    }

    fn pin_error(&self, path: &Path, source: io::Error) -> Error {
        Error::Pin {
            map: self.name().to_owned(),
            path: path.to_owned(),
            source,
        }
    }
}

/// Opens the program with this ID, for [`AnyMap::insert_file`](crate::AnyMap::insert_file).
///
/// # Errors
///
/// [`Error::NotFound`], or [`Error::NotOpened`] without `CAP_SYS_ADMIN`.
pub fn open_program_id(id: u32) -> Result<OwnedFd> {
    sys::open_program_id(id).map_err(|err| not_opened(format!("program with ID {id}"), err))
}

/// Opens the program that is pinned at `path`, for
/// [`AnyMap::insert_file`](crate::AnyMap::insert_file).
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::NotAPin`], or [`Error::NotOpened`].
pub fn open_program_pinned(path: impl AsRef<Path>) -> Result<OwnedFd> {
    open_pinned(path.as_ref(), 0, "program")
}

fn open_pinned(path: &Path, flags: u32, what: &str) -> Result<OwnedFd> {
    let fd = c_path(path).and_then(|path| sys::open_pinned(&path, flags));
    fd.map_err(|source| match not_a_pin(path, &source) {
        Some(found) => Error::NotAPin {
            path: path.to_owned(),
            found,
            source,
        },
        None => not_opened(format!("{what} pinned at `{}`", path.display()), source),
    })
}

/// What `path` is, if it cannot be opened because it is not a pin.
fn not_a_pin(path: &Path, source: &io::Error) -> Option<&'static str> {
    if !is(source, libc::EACCES) {
        return None;
    }
    if fs::metadata(path).ok()?.is_dir() {
        return Some("a directory");
    }
    let is_bpf = sys::is_bpf_file_system(&c_path(path).ok()?).ok()?;
    (!is_bpf).then_some("a file that is not in a BPF file system")
}

/// The type of the BPF object behind a file descriptor, as far as `/proc` reports it.
fn what_is(fd: BorrowedFd<'_>) -> Option<&'static str> {
    let link = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
    match link.to_str()? {
        "anon_inode:bpf-prog" => Some("a BPF program"),
        "anon_inode:bpf_link" | "anon_inode:bpf-link" => Some("a BPF link"),
        _ => None,
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn not_opened(what: String, source: io::Error) -> Error {
    if is(&source, libc::ENOENT) {
        Error::NotFound { what }
    } else {
        Error::NotOpened { what, source }
    }
}
