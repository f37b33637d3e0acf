//! `kamap events`: read, print, again.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use kamap::{Clock, Events, Item, Tracker};

use crate::OutputError;
use crate::args::EventsArgs;
use crate::render::{Json, Lines, Output, Plain, TableLosses, View};
use crate::signals::{Event, Signals};

/// How long to wait for events before looking for signals.
const WAIT: Duration = Duration::from_millis(50);

/// Runs until enough events have been printed or a signal ends it.
pub(crate) fn run(args: &EventsArgs) -> anyhow::Result<ExitCode> {
    let signals = Signals::new(false).context("failed to handle signals")?;
    let mut tracker = args.tracker().start()?;
    let on_terminal = io::stdout().is_terminal();
    let ancestors = args.ancestors > 0;
    let mut lines = Lines::new(tracker.clock(), args.common.json, ancestors, on_terminal);
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
    // A table says of which boot all is.
    if !args.snapshot || !args.common.json {
        let boot_id = Clock::boot_id()?;
        lines.header(&mut out, &boot_id).map_err(OutputError)?;
    }
    // No event comes of a filter that none can pass; then a signal is awaited.
    let mut events = tracker.take_events();
    let mut table_losses = TableLosses::default();
    let mut quit = false;
    while !quit && left != Some(0) {
        quit = signals.wait_until(Instant::now()) == Event::Quit;
        if quit {
            // So that what is printed and what was seen and lost agree.
            tracker.detach();
        }
        loop {
            lines.set_clock(tracker.clock());
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
                Some(events) => events.read(if quit { Duration::ZERO } else { WAIT }, print)?,
                None => std::thread::sleep(WAIT),
            }
            result.map_err(OutputError)?;
            if !quit || left == Some(0) || is_read(events.as_ref(), &tracker)? {
                break;
            }
        }
        let losses = tracker.losses()?;
        table_losses
            .tell(&lines, &mut out, &losses)
            .and_then(|()| out.flush())
            .map_err(OutputError)?;
        if !quit {
            // They are to be told of when they end, if there is room by now.
            tracker.refill()?;
        }
    }
    let (seen, losses) = (tracker.seen()?, tracker.losses()?);
    // Enough were printed: there is nothing to add, unless something was lost.
    if quit || args.common.json || losses.total() > 0 {
        let summary = lines.summary(&mut out, &seen, &losses);
        summary.and_then(|()| out.flush()).map_err(OutputError)?;
    }
    Ok(args.common.exit_code(&losses))
}

/// Whether all events that there are were read.
fn is_read(events: Option<&Events>, tracker: &Tracker) -> kamap::Result<bool> {
    Ok(match events {
        Some(events) => events.next_seq() >= tracker.next_seq()?,
        None => true,
    })
}
