//! Errors: their kinds, and how they are printed.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};

use crate::render::escape;

/// Options that do not go together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) &'static str);

/// The output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write to standard output: {0}")]
pub(crate) struct OutputError(pub(crate) io::Error);

/// Whether the output was closed: a pipe without a reader, or a terminal that has gone, if it was
/// one.
pub(crate) fn is_output_closed(err: &anyhow::Error, was_terminal: bool) -> bool {
    let Some(OutputError(err)) = err.downcast_ref() else {
        return false;
    };
    // write(2): EIO, "the process has lost its controlling terminal"; for a file it is an error of the
    // disk. A terminal that has hung up no longer counts as one.
    let lost = || err.raw_os_error() == Some(libc::EIO) || !io::stdout().is_terminal();
    err.kind() == io::ErrorKind::BrokenPipe || (was_terminal && lost())
}

/// Prints clap's message about wrong arguments, or the help that was asked for, and exits.
///
/// Clap prints arguments as they are. Where one could act on the terminal or begin a line, the error
/// is one line, escaped, without clap's hints.
pub(crate) fn exit_with_usage(err: &clap::Error) -> ! {
    if !err.use_stderr() || env::args_os().all(|arg| arg == *escape(&arg)) {
        err.exit();
    }
    let text = err.render().to_string();
    let message = text.split("\n\n").next().unwrap_or_default();
    print(&format!("kamap: {}\n", one_line(message)));
    std::process::exit(err.exit_code());
}

/// Prints an error as one line, after its log if `verbose`.
pub(crate) fn report(err: &anyhow::Error, verbose: bool) {
    print(&reported(err, verbose));
}

/// Prints what does not keep a command from its work.
pub(crate) fn warn(text: &str) {
    print(&format!("kamap: {}\n", one_line(text)));
}

fn reported(err: &anyhow::Error, verbose: bool) -> String {
    let mut text = String::new();
    if let Some(log) = err.downcast_ref().and_then(kamap::Error::log) {
        if verbose {
            text.extend(log.lines().map(|line| one_line(line) + "\n"));
        } else {
            text.push_str("kamap: run with -v for the whole log\n");
        }
    }
    text + &format!("kamap: {}\n", one_line(&message(err)))
}

/// An error can name files and programs whose names somebody else chose.
pub(crate) fn one_line(text: &str) -> String {
    escape(OsStr::new(text))
}

fn print(text: &str) {
    // Where standard error is closed, only the exit status remains.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// What went wrong, and why. Some errors name their cause themselves, which must not appear twice.
pub(crate) fn message(err: &anyhow::Error) -> String {
    let mut text = err.to_string();
    for cause in err.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_its_lines_and_each_is_escaped() {
        let err = kamap::Error::KernelTooOld {
            release: "5.4\x1b[31m\nkamap: all is well".to_owned(),
            reason: "it lacks something".to_owned(),
            log: "one\x1b[2J\ntwo\r\n".to_owned(),
        };
        let lines = reported(&err.into(), true);
        let lines: Vec<_> = lines.lines().collect();
        assert_eq!(lines[..2], ["one\\u{1b}[2J", "two"]);
        assert!(lines[2].starts_with("kamap: kernel 5.4\\u{1b}[31m\\nkamap: all is well is "));
        assert_eq!(lines.len(), 3);
    }
}
