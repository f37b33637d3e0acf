//! The command `kamap`: parses its arguments, calls the library, renders.
//!
//! A library only so that the integration suite always runs the command of the
//! same source; it promises no interface.

mod args;
mod live;
mod render;
mod signals;

use std::io;
use std::process::ExitCode;

use clap::Parser;

use args::Args;

/// Runs the command with the arguments of this process.
pub fn main() -> ExitCode {
    let args = Args::parse();
    match live::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) if output_closed(&err) => ExitCode::SUCCESS,
        Err(err) => {
            let log = err.downcast_ref().and_then(kamap::Error::log);
            match log {
                Some(log) if args.verbose => eprint!("{log}"),
                Some(_) => eprintln!("kamap: run with -v for the whole log"),
                None => {}
            }
            eprintln!("kamap: {err:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nobody reads the output any more: a closed pipe, or a terminal that
/// has gone.
fn output_closed(err: &anyhow::Error) -> bool {
    err.chain().any(|err| {
        let io_error = err.downcast_ref::<io::Error>();
        io_error.is_some_and(|err| {
            // EIO of write(2): "the process has lost its controlling terminal".
            err.kind() == io::ErrorKind::BrokenPipe || err.raw_os_error() == Some(5)
        })
    })
}
