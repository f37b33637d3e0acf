//! Records every process of a Linux machine, and shows what ran at any time.
//!
//! A [`Recorder`] turns the events and the table of [`kamap`] into files of SQLite: each life with its
//! parent, its execs, how it ended and what it used. Reading them needs neither BPF nor root, only the
//! right to read the files. The format is documented in `docs/history.md` of the repository.

mod alive;
mod error;
mod file;
mod folder;
mod gaps;
mod history;
mod intern;
mod moment;
mod options;
mod recorder;
mod redact;
mod resume;
mod rows;
mod store;
mod summary;
#[cfg(test)]
mod tests;
mod texts;
mod time;
mod why;

pub use error::{Error, Result};
pub use gaps::{Gap, LostCount};
pub use history::{End, History, Life};
pub use moment::Moment;
pub use options::Options;
pub use recorder::{Recorder, Source};
pub use redact::{MARK, Redaction};
pub use summary::{Group, GroupBy, Key};
pub use why::Link;
