//! The processes of the tree, when the command has ended.

use kamap::{Life, ProcessAt, TreeSummary};

use crate::render::status;

/// The process as it was when it ended or, without an exit event, as it is now.
pub(super) fn process_at<'a>(life: &'a Life, tree: &TreeSummary<'_>) -> ProcessAt<'a> {
    match &life.end {
        Some((time, exit)) => ProcessAt::ended(&life.process, *time, exit),
        None => ProcessAt::alive(&life.process, tree.now()),
    }
}

/// How the process ended; `None` if it still runs, `unknown` if its exit event was lost.
pub(super) fn status_of(life: &Life, tree: &TreeSummary<'_>) -> Option<String> {
    match &life.end {
        Some((_, exit)) => Some(status(exit)),
        None if tree.is_running(life) == Some(true) => None,
        None => Some("unknown".to_owned()),
    }
}
