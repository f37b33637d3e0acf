//! The command `kamap`: parses its arguments, calls the library, renders.
//!
//! A library only so that the integration suite always runs the command of the
//! same source; it promises no interface.

mod args;
mod events;
mod limits;
mod live;
mod map;
mod probe;
mod render;
mod run;
mod signals;
mod stdout;
mod verify;

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use render::escape;

/// The exit code of wrong usage, as clap has it.
const USAGE: u8 = 2;

/// Runs the command with the arguments of this process.
pub fn main() -> ExitCode {
    match limits::check_stack() {
        Ok(()) => parse_and_run(),
        Err(err) => {
            report(&err, false);
            ExitCode::FAILURE
        }
    }
}

/// Apart from `main`, so that what this puts on the stack comes after the check.
#[inline(never)]
fn parse_and_run() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|err| wrong_usage(&err));
    let on_terminal = io::stdout().is_terminal();
    let verbose = match &cli.command {
        None => cli.live.common.verbose,
        Some(Command::Events(args)) => args.common.verbose,
        Some(Command::Run(args)) => args.common.verbose,
        Some(Command::Verify(args)) => args.common.verbose,
        Some(Command::Map(_) | Command::Probe(_)) => false,
    };
    match run(&cli) {
        Ok(status) => status,
        Err(err) if output_closed(&err, on_terminal) => ExitCode::SUCCESS,
        Err(err) => {
            report(&err, verbose);
            let too_long = |err: &kamap::Error| matches!(err, kamap::Error::FilterTooLong { .. });
            if err.is::<UsageError>() || err.downcast_ref().is_some_and(too_long) {
                ExitCode::from(USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    // `kamap run` prints on standard error, or checks when it is asked for this.
    if !matches!(cli.command, Some(Command::Run(_))) {
        stdout::check()?;
    }
    match &cli.command {
        None => live::run(&cli.live),
        Some(Command::Events(args)) => events::run(args),
        Some(Command::Run(args)) => run::run(args),
        Some(Command::Verify(args)) => verify::run(args),
        Some(Command::Map(args)) => map::run(args),
        Some(Command::Probe(args)) => probe::run(args),
    }
}

/// Whether nobody reads the output any more: a closed pipe, or a terminal that
/// has gone, if it was one.
fn output_closed(err: &anyhow::Error, was_terminal: bool) -> bool {
    let Some(OutputError(err)) = err.downcast_ref() else {
        return false;
    };
    // write(2): EIO, "the process has lost its controlling terminal"; of a file it is
    // an error of the disk. A terminal that has hung up passes for none any more.
    let lost = || err.raw_os_error() == Some(libc::EIO) || !io::stdout().is_terminal();
    err.kind() == io::ErrorKind::BrokenPipe || (was_terminal && lost())
}

/// Prints what clap says of wrong arguments, or the help that was asked for, and exits.
///
/// Clap quotes arguments as they are. Where one could act on the terminal or begin a line, the
/// error comes on one line, escaped, without clap's hints.
fn wrong_usage(err: &clap::Error) -> ! {
    if !err.use_stderr() || env::args_os().all(|arg| arg == *escape(&arg)) {
        err.exit();
    }
    let text = err.render().to_string();
    let told = text.split("\n\n").next().unwrap_or_default();
    print_error(&format!("kamap: {}\n", one_line(told)));
    std::process::exit(err.exit_code());
}

fn report(err: &anyhow::Error, verbose: bool) {
    print_error(&reported(err, verbose));
}

/// The line of an error, after the log that it has.
fn reported(err: &anyhow::Error, verbose: bool) -> String {
    let mut text = String::new();
    if let Some(log) = err.downcast_ref().and_then(kamap::Error::log) {
        if verbose {
            text.extend(log.lines().map(|line| one_line(line) + "\n"));
        } else {
            text.push_str("kamap: run with -v for the whole log\n");
        }
    }
    text + &format!("kamap: {}\n", one_line(&told(err)))
}

/// An error names files and programs that others may have named.
fn one_line(text: &str) -> String {
    escape(OsStr::new(text))
}

fn print_error(text: &str) {
    // Where standard error is closed, the exit status has to do.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// What went wrong, and why. Some errors tell their cause themselves, which is not to come
/// twice.
fn told(err: &anyhow::Error) -> String {
    let mut text = err.to_string();
    for cause in err.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// Options that do not go together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(&'static str);

/// The output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write to standard output: {0}")]
struct OutputError(io::Error);

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
