//! Finding maps that exist.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::create::NAME_LEN;
use super::map::is;
use super::{Access, Check, Error, Kind, Map, Result, sys};

impl<T: Kind, A: Access> Map<T, A> {
    /// Opens the map that is pinned at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotOpened`], and those of
    /// [`from_fd`](Self::from_fd).
    pub fn open_pinned(path: impl AsRef<Path>, check: Check) -> Result<Self> {
        let path = path.as_ref();
        let opened = c_path(path).and_then(|path| sys::open_pinned(&path, A::FLAGS));
        let pinned = || format!("map pinned at `{}`", path.display());
        let map = Self::from_fd(opened.map_err(|err| not_opened(pinned(), err))?, check);
        map.map_err(|err| err.pinned_at(path))
    }

    /// Opens the map with this id, which needs `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotOpened`], and those of
    /// [`from_fd`](Self::from_fd).
    pub fn open_id(id: u32, check: Check) -> Result<Self> {
        let opened = sys::open_id(id, A::FLAGS);
        let with_id = || format!("map with the id {id}");
        Self::from_fd(opened.map_err(|err| not_opened(with_id(), err))?, check)
    }

    /// Opens the map with this name, which needs `CAP_SYS_ADMIN`. The kernel knows only
    /// the first 15 bytes of a name, and lets maps share one.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotOpened`], [`Error::Ambiguous`] if there is more
    /// than one, and those of [`from_fd`](Self::from_fd).
    pub fn open_name(name: &str, check: Check) -> Result<Self> {
        let kept = &name.as_bytes()[..name.len().min(NAME_LEN)];
        let named = || format!("map with the name `{name}`");
        let mut found = Vec::new();
        let mut id = 0;
        loop {
            id = match sys::next_id(id) {
                Ok(next) => next,
                Err(err) if is(&err, libc::ENOENT) => break,
                Err(err) => return Err(not_opened(named(), err)),
            };
            let info = sys::open_id(id, libbpf_sys::BPF_F_RDONLY).and_then(|fd| {
                let info = sys::info(fd.as_fd())?;
                Ok(sys::name(&info).as_bytes() == kept)
            });
            match info {
                Ok(true) => found.push(id),
                Ok(false) => {}
                // It has gone meanwhile.
                Err(err) if is(&err, libc::ENOENT) => {}
                Err(err) => return Err(not_opened(named(), err)),
            }
        }
        match found[..] {
            [] => Err(Error::NotFound { what: named() }),
            [id] => Self::open_id(id, check),
            _ => Err(Error::Ambiguous {
                name: name.to_owned(),
                ids: found,
            }),
        }
    }
}

pub(super) fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

pub(super) fn not_opened(what: String, source: io::Error) -> Error {
    if is(&source, libc::ENOENT) {
        Error::NotFound { what }
    } else {
        Error::NotOpened { what, source }
    }
}
