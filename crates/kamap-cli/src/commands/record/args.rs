//! The arguments of `kamap record`.

use std::path::PathBuf;
use std::time::Duration;

use kamap::{Builder, Kinds, Tracker};
use kamap_history::{Options, Redaction};
use regex::bytes::Regex;

use crate::args::{StoreArgs, bytes, duration, group, ring_size};

/// Record every process in a history on disk, until stopped
///
/// Each life is recorded: who started it, what it executed, as whom, how it ended and what it used.
/// `kamap history`, `kamap --at` and `kamap why` show it. Where a tracker with events is attached (`kamap attach
/// --events --kind fork,exec,exit`), it is used: then a restart of `kamap record` loses nothing. Otherwise
/// it starts a tracker of its own.
///
/// The history is a folder of SQLite databases, one for each day or 64 MiB; docs/history.md describes the
/// tables. The oldest are removed when they are too old, or all together are too large.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  kamap record
  kamap record --keep 30d --max-size 5GiB --group adm
  kamap record --redact '(?i)(password|token|secret)=\\S+'")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// Remove what is older than this, such as 12h or 30d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = duration)]
    keep: Duration,

    /// Remove the oldest before the history is larger than this (at least 8MiB)
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = bytes)]
    max_size: u64,

    /// Let this group read the history
    #[arg(long, value_name = "GROUP", value_parser = group)]
    group: Option<u32>,

    /// Record no arguments, only the names of programs
    #[arg(long, conflicts_with = "redact")]
    without_args: bool,

    /// Leave what matches out of each argument; `[redacted]` stands for it
    #[arg(long, value_name = "REGEX")]
    redact: Option<Regex>,

    /// Record failed execs as well, which makes every system call of the machine a little slower
    #[arg(long)]
    failed_execs: bool,

    /// Folder of a BPF file system in which the tracker to use is pinned
    #[arg(long, value_name = "DIR")]
    pub(crate) attached: Option<PathBuf>,

    /// Start a tracker of its own, even if one is attached (`kamap attach`)
    #[arg(long, conflicts_with = "attached")]
    pub(crate) own: bool,

    /// How many bytes of arguments are recorded; longer ones are truncated
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(..=131_072))]
    max_args: u32,

    /// Size in bytes of the ring of its own tracker: a power of two
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, value_parser = ring_size)]
    ring_size: u32,

    /// On failure, print the whole log of libbpf and of the kernel's verifier
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

impl Args {
    /// The kinds of events that are recorded.
    pub(crate) fn kinds(&self) -> Kinds {
        match self.failed_execs {
            true => Kinds::LIFE | Kinds::EXEC_FAILED,
            false => Kinds::LIFE,
        }
    }

    pub(crate) fn tracker(&self) -> Builder {
        Tracker::builder()
            .events(self.kinds())
            .max_args(self.max_args)
            .ring_size(self.ring_size)
    }

    pub(crate) fn options(&self) -> Options {
        let mut options = Options::default()
            .keep(self.keep)
            .max_size(self.max_size)
            .redaction(Redaction {
                all_args: self.without_args,
                pattern: self.redact.clone(),
            });
        if let Some(group) = self.group {
            options = options.group(group);
        }
        options
    }
}
