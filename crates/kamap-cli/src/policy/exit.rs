//! The exit codes.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use kamap::{Error, Losses};

use super::errors::UsageError;

/// Wrong usage, as clap exits.
const USAGE: u8 = 2;

/// Something was lost, and `--strict` was given.
const LOST: u8 = 3;

/// The command of `kamap run` does not exist, or cannot be executed: as `env(1)` and shells exit.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// The exit code of a command that failed with `err`.
pub(crate) fn of_error(err: &anyhow::Error) -> ExitCode {
    let is_usage =
        err.is::<UsageError>() || matches!(err.downcast_ref(), Some(Error::FilterTooLong { .. }));
    match is_usage {
        true => ExitCode::from(USAGE),
        false => ExitCode::FAILURE,
    }
}

/// The exit code of a command that did its work and lost this much.
pub(crate) fn of_losses(losses: &Losses, strict: bool) -> ExitCode {
    match strict && losses.total() > 0 {
        true => ExitCode::from(LOST),
        false => ExitCode::SUCCESS,
    }
}

/// The exit code of a command that showed something recorded.
pub(crate) fn of_exactness(is_exact: bool, strict: bool) -> ExitCode {
    match strict && !is_exact {
        true => ExitCode::from(LOST),
        false => ExitCode::SUCCESS,
    }
}

/// The exit code where the command of `kamap run` could not be started.
pub(crate) fn of_spawn_error(err: &Error) -> ExitCode {
    ExitCode::from(match err {
        Error::Spawn { source, .. } if source.kind() == io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    })
}

/// The exit code of kamap where `signal` ended it before there was a command that could obey.
pub(crate) fn of_signal(signal: i32) -> ExitCode {
    ExitCode::from(128 + signal as u8)
}

/// The exit code of a command, or 128 and the number of the signal that killed it.
pub(crate) fn number_of_status(status: ExitStatus) -> u8 {
    let number = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    number as u8
}
