//! `kamap run`: run a command, print what it starts, sum up.

mod args;
mod html;
mod output;
mod status;
mod summary;
mod timeline;
mod user;

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context;
use kamap::json::Lines;
use kamap::{Clock, Error, Event, Follow, Item, Kinds, Losses, ProcessTree, TreeSummary};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::events::EventPrinter;
use crate::policy::errors::{self, UsageError};
use crate::policy::signals::{Signals, is_ignored};
use crate::policy::{exit, memory};
use crate::render::terminal_size;

pub(crate) use args::Args;
use output::{Report, Target};
use summary::Summary;
use user::Identity;

/// How long to wait before trying again what has failed.
const WAIT: Duration = Duration::from_millis(50);

/// How long to wait for processes that the command has left behind before looking whether they still run, where
/// something was lost.
const CHECK: Duration = Duration::from_secs(1);

/// The command writes there too, so that lines of JSON would not be the only ones.
const JSON_WITHOUT_OUTPUT: &str = "--json needs --output: the command prints to standard error \
    as well. Use `-o FILE`, or `-o -` for standard output where the command prints nothing there";

const SAME_OUTPUT: &str = "two of the report, --trace and --html would be written to the same file: \
    choose another one";

/// Runs the command to its end.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.common.json && args.output.is_none() {
        return Err(UsageError(JSON_WITHOUT_OUTPUT).into());
    }
    let target = Target::open(args.output.as_deref())?;
    let open = |path: &Option<PathBuf>| -> anyhow::Result<_> {
        path.as_deref()
            .map(|path| Target::open(Some(path)))
            .transpose()
    };
    let (trace, html) = (open(&args.trace)?, open(&args.html)?);
    for (one, other) in [
        (Some(&target), trace.as_ref()),
        (Some(&target), html.as_ref()),
        (trace.as_ref(), html.as_ref()),
    ] {
        if let (Some(one), Some(other)) = (one, other)
            && one.is_mixed_with(other)?
        {
            return Err(UsageError(SAME_OUTPUT).into());
        }
    }
    let mut report = Report::to(target);
    // Signals that are ignored stay ignored, by the command too, which inherits that. But where SIGCHLD
    // is ignored, the kernel keeps no status to wait for.
    let handled = [SIGINT, SIGQUIT, SIGTERM, SIGHUP].into_iter();
    let handled = handled.filter(|&signal| !is_ignored(signal));
    let handled = handled.chain([SIGCHLD]);
    let signals = Signals::of(handled).context("failed to handle signals")?;
    let [program, arguments @ ..] = &args.command[..] else {
        anyhow::bail!("no command was given");
    };
    let identity = Identity::chosen(args)?;
    let boot_id = Clock::boot_id()?;
    let follower = args.follower()?;
    // There is no command yet that could obey.
    if let Some(signal) = signals.pending().find(|&signal| signal != SIGCHLD) {
        return Ok(exit::of_signal(signal));
    }
    let mut command = Command::new(program);
    command.args(arguments);
    if let Some(identity) = identity {
        identity.apply(&mut command);
    }
    let mut follow = match follower.run(&mut command) {
        Err(err @ Error::Spawn { .. }) => {
            let code = exit::of_spawn_error(&err);
            errors::report(&err.into(), false);
            return Ok(code);
        }
        follow => follow?,
    };
    // From here on nothing ends kamap before the command.
    memory::command_started(follow.pid());
    let mut fault = Fault::default();
    fault.unless(follow.wake_on(&signals));
    let mut lines = Lines::new(follow.reader().clock(), boot_id).with_attached(args.attached());
    let printer = EventPrinter::new(
        lines.clone(),
        follow.reader().clock(),
        args.common.json,
        false,
        report.on_terminal,
    )
    .with_colors(args.color.colors(report.on_terminal));
    let printed = if args.quiet {
        Kinds::default()
    } else {
        args.stream.kinds()
    };
    if !args.quiet {
        report.write(|out| printer.header(out).and_then(|()| out.flush()));
    }

    let mut reading = Reading {
        tree: ProcessTree::default(),
        printer,
        printed,
        report,
        unknown: Vec::new(),
    };
    let status = loop {
        for signal in signals.pending() {
            // The terminal sends its own to the command as well.
            if signal == SIGTERM || signal == SIGHUP {
                follow.signal(signal);
            }
        }
        let ended = follow.try_wait()?;
        reading.printer.set_clock(follow.reader().clock());
        let read = follow.read(Duration::MAX, |item| reading.item(&item));
        let read = read.and_then(|status| Ok((status, follow.losses()?)));
        let status = match read {
            Ok((status, losses)) => {
                reading.end(&losses, &mut fault);
                status
            }
            Err(err) => {
                fault.note(err);
                // It may fail at once each time.
                std::thread::sleep(WAIT);
                None
            }
        };
        // After a fault, its exit event may never come.
        let status = status.or(ended.filter(|_| fault.first.is_some()));
        reading.report.write(Write::flush);
        if let Some(status) = status {
            break status;
        }
    };
    memory::command_ended(exit::number_of_status(status));
    if args.wait {
        wait_for_descendants(&mut follow, &signals, &mut reading, &mut fault);
    }
    let Reading {
        tree,
        printer,
        mut report,
        ..
    } = reading;

    let now = Clock::since_boot();
    let losses = fault.unless(follow.losses());
    let table = fault.unless(follow.reader().table().snapshot());
    let clock = follow.reader().clock();
    let summary = Summary {
        command: &args.command,
        status,
        tree: TreeSummary::new(&tree, now, table.as_ref()),
        losses,
        fault: fault.first.as_deref(),
        events_cut: printer.args_cut(),
        is_attached: args.attached().is_some(),
    };
    if args.common.json {
        lines.set_clock(clock);
        report.write(|out| summary.json(out, &lines, args.stream.kinds()));
    } else {
        // As it is now: the terminal may have another size than before the command.
        let size = report.on_terminal.then(terminal_size);
        let width = size.and_then(Result::ok).map(|(columns, _)| columns);
        report.write(|out| summary.text(out, width));
    }
    report.write(Write::flush);
    let timeline = trace.map_or(Ok(()), |trace| {
        let mut trace = BufWriter::new(trace);
        let written =
            timeline::write(&mut trace, &args.command, &summary.tree).and_then(|()| trace.flush());
        written.context("failed to write the timeline")
    });
    let page = html.map_or(Ok(()), |page| {
        let mut page = BufWriter::new(page);
        let written = html::write(&mut page, &summary).and_then(|()| page.flush());
        written.context("failed to write the page")
    });
    let mut complete = fault.first.is_none();
    for err in [report.end(), timeline, page]
        .into_iter()
        .filter_map(Result::err)
    {
        errors::report(&err, args.common.verbose);
        complete = false;
    }
    Ok(match losses.filter(|_| complete) {
        // The command's status goes before kamap's.
        _ if !status.success() => ExitCode::from(exit::number_of_status(status)),
        Some(losses) => args.common.exit_code(&losses),
        None => ExitCode::FAILURE,
    })
}

