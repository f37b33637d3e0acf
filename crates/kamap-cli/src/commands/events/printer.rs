//! Events as lines, of text or of JSON.

use std::cell::Cell;
use std::io::{self, Write};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kamap::json::Lines;
use kamap::{
    Ancestor, Cause, Clock, Event, EventKind, Item, Losses, Lost, ProcessAt, Seen, errno_name,
};

use crate::policy::errors::one_line;
use crate::render::{
    Cells, Charset, Colors, Column, Style, attached, attempted_command, columns, counted, cut,
    json_line, terminal_size,
};

/// The columns that show the process, between those of the event.
const COLUMNS: [&str; 5] = ["pid", "ppid", "user", "duration_ns", "status"];

/// Prints what the stream consists of.
pub(crate) struct EventPrinter {
    clock: Clock,
    /// Whether lines are JSON.
    json: bool,
    lines: Lines,
    /// Whether there is a column for them.
    ancestors: bool,
    /// Whether lines are cut to the width of the terminal, to which they go.
    on_terminal: bool,
    colors: Colors,
    zone: TimeZone,
    cells: Cells,
    columns: [Column; COLUMNS.len()],
    /// How many lines had truncated arguments.
    args_cut: Cell<usize>,
}

impl EventPrinter {
    /// Prints in `lines`, if they are to be JSON.
    pub(crate) fn new(
        lines: Lines,
        clock: Clock,
        json: bool,
        ancestors: bool,
        on_terminal: bool,
    ) -> Self {
        Self {
            clock,
            json,
            lines: lines.with_ancestors(ancestors),
            ancestors,
            on_terminal,
            colors: Colors::NONE,
            zone: TimeZone::system(),
            cells: Cells::new(Charset::of_output()),
            columns: columns(COLUMNS),
            args_cut: Cell::default(),
        }
    }

    /// Marks what failed, and what was lost, with these colours.
    pub(crate) fn with_colors(mut self, colors: Colors) -> Self {
        self.colors = colors;
        self
    }

    /// Converts times by this clock from now on.
    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
        self.lines.set_clock(clock);
    }

    /// What comes first: the headings, or the line that names the boot.
    pub(crate) fn header(&self, out: &mut impl Write) -> io::Result<()> {
        if self.json {
            return json_line(out, &self.lines.stream(Clock::since_boot()));
        }
        let headings = self.columns.map(Column::heading);
        let command = match self.ancestors {
            true => "ANCESTORS COMMAND",
            false => "COMMAND",
        };
        self.row(out, Style::Heading, ["TIME", "EVENT"], headings, command)
    }

    /// Columns of fixed width, except the last: later rows are not known yet.
    fn row(
        &self,
        out: &mut impl Write,
        style: Style,
        [time, event]: [&str; 2],
        [pid, ppid, user, duration, status]: [String; COLUMNS.len()],
        command: &str,
    ) -> io::Result<()> {
        let line = format!(
            "{time:<12} {event:<5} {pid:>7} {ppid:>7} {user:<8} {duration:>9} {status:<8} {command}"
        );
        // Each time anew: the terminal may have another size by now.
        let width = match self.on_terminal {
            true => terminal_size()?.0.into(),
            false => usize::MAX,
        };
        let line = cut(&line, width);
        writeln!(out, "{}", self.colors.paint(style, line))
    }

    /// A line for `item`.
    pub(crate) fn item(&self, out: &mut impl Write, item: &Item) -> io::Result<()> {
        match item {
            Item::Event(event) if self.json => json_line(out, &self.lines.event(event)),
            Item::Event(event) => self.event(out, event),
            Item::Lost(lost) if self.json => json_line(out, &self.lines.lost(*lost)),
            Item::Lost(lost) => self.lost(out, *lost),
            Item::Replaced(replaced) if self.json => json_line(out, &self.lines.replaced(replaced)),
            Item::Replaced(replaced) => writeln!(
                out,
                "({} kamap {} has replaced what was attached)",
                self.time(replaced.time),
                one_line(&replaced.version)
            ),
            _ => Ok(()),
        }
    }

    fn lost(&self, out: &mut impl Write, Lost { cause, count, .. }: Lost) -> io::Result<()> {
        let text = match cause {
            Cause::RingFull => {
                format!("(lost {count} events, which found no room: use a larger --ring-size)")
            }
            Cause::TableFull => format!(
                "(lost {count} processes, which found no room in the table, so that no end is told \
                 of them: use a larger --max-entries)"
            ),
            _ => format!("(lost {count} events: the kernel has skipped them)"),
        };
        writeln!(out, "{}", self.colors.paint(Style::Lost, &text))
    }

    /// How many lines had truncated arguments.
    pub(crate) fn args_cut(&self) -> usize {
        self.args_cut.get()
    }

    /// What comes last.
    pub(crate) fn summary(
        &self,
        out: &mut impl Write,
        seen: &Seen,
        losses: &Losses,
        is_attached: bool,
    ) -> io::Result<()> {
        if self.json {
            return json_line(out, &self.lines.summary(*losses, *seen));
        }
        let counted = counted(seen, losses, self.args_cut());
        writeln!(out, "\n{counted}{}", attached(is_attached))
    }

    fn event(&self, out: &mut impl Write, event: &Event) -> io::Result<()> {
        let (process, charset) = (&event.process, self.cells.charset());
        let alive = ProcessAt::alive(process, event.time);
        let command = || self.cells.text(Column::Command, &alive);
        let cells = |at: &ProcessAt<'_>| self.columns.map(|column| self.cells.text(column, at));
        let (kind, cells, command) = match &event.kind {
            EventKind::Fork => ("fork", cells(&alive), self.cells.name(&process.comm())),
            EventKind::Exec => ("exec", cells(&alive), command()),
            EventKind::Exit(exit) => {
                let ended = ProcessAt::ended(process, event.time, exit);
                ("exit", cells(&ended), command())
            }
            EventKind::ExecFailed(number) => {
                let [pid, ppid, user, duration, _] = cells(&alive);
                let cells = [pid, ppid, user, duration, errno_name(*number)];
                ("failed", cells, attempted_command(charset, process))
            }
            _ => return Ok(()),
        };
        if process.args_cut && !matches!(event.kind, EventKind::Fork) {
            self.args_cut.update(|lines| lines + 1);
        }
        let command = match self.ancestors {
            true => format!("{} {command}", self.ancestors(&event.ancestors)),
            false => command,
        };
        let style = match &event.kind {
            EventKind::Exit(exit) if !exit.success() => Style::Failed,
            EventKind::ExecFailed(_) => Style::Failed,
            _ => Style::Plain,
        };
        let time = self.time(event.time);
        self.row(out, style, [&time, kind], cells, &command)
    }

    /// The time of day, in the local time zone.
    fn time(&self, since_boot: Duration) -> String {
        let time = self.clock.system_time(since_boot);
        let time = Timestamp::try_from(time).unwrap_or(Timestamp::MAX);
        let time = time.to_zoned(self.zone.clone());
        time.strftime("%H:%M:%S%.3f").to_string()
    }

    /// The farthest first.
    fn ancestors(&self, ancestors: &[Ancestor]) -> String {
        let shown = |ancestor: &Ancestor| {
            let comm = self.cells.name(&ancestor.comm());
            format!("{comm}({})", ancestor.pid)
        };
        let shown: Vec<_> = ancestors.iter().rev().map(shown).collect();
        shown.join(">")
    }
}
