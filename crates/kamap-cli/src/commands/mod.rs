//! The commands, a folder each. To add one: a folder, and a line in each of the lists here.

mod attach;
mod completions;
mod detach;
mod events;
mod history;
mod man;
mod map;
mod probe;
mod record;
mod run;
mod status;
pub(crate) mod table;
mod top;
mod verify;
mod why;

use std::process::ExitCode;

use clap::Subcommand;

use crate::policy::stdout;

/// What to do other than to show the table.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Attach(attach::Args),
    Detach(detach::Args),
    Status(status::Args),
    Events(events::Args),
    Top(top::Args),
    Record(record::Args),
    History(history::Args),
    Why(why::Args),
    Run(run::Args),
    Verify(verify::Args),
    Map(map::MapArgs),
    Probe(probe::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    /// Runs the command to its end. `cli` is the command line as a whole.
    pub(crate) fn run(&self, cli: fn() -> clap::Command) -> anyhow::Result<ExitCode> {
        // `kamap run` prints on standard error, or checks standard output when it is asked to use it.
        if !matches!(self, Self::Run(_)) {
            stdout::check()?;
        }
        match self {
            Self::Attach(args) => attach::run(args),
            Self::Detach(args) => detach::run(args),
            Self::Status(args) => status::run(args),
            Self::Events(args) => events::run(args),
            Self::Top(args) => top::run(args),
            Self::Record(args) => record::run(args),
            Self::History(args) => history::run(args),
            Self::Why(args) => why::run(args),
            Self::Run(args) => run::run(args),
            Self::Verify(args) => verify::run(args),
            Self::Map(args) => map::run(args),
            Self::Probe(args) => probe::run(args),
            Self::Completions(args) => completions::run(args, cli()),
            Self::Man(args) => man::run(args, cli()),
        }
    }

    /// Whether an error is to be printed with its whole log.
    pub(crate) fn verbose(&self) -> bool {
        match self {
            Self::Attach(args) => args.verbose,
            Self::Events(args) => args.common.verbose,
            Self::Record(args) => args.verbose,
            Self::Top(args) => args.verbose,
            Self::Run(args) => args.common.verbose,
            Self::Verify(args) => args.common.verbose,
            Self::History(_)
            | Self::Why(_)
            | Self::Detach(_)
            | Self::Status(_)
            | Self::Map(_)
            | Self::Probe(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }
}
