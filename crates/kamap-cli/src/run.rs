//! `kamap run`: run a command, print what it starts, sum up.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use kamap::{Clock, Error, Item, Kinds, Process, ProcessTree};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::UsageError;
use crate::args::RunArgs;
use crate::limits;
use crate::render::{Lines, Summary, TableLosses, terminal_size};
use crate::signals::is_ignored;

/// How long to wait for events before looking for signals.
const WAIT: Duration = Duration::from_millis(50);

/// As `env(1)` and the shells have it.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// The command writes there too, so that lines of JSON would not be the only ones.
const JSON_WITHOUT_OUTPUT: &str = "--json needs --output: the command prints to standard error \
    as well. Use `-o FILE`, or `-o -` for standard output where the command prints nothing there";

const SAME_OUTPUT: &str = "--trace and the report would be written to the same file: choose \
    another one";

/// Runs the command to its end.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    if args.common.json && args.output.is_none() {
        return Err(UsageError(JSON_WITHOUT_OUTPUT).into());
    }
    let target = Target::open(args.output.as_deref())?;
    let trace = args.trace.as_deref();
    let trace = trace.map(|path| Target::open(Some(path))).transpose()?;
    if let Some(trace) = &trace
        && trace.is_mixed_with(&target)?
    {
        return Err(UsageError(SAME_OUTPUT).into());
    }
    let mut report = Report::to(target);
    // Those that are ignored, the command is to ignore as well, and inherits that; but where
    // SIGCHLD is, the kernel keeps no status to wait for.
    let handled = [SIGINT, SIGQUIT, SIGTERM, SIGHUP].into_iter();
    let handled = handled.filter(|&signal| !is_ignored(signal));
    let handled = handled.chain([SIGCHLD]);
    let mut signals = Signals::new(handled).context("failed to handle signals")?;
    let [program, arguments @ ..] = &args.command[..] else {
        anyhow::bail!("no command was given");
    };
    let boot_id = Clock::boot_id()?;
    let follower = args.tracker().follower()?;
    // There is no command yet that could obey.
    if let Some(signal) = signals.pending().find(|&signal| signal != SIGCHLD) {
        return Ok(ExitCode::from(128 + signal as u8));
    }
    let mut follow = match follower.run(Command::new(program).args(arguments)) {
        Err(err @ Error::Spawn { .. }) => return Ok(not_started(err)),
        follow => follow?,
    };
    // From here on nothing ends kamap before the command.
    limits::command_started(follow.pid());
    let mut lines = Lines::new(
        follow.tracker().clock(),
        args.common.json,
        false,
        report.on_terminal,
    );
    let printed = if args.quiet {
        Kinds::default()
    } else {
        args.stream.kinds()
    };
    if !args.quiet {
        report.write(|out| lines.header(out, &boot_id));
    }

    let mut table_losses = TableLosses::default();
    let mut lives = ProcessTree::default();
    let mut fault = Fault::default();
    let status = loop {
        for signal in signals.pending() {
            // The terminal sends its own to the command as well.
            if signal == SIGTERM || signal == SIGHUP {
                follow.signal(signal);
            }
        }
        let ended = follow.try_wait()?;
        lines.set_clock(follow.tracker().clock());
        let mut unknown = Vec::new();
        let read = follow.read(WAIT, |item| {
            if let Item::Lost(_) = &item {
                lives.lose();
            }
            if let Item::Event(event) = &item {
                if lives.put(event).is_err() {
                    unknown.push(event.clone());
                }
                if !printed.contains(event.kind.into()) {
                    return;
                }
            }
            report.write(|out| lines.item(out, &item));
        });
        let read = read.and_then(|status| Ok((status, follow.tracker().losses()?)));
        let status = match read {
            Ok((status, losses)) => {
                // An end is also lost with a row that found no room.
                if losses.total() > 0 {
                    lives.lose();
                }
                for event in unknown {
                    fault.unless(lives.put(&event));
                }
                report.write(|out| table_losses.tell(&lines, out, &losses));
                status
            }
            Err(err) => {
                fault.note(err);
                // It may fail at once each time.
                std::thread::sleep(WAIT);
                None
            }
        };
        // After a fault, what is awaited may never come.
        let status = status.or(ended.filter(|_| fault.first.is_some()));
        report.write(Write::flush);
        if let Some(status) = status {
            break status;
        }
    };
    limits::command_ended(exit_number(status));

    let now = Clock::since_boot();
    let losses = fault.unless(follow.tracker().losses());
    let table = fault.unless(follow.tracker().table().snapshot());
    let alive = |process: Process| (process.pid, process.start_time);
    let summary = Summary {
        command: &args.command,
        status,
        lives: &lives,
        alive: table.map(|table| table.into_iter().map(alive).collect()),
        has_failed_execs: args.stream.kinds().contains(Kinds::EXEC_FAILED),
        losses: losses.as_ref(),
        fault: fault.first.as_deref(),
        events_cut: lines.args_cut(),
        clock: &follow.tracker().clock(),
        boot_id: &boot_id,
        now,
    };
    if args.common.json {
        report.write(|out| summary.json(out));
    } else {
        // As it is now: the terminal may have another size than before the command.
        let size = report.on_terminal.then(terminal_size);
        let width = size.and_then(Result::ok).map(|(columns, _)| columns);
        report.write(|out| summary.text(out, width));
    }
    report.write(Write::flush);
    let timeline = trace.map_or(Ok(()), |trace| {
        let mut trace = BufWriter::new(trace);
        let written = summary.trace(&mut trace).and_then(|()| trace.flush());
        written.context("failed to write the timeline")
    });
    let mut complete = fault.first.is_none();
    for err in [report.end(), timeline].into_iter().filter_map(Result::err) {
        crate::report(&err, args.common.verbose);
        complete = false;
    }
    Ok(match losses.filter(|_| complete) {
        // What the command says goes before what kamap has to say.
        _ if !status.success() => ExitCode::from(exit_number(status)),
        Some(losses) => args.common.exit_code(&losses),
        None => ExitCode::FAILURE,
    })
}

