//! How a process ended.

use kamap::{Exit, signal_name};

/// The exit code, or the signal that killed it.
pub(crate) fn status(exit: &Exit) -> String {
    match (exit.exit_code(), exit.signal()) {
        (Some(code), _) => code.to_string(),
        (None, Some(number)) => {
            let core = if exit.core_dumped() { "+core" } else { "" };
            signal_name(number).into_owned() + core
        }
        (None, None) => exit.status.to_string(),
    }
}
