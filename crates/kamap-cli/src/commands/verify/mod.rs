//! `kamap verify`: compare, print, wait, again.

mod args;
mod report;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;

use crate::policy::errors::OutputError;
use crate::policy::signals::{Event, Signals};

pub(crate) use args::Args;
use report::Report;

/// Runs until enough comparisons have been made or a signal ends it.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let signals = Signals::new(false).context("failed to handle signals")?;
    let source = args.common.source()?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut exact = true;
    let mut times_left = args.times();
    let mut deadline = Instant::now();
    let mut quit = false;
    loop {
        let report = Report::read(&source)?;
        exact &= report.is_exact();
        let written = match args.common.json {
            true => report.json(&mut out),
            false => report.text(&mut out),
        };
        written.and_then(|()| out.flush()).map_err(OutputError)?;
        times_left = times_left.map(|left| left - 1);
        deadline = Instant::now().max(deadline + args.interval());
        if times_left == Some(0) || quit {
            return Ok(if exact {
                args.common.exit_code(&report.losses)
            } else {
                ExitCode::FAILURE
            });
        }
        // After a signal once more: what came after the last comparison has not been checked.
        quit = signals.wait_until(deadline) == Event::Quit;
    }
}
