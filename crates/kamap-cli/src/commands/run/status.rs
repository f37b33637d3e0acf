//! How a process of the tree ended.

use kamap::{Life, TreeSummary};

use crate::render::status;

/// How the process ended; `None` if it still runs, `unknown` if its exit event was lost.
pub(super) fn status_of(life: &Life, tree: &TreeSummary<'_>) -> Option<String> {
    match &life.end {
        Some((_, exit)) => Some(status(exit)),
        None if tree.is_running(life) == Some(true) => None,
        None => Some("unknown".to_owned()),
    }
}
