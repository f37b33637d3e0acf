//! `kamap` without a command: the live table. Read, show, wait, again.

mod args;
mod json;
mod layout;
mod look;
mod marks;
mod output;
mod past;
mod plain;
mod rows;
mod screen;
mod view;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::policy::errors::OutputError;
use crate::policy::memory;
use crate::policy::signals::{self, Event, Signals};
use crate::render::is_screen;

pub(crate) use args::Args;
pub(crate) use json::Json;
pub(crate) use output::Output;
pub(crate) use plain::Plain;
pub(crate) use view::View;

use output::Wish;
use screen::Screen;

/// Runs until enough tables have been shown or a signal ends it.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(time) = args.at {
        return past::print(args, time);
    }
    let on_screen = !args.common.json && args.tables() != Some(1) && is_screen();
    // Before the start, so that Ctrl-C while the programs are being loaded counts.
    let signals = Signals::new(on_screen).context("failed to handle signals")?;
    let source = args.common.source()?;
    let reader = source.reader();
    for &pid in &args.pid {
        if reader.table().get(pid)?.is_none() {
            bail!("no process has PID {pid}");
        }
    }

    let on_terminal = io::stdout().is_terminal();
    let (look, colors) = (args.look.look(), args.look.color.colors(on_terminal));
    let stdout = io::stdout().lock();
    let mut output: Box<dyn Output> = if args.common.json {
        Box::new(Json::new(stdout))
    } else if on_screen {
        memory::set_on_screen();
        Box::new(Screen::new(stdout, look, colors, args.all).map_err(OutputError)?)
    } else {
        Box::new(Plain::with(stdout, look, colors, on_terminal))
    };
    let mut tables_left = args.tables();
    // Where tables follow each other, it is said once.
    let mut if_empty = args.if_empty();
    let mut deadline = Instant::now();
    loop {
        let all = output.shows_all().unwrap_or(args.all);
        let mut view = View::read(reader, |process| args.shows(process, all))?;
        view.if_empty = if_empty.filter(|_| !all);
        view.attached = source.attached().map(Path::to_owned);
        if !on_screen {
            if_empty = None;
        }
        output.table(&view).map_err(OutputError)?;
        tables_left = tables_left.map(|left| left - 1);
        if tables_left == Some(0) {
            output.end(&view).map_err(OutputError)?;
            return Ok(args.common.exit_code(&view.losses));
        }
        // Where the output is slower than the interval, tables do not pile up.
        deadline = Instant::now().max(deadline + args.interval);
        loop {
            let event = match signals.wait_or(deadline, output.typing()) {
                Event::Input => match output.typed(&view).map_err(OutputError)? {
                    Wish::Nothing => continue,
                    Wish::Table => Event::Time,
                    Wish::Quit => Event::Quit,
                },
                event => event,
            };
            match event {
                Event::Time => break,
                Event::Input => {}
                Event::Quit => {
                    let all = output.shows_all().unwrap_or(args.all);
                    let mut view = View::read(reader, |process| args.shows(process, all))?;
                    view.attached = source.attached().map(Path::to_owned);
                    output.summary(&view).map_err(OutputError)?;
                    return Ok(args.common.exit_code(&view.losses));
                }
                Event::Redraw => output.redraw(&view).map_err(OutputError)?,
                Event::Stop => {
                    output.suspend().map_err(OutputError)?;
                    signals::stop().context("failed to stop")?;
                    output.redraw(&view).map_err(OutputError)?;
                }
            }
        }
    }
}