/// What kamap itself has failed with while the command ran, or after that.
#[derive(Default)]
struct Fault {
    /// The first: those that follow come of the same.
    first: Option<String>,
}

impl Fault {
    fn note(&mut self, err: Error) {
        if self.first.is_none() {
            let err = err.into();
            crate::report(&err, false);
            self.first = Some(crate::told(&err));
        }
    }

    fn unless<T>(&mut self, result: kamap::Result<T>) -> Option<T> {
        result.map_err(|err| self.note(err)).ok()
    }
}

/// Where something is printed.
struct Target {
    file: File,
    /// Whether it is a file that is to be written anew. What it holds is kept until there is
    /// something to put in its place: it may turn out that nothing can be run.
    anew: bool,
    on_terminal: bool,
}

impl Target {
    /// The file at `path`, standard output as `-`; without a path standard error.
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let standard = match path {
            None => io::stderr().as_fd().try_clone_to_owned(),
            Some(path) if path == Path::new("-") => {
                crate::stdout::check()?;
                io::stdout().as_fd().try_clone_to_owned()
            }
            Some(path) => {
                let mut options = File::options();
                let file = options.write(true).create(true).truncate(false).open(path);
                return Ok(Self {
                    file: file.with_context(|| format!("failed to create `{}`", path.display()))?,
                    anew: true,
                    on_terminal: false,
                });
            }
        };
        let file = File::from(standard.context("failed to duplicate a file descriptor")?);
        Ok(Self {
            on_terminal: file.is_terminal(),
            file,
            anew: false,
        })
    }

    /// Whether what is printed there and to `other` comes out mixed, whatever name each of
    /// them was given.
    fn is_mixed_with(&self, other: &Self) -> io::Result<bool> {
        let (one, other) = (self.file.metadata()?, other.file.metadata()?);
        let same = (one.dev(), one.ino()) == (other.dev(), other.ino());
        // Nobody reads what /dev/null gets.
        Ok(same && (!one.file_type().is_char_device() || self.on_terminal))
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.anew {
            // Pipes and devices hold nothing, and cannot be shortened.
            if self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
            }
            self.anew = false;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn not_started(err: Error) -> ExitCode {
    let code = match &err {
        Error::Spawn { source, .. } if source.kind() == io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    };
    crate::report(&err.into(), false);
    ExitCode::from(code)
}

/// The command's exit code, or 128 and the number of the signal that has killed it.
fn exit_number(status: ExitStatus) -> u8 {
    let number = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    number as u8
}

/// Where to print. Once that fails nothing more is printed, but the command goes on.
struct Report {
    out: BufWriter<Target>,
    on_terminal: bool,
    failed: io::Result<()>,
}

impl Report {
    fn to(target: Target) -> Self {
        Self {
            on_terminal: target.on_terminal,
            out: BufWriter::new(target),
            failed: Ok(()),
        }
    }

    fn write(&mut self, write: impl FnOnce(&mut BufWriter<Target>) -> io::Result<()>) {
        if self.failed.is_ok() {
            self.failed = write(&mut self.out);
        }
    }

    /// Tells what has failed, unless nobody reads it any more.
    fn end(self) -> anyhow::Result<()> {
        match self.failed {
            Err(err) if err.kind() != io::ErrorKind::BrokenPipe => {
                Err(err).context("failed to write the events")
            }
            _ => Ok(()),
        }
    }
}
