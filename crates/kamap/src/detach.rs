//! Taking away what was attached.

use std::path::Path;

use crate::{Error, Result, bpffs, leftovers, lock, pin, pin_names};

/// Removes what [`Builder::attach`](crate::Builder::attach) has pinned in `dir`, and with it what records; so it does with
/// [`leftovers`](crate::leftovers). Returns whether anything was attached.
///
/// # Errors
///
/// [`Error::NotPinned`], [`Error::ReadOnly`], and [`Error::NotBpffs`] or [`Error::BadName`] of a folder that cannot have pins. Pins of
/// others in the folder, and then the folder, are left where they are.
pub fn detach(dir: impl AsRef<Path>) -> Result<bool> {
    let dir = &bpffs::resolve(dir.as_ref());
    bpffs::check_name(dir)?;
    // Files of other file systems may have the names of pins.
    if !bpffs::is_below(dir) {
        return match dir.exists() {
            true => Err(Error::NotBpffs {
                dir: dir.to_owned(),
            }),
            false => Ok(false),
        };
    }
    bpffs::check_writable(dir)?;
    let _lock = lock::lock(dir)?;
    leftovers::remove(dir);
    // An empty folder may be of somebody else.
    if pin_names::there_are(dir)
        .is_ok_and(|names| !names.iter().any(|name| pin_names::is_ours(name)))
    {
        return Ok(false);
    }
    pin::unpin(dir).map_err(|source| Error::NotPinned {
        path: dir.to_owned(),
        source,
    })
}
