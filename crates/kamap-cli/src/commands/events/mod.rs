//! `kamap events`: read, print, again.

mod args;
mod printer;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use kamap::json::Lines;
use kamap::{Clock, Item, Losses};

use super::table::{Json, Output, Plain, View};
use crate::policy::errors::OutputError;
use crate::policy::signals::{Event, Signals};

pub(crate) use args::Args;
pub(crate) use printer::EventPrinter;

/// How long to wait between two looks at what was lost, where there are no events.
const WAIT: Duration = Duration::from_secs(1);

/// Runs until enough events have been printed or a signal ends it.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let signals = Signals::new(false).context("failed to handle signals")?;
    let mut source = args.source()?;
    // Those that others have attached come unfiltered.
    let filter = source.attached().map(|_| args.filter());
    let on_terminal = io::stdout().is_terminal();
    let ancestors = args.ancestors > 0;
    let boot_id = Clock::boot_id()?;
    let clock = source.reader().clock();
    let lines = Lines::new(clock, &*boot_id).with_attached(source.attached());
    let mut printer = EventPrinter::new(lines, clock, args.common.json, ancestors, on_terminal)
        .with_colors(args.color.colors(on_terminal));
    let mut out = BufWriter::new(io::stdout().lock());
    let mut left = args.count;
    let mut from = 0;
    if args.snapshot {
        from = source.reader().next_seq()?;
        let mut view = View::read(source.reader(), |_| true)?;
        view.next_seq = Some(from);
        view.attached = source.attached().map(Path::to_owned);
        let written = if args.common.json {
            Json::new(&mut out).table(&view)
        } else {
            Plain::new(&mut out).table(&view)
        };
        written.map_err(OutputError)?;
    }
    // A table of JSON names the boot itself.
    if !args.snapshot || !args.common.json {
        printer.header(&mut out).map_err(OutputError)?;
    }
    // The first event may be long in coming.
    out.flush().map_err(OutputError)?;
    // Where no event can pass the filter there is no stream: only losses and a signal are awaited.
    let mut events = source.events(args.steal)?;
    if let Some(events) = &events {
        events.wake_on(&signals)?;
    }
    let mut losses_before = Losses::default();
    // The last event that was dealt with.
    let mut last = None;
    let mut quit = false;
    while !quit && left != Some(0) {
        let wait = match events {
            Some(_) => Duration::ZERO,
            None => WAIT,
        };
        quit = signals.wait_until(Instant::now() + wait) == Event::Quit;
        if quit {
            // So that what is printed and what was seen and lost agree.
            source.stop();
        }
        printer.set_clock(source.reader().clock());
        let mut result = Ok(());
        let mut print = |item: Item| {
            if let Some(seq) = item.seq() {
                if left == Some(0) {
                    return;
                }
                last = Some(seq);
                if seq < from {
                    return;
                }
            }
            if let Item::Event(event) = &item {
                let comm = args.comm.as_ref();
                if filter.as_ref().is_some_and(|filter| !filter.passes(event))
                    || comm.is_some_and(|comm| !comm.is_match(&event.process.comm()))
                    || !args.place.chooses(&event.process)
                {
                    return;
                }
                left = left.map(|left| left - 1);
            }
            if result.is_ok() {
                result = printer.item(&mut out, &item);
            }
        };
        match &mut events {
            Some(events) if quit => events.drain(print)?,
            Some(events) => events.read(Duration::MAX, print)?,
            None => {
                let losses = source.reader().losses()?;
                losses
                    .since(&losses_before)
                    .map(Item::Lost)
                    .for_each(&mut print);
                losses_before = losses;
            }
        }
        result.and_then(|()| out.flush()).map_err(OutputError)?;
        if !quit {
            // The stream has the exits of lost processes that get a row by then.
            source.reader().refill()?;
        }
    }
    if let (Some(events), Some(last)) = (&mut events, last) {
        // The next reader goes on behind it.
        events.acknowledge_up_to(last)?;
    }
    let (seen, losses) = (source.reader().seen()?, source.reader().losses()?);
    // Enough were printed: there is nothing to add, unless something was lost.
    if quit || args.common.json || losses.total() > 0 {
        let is_attached = source.attached().is_some();
        let summary = printer.summary(&mut out, &seen, &losses, is_attached);
        summary.and_then(|()| out.flush()).map_err(OutputError)?;
    }
    Ok(args.common.exit_code(&losses))
}
