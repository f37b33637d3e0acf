//! `kamap verify`: compare, tell, wait, again.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;

use crate::OutputError;
use crate::args::VerifyArgs;
use crate::render::Checked;
use crate::signals::{Event, Signals};

/// Runs until enough comparisons have been made or a signal ends it.
pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let signals = Signals::new(false).context("failed to handle signals")?;
    let tracker = args.common.tracker().start()?;
    let mut stdout = io::stdout().lock();
    let mut exact = true;
    let mut times_left = args.times();
    let mut deadline = Instant::now();
    let mut quit = false;
    loop {
        let checked = Checked::read(&tracker)?;
        exact &= checked.is_exact();
        let line = if args.common.json {
            checked.json()
        } else {
            checked.text()
        };
        writeln!(stdout, "{line}").map_err(OutputError)?;
        times_left = times_left.map(|left| left - 1);
        deadline = Instant::now().max(deadline + args.interval());
        if times_left == Some(0) || quit {
            return Ok(if exact {
                args.common.exit_code(&checked.losses)
            } else {
                ExitCode::FAILURE
            });
        }
        // Once more then, since nobody has looked at what came after the last time.
        quit = signals.wait_until(deadline) == Event::Quit;
    }
}
