//! The arguments of every command that starts a tracker.

use std::process::ExitCode;

use kamap::{Builder, Losses, Tracker};

use super::{DirArgs, Source};
use crate::policy::exit;

/// The arguments of every command that starts a tracker.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Print JSON, one object per line
    #[arg(long)]
    pub(crate) json: bool,

    /// How many processes the table in the kernel can hold
    ///
    /// By default as many as there can be PIDs (/proc/sys/kernel/pid_max), but no more than 16384. Each
    /// entry uses about 840 bytes of kernel memory. Processes that do not fit are counted as lost.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_entries: Option<u32>,

    #[command(flatten)]
    pub(crate) dir: DirArgs,

    /// Start a tracker of its own, even if one is attached (`kamap attach`)
    #[arg(long, conflicts_with = "dir")]
    own: bool,

    /// Exit with 3 if anything was lost
    #[arg(long)]
    pub(crate) strict: bool,

    /// On failure, print the whole log of libbpf and of the kernel's verifier
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

impl Common {
    /// Whether this command is to have a tracker of its own.
    pub(crate) fn is_own(&self) -> bool {
        self.own || (self.max_entries.is_some() && !self.dir.is_given())
    }

    /// What to read: what is attached, or a tracker of its own.
    pub(crate) fn source(&self) -> anyhow::Result<Source> {
        Source::open(&self.dir, self.is_own(), || self.tracker())
    }

    /// Sets up a tracker with these options.
    pub(crate) fn tracker(&self) -> Builder {
        let builder = Tracker::builder();
        match self.max_entries {
            Some(max_entries) => builder.max_entries(max_entries),
            None => builder,
        }
    }

    /// The exit code of a command that did its work and lost this much.
    pub(crate) fn exit_code(&self, losses: &Losses) -> ExitCode {
        exit::of_losses(losses, self.strict)
    }
}
