//! Where a reader has found what it reads.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::maps::AnyMap;
use crate::pin_names;
use crate::{Error, Result};

/// Where a reader has found what it reads.
#[derive(Debug)]
pub(crate) struct Place {
    dir: PathBuf,
    /// Of the folder.
    inode: AtomicU64,
    /// Id of the map, where maps are read.
    table: Option<u32>,
}

impl Place {
    /// The folder, with the table that has this id.
    pub(crate) fn new(dir: &Path, table: Option<u32>) -> Self {
        Self {
            dir: dir.to_owned(),
            inode: AtomicU64::new(inode(dir).unwrap_or_default()),
            table,
        }
    }

    /// Fails where it is no longer what records.
    pub(crate) fn check(&self) -> Result<()> {
        let detached = || Error::Detached {
            dir: self.dir.clone(),
        };
        let inode = inode(&self.dir).ok_or_else(detached)?;
        // The links come first when it is detached, and the folder last.
        if pin_names::TABLE_LINKS
            .iter()
            .any(|link| !self.dir.join(link).exists())
        {
            return Err(detached());
        }
        if self.inode.load(Ordering::Relaxed) != inode {
            if self.table.is_some() && self.table != table_id(&self.dir) {
                return Err(detached());
            }
            self.inode.store(inode, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Id of the table that is pinned there.
pub(crate) fn table_id(dir: &Path) -> Option<u32> {
    let table = AnyMap::open_pinned(dir.join("processes")).ok()?;
    Some(table.info().id)
}

/// The number of a folder: another one where it has been replaced.
pub(crate) fn inode(dir: &Path) -> Option<u64> {
    fs::metadata(dir).ok().map(|folder| folder.ino())
}
