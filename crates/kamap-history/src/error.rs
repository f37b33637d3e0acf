//! What can fail.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Why a history could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no history in the folder.
    #[error("no history in {}: `kamap record` records one", dir.display())]
    NoHistory {
        /// The folder.
        dir: PathBuf,
    },
    /// Nothing was recorded at that time.
    #[error(
        "nothing is recorded in {} of that time{}",
        dir.display(),
        first.map_or_else(String::new, |first| format!(": it begins at {}", local(first)))
    )]
    NotRecorded {
        /// The folder.
        dir: PathBuf,
        /// When the first record begins.
        first: Option<SystemTime>,
    },
    /// Another process records in the folder.
    #[error("process {pid} records in {} already: end it, or choose another folder", dir.display())]
    Recording {
        /// The folder.
        dir: PathBuf,
        /// Its PID.
        pid: u32,
    },
    /// The folder is to be given to a group, and has files of others.
    #[error("{} has other files: choose a folder for the history alone, which the group can be given", dir.display())]
    NotOnlyHistory {
        /// The folder.
        dir: PathBuf,
    },
    /// Another version of kamap has written the file.
    #[error(
        "{} has version {found} of the format, and this kamap knows version {known}: {}",
        path.display(),
        if found > known {
            "use a newer kamap"
        } else {
            "use an older kamap, or move the file away"
        }
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// The version of this library.
        known: i32,
    },
    /// The limit of the size has no room for what is needed.
    #[error("a history needs at least {least} bytes: choose a larger limit of its size")]
    TooSmall {
        /// The smallest limit.
        least: u64,
    },
    /// There is no room on the disk.
    #[error("no room left for {}", path.display())]
    NoRoom {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused something.
    #[error("failed to {action} {}: {source}", path.display())]
    System {
        /// What was to be done.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// SQLite refused something.
    #[error("failed to use {}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: rusqlite::Error,
    },
}

impl Error {
    /// Whether a file does not hold what it should.
    pub(crate) fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Sqlite { source, .. } => {
                matches!(
                    source.sqlite_error_code(),
                    Some(DatabaseCorrupt | NotADatabase)
                )
            }
            _ => false,
        }
    }

    /// Whether there was no room on the disk, so that it may work later.
    pub fn is_full(&self) -> bool {
        match self {
            Self::NoRoom { .. } => true,
            Self::System { source, .. } => {
                matches!(source.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
            }
            _ => false,
        }
    }
}

/// A time of day in the time zone of the machine.
fn local(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::MAX);
    time.to_zoned(TimeZone::system())
        .strftime("%F %T")
        .to_string()
}

/// The result of what this library does.
pub type Result<T, E = Error> = std::result::Result<T, E>;
