//! How to record.

use std::time::Duration;

use crate::Redaction;

/// The least room that a history can be given.
pub(crate) const LEAST: u64 = 8 << 20;

/// The most bytes in a file. Queries look at whole files.
const MOST_IN_FILE: u64 = 64 << 20;

/// How to record.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) keep: Duration,
    pub(crate) max_size: u64,
    pub(crate) group: Option<u32>,
    pub(crate) redaction: Redaction,
}

impl Default for Options {
    /// A week, up to a GiB, for root only.
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(7 * 24 * 3600),
            max_size: 1 << 30,
            group: None,
            redaction: Redaction::default(),
        }
    }
}

impl Options {
    /// Removes files that are older than this.
    #[must_use]
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = keep;
        self
    }

    /// Removes the oldest files before all of them have more bytes than this; at least 8 MiB.
    #[must_use]
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = bytes;
        self
    }

    /// Lets the group with this ID read the files.
    #[must_use]
    pub fn group(mut self, gid: u32) -> Self {
        self.group = Some(gid);
        self
    }

    /// Leaves this out of the arguments of processes.
    #[must_use]
    pub fn redaction(mut self, redaction: Redaction) -> Self {
        self.redaction = redaction;
        self
    }

    /// The most bytes in a file.
    pub(crate) fn max_file_size(&self) -> u64 {
        MOST_IN_FILE.min(self.max_size / 4)
    }

    /// How much is kept free below the limit. What is written at once needs room in the file beside the
    /// database and, when it is moved from there, in the database itself.
    pub(crate) fn margin(&self) -> u64 {
        (self.max_size / 4).min(16 << 20)
    }

    /// How many bytes the file beside a database has before they are moved into it. SQLite's own choice,
    /// where there is room for that.
    pub(crate) fn max_beside(&self) -> u64 {
        (self.margin() / 4).min(4 << 20)
    }
}
