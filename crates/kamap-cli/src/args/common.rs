//! The arguments of every command that starts a tracker.

use std::process::ExitCode;

use kamap::{Builder, Losses, Tracker};

use crate::policy::exit;

/// What every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Print JSON, one object per line
    #[arg(long)]
    pub(crate) json: bool,

    /// Most processes that the table in the kernel can hold
    ///
    /// By default as many as there can be PIDs (/proc/sys/kernel/pid_max), at most 16384. Takes
    /// about 840 bytes of kernel memory each. Processes that find no room are counted as lost.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_entries: Option<u32>,

    /// Exit with 3 if anything was lost
    #[arg(long)]
    pub(crate) strict: bool,

    /// On failure, print the whole log of libbpf and of the kernel's verifier
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

impl Common {
    /// Sets up the tracker as asked for.
    pub(crate) fn tracker(&self) -> Builder {
        let builder = Tracker::builder();
        match self.max_entries {
            Some(max_entries) => builder.max_entries(max_entries),
            None => builder,
        }
    }

    /// The exit code of a command that has done what it was to do, with these losses.
    pub(crate) fn exit_code(&self, losses: &Losses) -> ExitCode {
        exit::of_losses(losses, self.strict)
    }
}