/// Reads on until nothing runs that the command has started, or a signal says that this is enough.
fn wait_for_descendants(
    follow: &mut Follow,
    signals: &Signals,
    reading: &mut Reading,
    fault: &mut Fault,
) {
    while fault.first.is_none() && reading.tree.has_unended() {
        if signals.pending().any(|signal| signal != SIGCHLD) {
            return;
        }
        reading.printer.set_clock(follow.reader().clock());
        let read = follow.read_on(CHECK, |item| reading.item(&item));
        let Some(losses) = fault.unless(read.and_then(|()| follow.losses())) else {
            return;
        };
        reading.end(&losses, fault);
        reading.report.write(Write::flush);
        if losses.total() > 0 {
            // The exit of the last one may be lost.
            let table = fault.unless(follow.reader().table().snapshot());
            let tree = TreeSummary::new(&reading.tree, Clock::since_boot(), table.as_ref());
            if tree.running() == Some(0) {
                return;
            }
        }
    }
}

/// What is done with all that is read.
struct Reading {
    tree: ProcessTree,
    printer: EventPrinter,
    /// The kinds of events to print.
    printed: Kinds,
    report: Report,
    /// Events that contradict others, unless something was lost.
    unknown: Vec<Event>,
}

impl Reading {
    fn item(&mut self, item: &Item) {
        match item {
            Item::Lost(_) => self.tree.note_loss(),
            Item::Replaced(_) => return,
            Item::Event(event) => {
                if self.tree.add(event).is_err() {
                    self.unknown.push(event.clone());
                }
                if !self.printed.contains(event.kind.into()) {
                    return;
                }
            }
            _ => {}
        }
        let printer = &mut self.printer;
        self.report.write(|out| printer.item(out, item));
    }

    /// All was read that there was, and this much is lost by now.
    fn end(&mut self, losses: &Losses, fault: &mut Fault) {
        // Without a row there is no exit event.
        if losses.total() > 0 {
            self.tree.note_loss();
        }
        for event in self.unknown.drain(..) {
            fault.unless(self.tree.add(&event));
        }
    }
}

/// What kamap itself failed with, while the command ran or after it.
#[derive(Default)]
struct Fault {
    /// The first one: those that follow have the same cause.
    first: Option<String>,
}

impl Fault {
    fn note(&mut self, err: Error) {
        if self.first.is_none() {
            let err = err.into();
            errors::report(&err, false);
            self.first = Some(errors::message(&err));
        }
    }

    fn unless<T>(&mut self, result: kamap::Result<T>) -> Option<T> {
        result.map_err(|err| self.note(err)).ok()
    }
}
