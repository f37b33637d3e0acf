//! Where a history is.

use std::path::{Path, PathBuf};

/// The folder of the history, where it is not named.
pub(crate) const DEFAULT_STORE: &str = "/var/lib/kamap";

/// The folder of a history.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreArgs {
    /// Folder with the history
    #[arg(long, value_name = "DIR", default_value = DEFAULT_STORE)]
    dir: PathBuf,
}

impl StoreArgs {
    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }
}
