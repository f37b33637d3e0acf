//! Events as lines, of text or of JSON.

use std::cell::Cell;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::iter;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kamap::{Ancestor, Clock, Event, EventKind, Exit, Item, Losses, Process, Seen};
use nix::errno::Errno;
use serde::Serialize;
use signal_hook::low_level::signal_name;

use super::charset::Charset;
use super::duration::duration;
use super::escape::escape;
use super::fields::{AncestorObject, ProcessFields};
use super::json::{self, rfc3339};
use super::quote::quote;
use super::terminal_size;
use super::text::{self, Text, counted, cut};

/// Renders what the stream consists of.
pub(crate) struct Lines {
    clock: Clock,
    json: bool,
    /// Whether there is a column for them.
    ancestors: bool,
    /// Whether lines are cut to the width of the terminal, to which they go.
    on_terminal: bool,
    charset: Charset,
    zone: TimeZone,
    text: Text,
    /// How many lines had truncated arguments.
    args_cut: Cell<usize>,
}

impl Lines {
    pub(crate) fn new(clock: Clock, json: bool, ancestors: bool, on_terminal: bool) -> Self {
        Self {
            clock,
            json,
            ancestors,
            on_terminal,
            charset: Charset::of_output(),
            zone: TimeZone::system(),
            text: Text::default(),
            args_cut: Cell::default(),
        }
    }

    /// Converts times by this clock from now on.
    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// What comes first: the names of the columns, or of which boot all that follows is.
    pub(crate) fn header(&self, out: &mut impl Write, boot_id: &str) -> io::Result<()> {
        if self.json {
            let line = StreamLine {
                v: json::VERSION,
                r#type: "stream",
                time: rfc3339(self.system_time(Clock::since_boot())),
                boot_id,
            };
            return json_line(out, &line);
        }
        let [time, event, pid, ppid] = ["TIME", "EVENT", "PID", "PPID"];
        let [user, duration, status] = ["USER", "DURATION", "STATUS"];
        let command = if self.ancestors {
            "ANCESTORS COMMAND"
        } else {
            "COMMAND"
        };
        let cells = [time, event, pid, ppid, user, duration, status, command];
        self.columns(out, cells)
    }

    /// Columns of fixed width, but for the last: what comes later is not known.
    fn columns(&self, out: &mut impl Write, cells: [&str; 8]) -> io::Result<()> {
        let [time, event, pid, ppid, user, duration, status, command] = cells;
        let line = format!(
            "{time:<12} {event:<5} {pid:>7} {ppid:>7} {user:<8} {duration:>9} {status:<8} {command}"
        );
        // Each time anew: it may have another size by now.
        let width = match self.on_terminal {
            true => terminal_size()?.0.into(),
            false => usize::MAX,
        };
        writeln!(out, "{}", cut(&line, width))
    }

    /// A line for `item`.
    pub(crate) fn item(&self, out: &mut impl Write, item: &Item) -> io::Result<()> {
        match item {
            Item::Event(event) if self.json => self.json_event(out, event),
            Item::Event(event) => self.text_event(out, event),
            Item::Lost(count) => self.lost(out, Cause::RingFull, *count),
            _ => Ok(()),
        }
    }

    fn lost(&self, out: &mut impl Write, cause: Cause, count: u64) -> io::Result<()> {
        if self.json {
            let line = LostLine {
                v: json::VERSION,
                r#type: "lost",
                cause,
                count,
            };
            return json_line(out, &line);
        }
        match cause {
            Cause::RingFull => writeln!(
                out,
                "(lost {count} events, which found no room: use a larger --ring-size)"
            ),
            Cause::TableFull => writeln!(
                out,
                "(lost {count} processes, which found no room in the table, so that no end is told \
                 of them: use a larger --max-entries)"
            ),
            Cause::MissedRuns => {
                writeln!(out, "(lost {count} events: the kernel has skipped them)")
            }
        }
    }

    /// In how many of the lines arguments are truncated.
    pub(crate) fn args_cut(&self) -> usize {
        self.args_cut.get()
    }

