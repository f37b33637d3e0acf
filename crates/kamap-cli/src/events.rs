//! `kamap events`: read, print, again.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use kamap::Item;

use crate::OutputError;
use crate::args::EventsArgs;
use crate::render::{Json, Lines, Output, Plain, View};
use crate::signals::{Event, Signals};

/// How long to wait for events before looking for signals.
const WAIT: Duration = Duration::from_millis(50);

/// Runs until enough events have been printed or a signal ends it.
pub(crate) fn run(args: &EventsArgs) -> anyhow::Result<ExitCode> {
    let signals = Signals::new(false).context("failed to handle signals")?;
    let mut tracker = args.tracker().start()?;
    let lines = Lines::new(*tracker.clock(), args.common.json, args.ancestors > 0);
    let mut out = BufWriter::new(io::stdout().lock());
    let mut left = args.count;
    let mut from = 0;
    if args.snapshot {
        from = tracker.next_seq()?;
        let mut view = View::read(&tracker, |_| true)?;
        view.next_seq = Some(from);
        let written = if args.common.json {
            Json::new(&mut out).table(&view)
        } else {
            Plain::new(&mut out).table(&view)
        };
        written.map_err(OutputError)?;
    }
    lines.header(&mut out).map_err(OutputError)?;

    // No event comes of a filter that none can pass; then a signal is awaited.
    let mut events = tracker.take_events();
    loop {
        // Asked before reading, so that what happened before the signal is printed.
        let quit = signals.wait_until(Instant::now()) == Event::Quit;
        let mut result = Ok(());
        let print = |item: Item| {
            if let Item::Event(event) = &item {
                let comm = args.comm.as_ref();
                if event.seq < from
                    || left == Some(0)
                    || comm.is_some_and(|comm| !comm.is_match(&event.process.comm()))
                {
                    return;
                }
                left = left.map(|left| left - 1);
            }
            if result.is_ok() {
                result = lines.item(&mut out, &item);
            }
        };
        match &mut events {
            Some(events) => events.read(WAIT, print)?,
            None => std::thread::sleep(WAIT),
        }
        result.and_then(|()| out.flush()).map_err(OutputError)?;
        if left == Some(0) {
            return Ok(ExitCode::SUCCESS);
        }
        if quit {
            let (seen, losses) = (tracker.seen()?, tracker.losses()?);
            let summary = lines.summary(&mut out, &seen, &losses);
            summary.and_then(|()| out.flush()).map_err(OutputError)?;
            return Ok(ExitCode::SUCCESS);
        }
    }
}
