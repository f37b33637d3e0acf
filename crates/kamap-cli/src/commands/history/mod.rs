//! `kamap history`: reads the history, and prints the lives of a stretch of time.

mod args;
mod printer;
mod summary;
mod tree;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use kamap_history::{Gap, History};

use crate::args::warn_of_damage;
use crate::policy::errors::{OutputError, UsageError};
use crate::policy::signals::{Event, Signals};

pub(crate) use args::Args;

use printer::LifePrinter;

/// What is shown where nothing else is said.
const HOUR: Duration = Duration::from_secs(3600);

/// How often to look for what has come.
const INTERVAL: Duration = Duration::from_secs(1);

/// Prints what was asked for; goes on until a signal ends it, if that was asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let now = SystemTime::now();
    let mut since = args.since.unwrap_or(now - HOUR);
    let until = args.until.unwrap_or(now);
    if since > until {
        return Err(UsageError("--until is before --since").into());
    }
    let signals = match args.follow {
        true => Some(Signals::new(false).context("failed to handle signals")?),
        false => None,
    };
    let history = History::open(args.store.path())?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut printer = LifePrinter::new(args.json, io::stdout().is_terminal());
    if args.summary {
        summary::print(args, &history, since, until, &mut out)?;
    } else if args.tree {
        tree::print(args, &history, (since, until), &mut printer, &mut out)?;
    } else {
        printer.header(&mut out).map_err(OutputError)?;
        let range = match args.follow {
            true => (since, end(&history, since)),
            false => (since, until),
        };
        print(args, &history, range, !args.follow, &mut printer, &mut out)?;
        since = range.1;
    }
    warn_of_damage(&history);
    if let Some(signals) = signals {
        while signals.wait_until(Instant::now() + INTERVAL) != Event::Quit {
            let history = History::open(args.store.path())?;
            let range = (since, end(&history, since));
            print(args, &history, range, false, &mut printer, &mut out)?;
            since = range.1;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Until when everything is recorded: what has ended after that is in a file a moment later.
fn end(history: &History, since: SystemTime) -> SystemTime {
    history.range().map_or(since, |(_, until)| until.max(since))
}

/// Prints the lives, and the gaps where they are; those that had not ended by then only with `running`.
fn print(
    args: &Args,
    history: &History,
    (since, until): (SystemTime, SystemTime),
    running: bool,
    printer: &mut LifePrinter,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    // Those at the ends of all are no gaps between records.
    let is_between = |gap: &&Gap| {
        let until_then = gap.until.is_some_and(|end| end > since);
        gap.since.is_some_and(|begin| begin < until) && until_then
    };
    let gaps = history.gaps()?;
    let mut gaps = gaps.iter().filter(is_between).peekable();
    history.lives(since, until, |life| {
        let end = life.end.time().map(|time| life.clock.system_time(time));
        while let Some(gap) = gaps.next_if(|gap| end.is_none_or(|end| gap.until <= Some(end))) {
            printer.gap(out, gap).map_err(OutputError)?;
        }
        let has_ended = end.is_some_and(|end| end <= until);
        if (running || has_ended) && args.shows(&life) {
            printer.life(out, &life).map_err(OutputError)?;
        }
        anyhow::Ok(ControlFlow::Continue(()))
    })?;
    for gap in gaps {
        printer.gap(out, gap).map_err(OutputError)?;
    }
    out.flush().map_err(OutputError)?;
    Ok(())
}