    /// What comes last.
    pub(crate) fn summary(
        &self,
        out: &mut impl Write,
        seen: &Seen,
        losses: &Losses,
    ) -> io::Result<()> {
        if self.json {
            let line = SummaryLine {
                v: json::VERSION,
                r#type: "summary",
                losses: json::losses(losses),
                seen: json::seen(seen),
            };
            return json_line(out, &line);
        }
        writeln!(out, "\n{}", counted(seen, losses, self.args_cut()))
    }

    fn system_time(&self, since_boot: Duration) -> SystemTime {
        self.clock.system_time(since_boot)
    }

    fn text_event(&self, out: &mut impl Write, event: &Event) -> io::Result<()> {
        let process = &event.process;
        let time = Timestamp::try_from(self.system_time(event.time)).unwrap_or(Timestamp::MAX);
        let time = time.to_zoned(self.zone.clone()).strftime("%H:%M:%S%.3f");
        let (kind, duration, status, command) = match &event.kind {
            EventKind::Fork => {
                let comm = escape(OsStr::new(process.comm().as_ref()));
                ("fork", String::new(), String::new(), comm)
            }
            EventKind::Exec => (
                "exec",
                String::new(),
                String::new(),
                text::command(self.charset, process),
            ),
            EventKind::Exit(end) => {
                let lived = event.time.saturating_sub(process.start_time);
                (
                    "exit",
                    duration(lived),
                    status(end),
                    text::command(self.charset, process),
                )
            }
            EventKind::ExecFailed(number) => (
                "failed",
                String::new(),
                errno(*number),
                asked_for(self.charset, process),
            ),
            _ => return Ok(()),
        };
        if process.args_cut && !matches!(event.kind, EventKind::Fork) {
            self.args_cut.update(|lines| lines + 1);
        }
        let command = if self.ancestors {
            format!("{} {command}", ancestors(&event.ancestors))
        } else {
            command
        };
        self.columns(
            out,
            [
                &time.to_string(),
                kind,
                &process.pid.to_string(),
                &process.ppid.to_string(),
                &self.text.user(process.uid),
                &duration,
                &status,
                &command,
            ],
        )
    }

    fn json_event(&self, out: &mut impl Write, event: &Event) -> io::Result<()> {
        let process = &event.process;
        let (kind, end, error) = match &event.kind {
            EventKind::Fork => ("fork", None, None),
            EventKind::Exec => ("exec", None, None),
            EventKind::ExecFailed(number) => ("exec_failed", None, Some(errno(*number))),
            EventKind::Exit(end) => ("exit", Some(end), None),
            _ => return Ok(()),
        };
        let end = end.map(|end| end_fields(process, event.time, end));
        let line = EventLine {
            v: json::VERSION,
            r#type: kind,
            seq: event.seq,
            time: rfc3339(self.system_time(event.time)),
            process: ProcessFields::new(process, &self.clock),
            errno: error,
            end,
            ancestors: self
                .ancestors
                .then(|| event.ancestors.iter().map(AncestorObject::from).collect()),
        };
        json_line(out, &line)
    }
}

/// How a process has ended at `time`.
pub(super) fn end_fields(process: &Process, time: Duration, end: &Exit) -> ExitFields {
    ExitFields {
        exit_code: end.exit_code(),
        signal: end.signal().map(signal),
        core: end.core_dumped(),
        duration_ns: time.saturating_sub(process.start_time).as_nanos() as u64,
        cpu_ns: end.cpu_time.as_nanos() as u64,
        max_rss_bytes: end.max_rss,
    }
}

/// Of a failed exec: the file, whose name the arguments need not tell, and the arguments
/// after the first.
fn asked_for(charset: Charset, process: &Process) -> String {
    let file = process.file().map(Path::as_os_str).unwrap_or_default();
    let mut words = quote(charset, iter::once(file).chain(process.args().skip(1)));
    if process.args_cut {
        words += charset.cut();
    }
    words
}

/// The farthest first.
fn ancestors(ancestors: &[Ancestor]) -> String {
    let shown = |ancestor: &Ancestor| {
        let comm = escape(OsStr::new(ancestor.comm().as_ref()));
        format!("{comm}({})", ancestor.pid)
    };
    let shown: Vec<_> = ancestors.iter().rev().map(shown).collect();
    shown.join(">")
}

