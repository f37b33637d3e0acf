//! The table of a moment in the past, from a history.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Result, bail};
use kamap::{Losses, Seen};
use kamap_history::History;

use super::view::Past;
use super::{Args, Json, Output, Plain, View};
use crate::args::{DEFAULT_STORE, warn_of_damage};
use crate::policy::errors::OutputError;
use crate::policy::exit;

/// Prints the table as it was at `time`.
pub(super) fn print(args: &Args, time: SystemTime) -> Result<ExitCode> {
    let dir = match args.common.dir.is_given() {
        true => args.common.dir.path(),
        false => Path::new(DEFAULT_STORE),
    };
    let history = History::open(dir)?;
    let moment = history.at(time)?;
    warn_of_damage(&history);
    for &pid in &args.pid {
        if moment.table.get(pid).is_none() {
            bail!("no process had PID {pid} at that time");
        }
    }
    // What was lost and seen by then is not recorded.
    let (losses, seen) = (Losses::default(), Seen::default());
    let shows = |process: &_| args.shows(process, args.all);
    let mut view = View::new(
        moment.table,
        moment.clock,
        moment.boot_id,
        losses,
        seen,
        shows,
    );
    let is_exact = moment.gap.is_none();
    view.past = Some(Past {
        time,
        gap: moment.gap,
    });
    let stdout = io::stdout().lock();
    let on_terminal = io::stdout().is_terminal();
    let printed = match args.common.json {
        true => Json::new(stdout).table(&view),
        false => {
            let (look, colors) = (args.look.look(), args.look.color.colors(on_terminal));
            Plain::with(stdout, look, colors, on_terminal).table(&view)
        }
    };
    printed.map_err(OutputError)?;
    Ok(exit::of_exactness(is_exact, args.common.strict))
}
