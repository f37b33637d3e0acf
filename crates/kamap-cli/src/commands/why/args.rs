//! The arguments of `kamap why`.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::args::{DEFAULT_STORE, moment};

/// Show why a process runs, or ran: who started it, who started that, and so on
///
/// Shows the chain of ancestors, also of those that have ended: what each executed, when, as whom, in which
/// unit, and how it ended. For a process whose parent has ended it shows who started it, though PID 1 has
/// adopted it since.
///
/// Reads the history that `kamap record` writes. Where nothing records, it shows the live processes and
/// their parents.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  kamap why 4711
  kamap why nginx
  kamap why sleep --at 03:12:30")]
pub(crate) struct Args {
    /// PID of the process, or its name (COMM): of several the one that started last
    #[arg(value_name = "PID|NAME")]
    pub(crate) process: String,

    /// The process that had this PID or name then
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    pub(crate) at: Option<SystemTime>,

    /// Folder with the history [default: /var/lib/kamap]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Print JSON: one object
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    /// The folder of the history.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| DEFAULT_STORE.into())
    }

    /// Whether only a history can tell.
    pub(crate) fn needs_history(&self) -> bool {
        self.at.is_some() || self.dir.is_some()
    }
}