/// The name of an error, such as `ENOENT`.
fn errno(number: i32) -> String {
    match Errno::from_raw(number) {
        Errno::UnknownErrno => number.to_string(),
        error => format!("{error:?}"),
    }
}

/// The exit code, or the signal.
pub(super) fn status(end: &Exit) -> String {
    match (end.exit_code(), end.signal()) {
        (Some(code), _) => code.to_string(),
        (None, Some(number)) => {
            let core = if end.core_dumped() { "+core" } else { "" };
            signal(number) + core
        }
        (None, None) => end.status.to_string(),
    }
}

pub(super) fn signal(number: i32) -> String {
    match signal_name(number) {
        Some(name) => name.to_owned(),
        None => match number {
            libc::SIGSTKFLT => "SIGSTKFLT".to_owned(),
            libc::SIGPWR => "SIGPWR".to_owned(),
            _ => real_time_signal(number),
        },
    }
}

/// As bash names them, from whichever end is closer. The two before the first have no name:
/// the C library keeps them for itself.
fn real_time_signal(number: i32) -> String {
    let (min, max) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    let (after, before) = (number - min, max - number);
    match (after, before) {
        (..0, _) | (_, ..0) => format!("SIG{number}"),
        (0, _) => "SIGRTMIN".to_owned(),
        (_, 0) => "SIGRTMAX".to_owned(),
        _ if after <= before => format!("SIGRTMIN+{after}"),
        _ => format!("SIGRTMAX-{before}"),
    }
}

pub(super) fn json_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
struct StreamLine<'a> {
    v: u32,
    r#type: &'static str,
    time: String,
    boot_id: &'a str,
}

#[derive(Serialize)]
struct EventLine {
    v: u32,
    r#type: &'static str,
    seq: u64,
    time: String,
    #[serde(flatten)]
    process: ProcessFields,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<String>,
    #[serde(flatten)]
    end: Option<ExitFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ancestors: Option<Vec<AncestorObject>>,
}

#[derive(Serialize)]
pub(super) struct ExitFields {
    exit_code: Option<i32>,
    signal: Option<String>,
    core: bool,
    duration_ns: u64,
    cpu_ns: u64,
    max_rss_bytes: u64,
}

/// What of the table's losses was told; those of the ring are told by the stream itself.
#[derive(Default)]
pub(crate) struct TableLosses {
    table_full: u64,
    missed_runs: u64,
}

impl TableLosses {
    /// Tells what was lost since the last time.
    pub(crate) fn tell(
        &mut self,
        lines: &Lines,
        out: &mut impl Write,
        losses: &Losses,
    ) -> io::Result<()> {
        for (cause, told, lost) in [
            (Cause::TableFull, &mut self.table_full, losses.table_full),
            (Cause::MissedRuns, &mut self.missed_runs, losses.missed_runs),
        ] {
            if lost > *told {
                lines.lost(out, cause, lost - *told)?;
                *told = lost;
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct LostLine {
    v: u32,
    r#type: &'static str,
    cause: Cause,
    count: u64,
}

/// Why something was lost, named as in the losses of all lines.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Cause {
    RingFull,
    TableFull,
    MissedRuns,
}

#[derive(Serialize)]
struct SummaryLine {
    v: u32,
    r#type: &'static str,
    losses: json::LossesObject,
    seen: json::SeenObject,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_names_that_bash_has_for_them() {
        let names = duct::cmd!("bash", "-c", "kill -l | tr '\\t' '\\n'").read();
        let names = names.expect("it runs");
        let mut known = 0;
        for line in names.lines().filter(|line| !line.trim().is_empty()) {
            let (number, name) = line.split_once(')').expect("it has a number");
            let number = number.trim().parse().expect("it is one");
            assert_eq!(signal(number), name.trim());
            known += 1;
        }
        assert_eq!(known, 62, "{names}");
        assert_eq!(signal(32), "SIG32");
        assert_eq!(signal(65), "SIG65");
    }
}
