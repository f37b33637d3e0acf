//! Lives as lines, of text or of JSON.

use std::io::{self, Write};
use std::time::Duration;

use kamap::ProcessAt;
use kamap::json::Lines;
use kamap_history::{End, Gap, Life};

use crate::render::{
    Cells, Charset, Column, columns, cut, date_and_time, duration, gap_line, gap_text, json_line,
    terminal_size,
};

/// The columns after the time.
const COLUMNS: [&str; 7] = [
    "pid",
    "ppid",
    "user",
    "duration_ns",
    "cpu_ns",
    "status",
    "command",
];

/// Prints lives and what is missing between them.
pub(super) struct LifePrinter {
    json: bool,
    /// Whether lines are cut to the width of the terminal, to which they go.
    on_terminal: bool,
    cells: Cells,
    columns: [Column; COLUMNS.len()],
    /// The boot of the last life.
    boot_id: Option<String>,
}

impl LifePrinter {
    pub(super) fn new(json: bool, on_terminal: bool) -> Self {
        Self {
            json,
            on_terminal,
            cells: Cells::new(Charset::of_output()),
            columns: columns(COLUMNS),
            boot_id: None,
        }
    }

    pub(super) fn charset(&self) -> Charset {
        self.cells.charset()
    }

    pub(super) fn header(&self, out: &mut impl Write) -> io::Result<()> {
        match self.json {
            true => Ok(()),
            false => self.row(out, "ENDED", self.columns.map(Column::heading)),
        }
    }

    fn row(
        &self,
        out: &mut impl Write,
        time: &str,
        [pid, ppid, user, duration, cpu, status, command]: [String; COLUMNS.len()],
    ) -> io::Result<()> {
        let line = format!(
            "{time:<23} {pid:>7} {ppid:>7} {user:<8} {duration:>9} {cpu:>9} {status:<8} {command}"
        );
        self.line(out, &line)
    }

    fn line(&self, out: &mut impl Write, line: &str) -> io::Result<()> {
        let width = match self.on_terminal {
            true => terminal_size()?.0.into(),
            false => usize::MAX,
        };
        writeln!(out, "{}", cut(line, width))
    }

    /// A line for a life.
    pub(super) fn life(&mut self, out: &mut impl Write, life: &Life) -> io::Result<()> {
        self.life_in_tree(out, life, None, "")
    }

    /// The same with so many ancestors, and lines before its command that lead to them.
    pub(super) fn life_in_tree(
        &mut self,
        out: &mut impl Write,
        life: &Life,
        depth: Option<usize>,
        tree_lines: &str,
    ) -> io::Result<()> {
        let process = &life.process;
        if self.json {
            let lines = Lines::new(life.clock, &*life.boot_id);
            let end = match &life.end {
                End::Exit(time, exit) => Some((*time, Some(exit))),
                End::Unknown(time) => Some((*time, None)),
                _ => None,
            };
            let line = lines.life(process, end);
            return match depth {
                Some(depth) => json_line(out, &line.with_depth(depth)),
                None => json_line(out, &line),
            };
        }
        let is_first = self.boot_id.is_none();
        if self.boot_id.as_ref() != Some(&life.boot_id) {
            self.boot_id = Some(life.boot_id.clone());
            if !is_first {
                let boot = date_and_time(life.clock.system_time(Duration::ZERO));
                self.line(out, &format!("(the machine booted at {boot})"))?;
            }
        }
        let at = match &life.end {
            End::Exit(time, exit) => ProcessAt::ended(process, *time, exit),
            _ => ProcessAt::alive(process, process.start_time),
        };
        let cells = self.columns.map(|column| match (column.name(), &life.end) {
            ("status", End::Unknown(_)) => "unknown".to_owned(),
            ("duration_ns", End::Unknown(time)) => {
                format!("<{}", duration(time.saturating_sub(process.start_time)))
            }
            ("command", _) => tree_lines.to_owned() + &self.cells.text(column, &at),
            _ => self.cells.text(column, &at),
        });
        let time = match life.end.time() {
            Some(time) => date_and_time(life.clock.system_time(time)),
            None => "running".to_owned(),
        };
        self.row(out, &time, cells)
    }

    /// A line for a time in which not all was recorded.
    pub(super) fn gap(&self, out: &mut impl Write, gap: &Gap) -> io::Result<()> {
        if self.json {
            return json_line(out, &gap_line(gap));
        }
        self.line(out, &format!("({})", gap_text(gap)))
    }
}
