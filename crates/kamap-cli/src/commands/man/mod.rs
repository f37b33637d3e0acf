//! `kamap man`: the man pages, from the texts of `--help`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

/// Write the man pages into a folder: kamap.1, and one for each command
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  kamap man /usr/local/share/man/man1
  kamap man . && man ./kamap-events.1")]
pub(crate) struct Args {
    /// The folder, which has to exist
    dir: PathBuf,
}

/// Writes the pages of `kamap`.
pub(crate) fn run(args: &Args, kamap: clap::Command) -> anyhow::Result<ExitCode> {
    clap_mangen::generate_to(kamap, &args.dir)
        .with_context(|| format!("failed to write man pages into `{}`", args.dir.display()))?;
    Ok(ExitCode::SUCCESS)
}
