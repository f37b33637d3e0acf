//! The programs that the tests start.

use std::process::Command;

/// Runs until its standard input is closed.
pub(crate) const HELD: &str = env!("CARGO_BIN_EXE_held");

/// Forks without exec.
pub(crate) const FORKED: &str = env!("CARGO_BIN_EXE_forked");

/// The command `kamap`.
pub(crate) const KAMAP: &str = env!("CARGO_BIN_EXE_kamap-under-test");

pub(crate) fn held() -> Command {
    Command::new(HELD)
}
