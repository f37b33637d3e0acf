//! Where a history is.

use std::path::{Path, PathBuf};

use kamap_history::History;

use crate::policy::errors::warn;

/// The folder of the history, where it is not named.
pub(crate) const DEFAULT_STORE: &str = "/var/lib/kamap";

/// Names the files that are left out because they are damaged. Reading can find some: this comes after it.
pub(crate) fn warn_of_damage(history: &History) {
    for (path, err) in history.damaged() {
        warn(&format!(
            "{} is damaged and left out: {err}",
            path.display()
        ));
    }
}

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
