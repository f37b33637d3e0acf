//! The command `kamap`: parses its arguments, calls the library, renders.
//!
//! A library only so that the integration suite always runs the command of the
//! same source; it promises no interface.

mod args;
mod events;
mod live;
mod map;
mod probe;
mod render;
mod run;
mod signals;
mod stdout;
mod verify;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

/// The exit code of wrong usage, as clap has it.
const USAGE: u8 = 2;

/// Runs the command with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
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

fn report(err: &anyhow::Error, verbose: bool) {
    let mut text = format!("kamap: {}\n", told(err));
    if let Some(log) = err.downcast_ref().and_then(kamap::Error::log) {
        let before = if verbose {
            log
        } else {
            "kamap: run with -v for the whole log\n"
        };
        text.insert_str(0, before);
    }
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
