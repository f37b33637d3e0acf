//! `kamap why`: finds a process and its ancestors, in a history or among those that live.

mod args;
mod live;
mod printer;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use kamap_history::{Error, History, Link};

use crate::args::warn_of_damage;
use crate::policy::errors::{OutputError, warn};

pub(crate) use args::Args;

/// A history that has nothing newer is not being recorded.
const RECENT: Duration = Duration::from_secs(60);

/// Prints the chain.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let now = SystemTime::now();
    let mut chain = recorded(args, now)?;
    if chain.is_empty() && !args.needs_history() {
        chain = live::chain(&args.process)?;
    }
    if chain.is_empty() {
        bail!(
            "no process has PID or name {:?}{}",
            args.process,
            match args.at {
                Some(_) => " at that time",
                None => "",
            }
        );
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let printed = match args.json {
        true => printer::json(&mut out, &chain),
        false => printer::text(&mut out, &chain),
    };
    printed.and_then(|()| out.flush()).map_err(OutputError)?;
    Ok(ExitCode::SUCCESS)
}

/// The chain as it is recorded; empty where nobody records, unless a history was asked for.
fn recorded(args: &Args, now: SystemTime) -> Result<Vec<Link>> {
    let history = match History::open(args.dir()) {
        Ok(history) => history,
        Err(err) if args.needs_history() => return Err(err.into()),
        Err(Error::NoHistory { .. } | Error::System { .. }) => return Ok(Vec::new()),
        Err(err) => {
            warn(&format!("{err}; showing live processes only"));
            return Ok(Vec::new());
        }
    };
    let is_recent = history
        .range()
        .is_some_and(|(_, until)| until + RECENT > now);
    if !is_recent && !args.needs_history() {
        warn_of_damage(&history);
        return Ok(Vec::new());
    }
    let time = args.at.unwrap_or(now);
    let chain = match args.process.parse() {
        Ok(pid) => history.why(pid, time),
        Err(_) => history.why_named(&args.process, time),
    };
    warn_of_damage(&history);
    Ok(chain?)
}
