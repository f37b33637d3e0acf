//! `kamap detach`: stop recording.

use std::process::ExitCode;

use kamap::Error;

use crate::args::DirArgs;
use crate::policy::stdout;

/// End what `kamap attach` has begun: remove its pins, and with them the programs and the table
///
/// Other pins in the folder stay.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    dir: DirArgs,

    /// Succeed if nothing is attached
    #[arg(long)]
    if_attached: bool,
}

/// Detaches.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let dir = args.dir.path();
    if kamap::detach(dir)? {
        stdout::line(&format!("detached from {}", dir.display()))?;
    } else if !args.if_attached {
        return Err(Error::NotAttached {
            dir: dir.to_owned(),
        }
        .into());
    }
    Ok(ExitCode::SUCCESS)
}
