//! The command `kamap`: parses its arguments, calls the library, prints.
//!
//! It is a library only so that the integration suite always runs the command of the same source. It
//! promises no interface.
//!
//! | folder | what is in it |
//! |---|---|
//! | `commands/` | a folder for each command: its arguments, what it does, and how it prints that |
//! | `args/` | arguments that several commands share |
//! | `render/` | rendering that several commands share |
//! | `policy/` | exit codes, error messages, memory limits, signals, standard output: the same for all commands |

mod args;
mod cli;
mod commands;
mod policy;
mod render;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;

use cli::Cli;
use policy::{errors, exit, memory};

/// Runs the command with the arguments of this process.
pub fn main() -> ExitCode {
    match memory::check_stack() {
        Ok(()) => parse_and_run(),
        Err(err) => {
            errors::report(&err, false);
            ExitCode::FAILURE
        }
    }
}

/// Not part of `main`, so that what this puts on the stack comes after the check.
#[inline(never)]
fn parse_and_run() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|err| errors::exit_with_usage(&err));
    let on_terminal = io::stdout().is_terminal();
    match cli.run() {
        Ok(status) => status,
        Err(err) if errors::is_output_closed(&err, on_terminal) => ExitCode::SUCCESS,
        Err(err) => {
            errors::report(&err, cli.verbose());
            exit::of_error(&err)
        }
    }
}
