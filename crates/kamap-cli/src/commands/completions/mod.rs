//! `kamap completions`: what a shell needs to complete command lines of kamap.

use std::io::{self, Write};
use std::process::ExitCode;

use clap_complete::{Shell, generate};

use crate::policy::errors::OutputError;

/// Print what a shell needs to complete command lines of kamap
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  kamap completions bash > /etc/bash_completion.d/kamap
  kamap completions zsh > \"${fpath[1]}/_kamap\"
  kamap completions fish > ~/.config/fish/completions/kamap.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script for `kamap`.
pub(crate) fn run(args: &Args, mut kamap: clap::Command) -> anyhow::Result<ExitCode> {
    // It panics where it cannot write.
    let mut script = Vec::new();
    generate(args.shell, &mut kamap, "kamap", &mut script);
    let mut out = io::stdout().lock();
    let written = out.write_all(&script).and_then(|()| out.flush());
    written.map_err(OutputError)?;
    Ok(ExitCode::SUCCESS)
}
