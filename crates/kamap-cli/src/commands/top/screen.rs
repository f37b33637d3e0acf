//! The groups on the screen of a terminal.

use std::io::{self, Write};
use std::os::fd::BorrowedFd;

use clap::ValueEnum;
use textwrap::core::display_width;

use super::args::SortBy;
use super::table::Table;
use crate::render::{
    Canvas, Cells, Charset, Colors, Key, Style, clip, cut, help_lines, terminal_size,
};

const HELP: &str = "\
Each line is a command, a parent, a user or a unit, and sums up its processes
that started and ended in the last interval.

START/S, END/S  how many started and ended, per second
FAILED          how many ended with a status other than 0
CPU             the CPU time of those that ended
MEAN, LONGEST   how long these lived

Keys:
  q, F10          end
  s, F6           sort by the next column; S: by the one before
  Up, Down, PgUp, PgDn, Home, End
                  scroll
  ?, h, F1        this help";

/// The groups on the screen of a terminal.
pub(super) struct Screen<W: Write> {
    canvas: Canvas<W>,
    cells: Cells,
    colors: Colors,
    sort: SortBy,
    is_help: bool,
    /// The first group to show.
    top: usize,
    /// How many groups the last drawing had room for, and how many there were.
    fit: (usize, usize),
}

impl<W: Write> Screen<W> {
    /// A screen on the terminal `out`.
    pub(super) fn new(out: W, colors: Colors, sort: SortBy) -> io::Result<Self> {
        Ok(Self {
            canvas: Canvas::new(out)?,
            cells: Cells::new(Charset::of_output()),
            colors,
            sort,
            is_help: false,
            top: 0,
            fit: (0, 0),
        })
    }

    pub(super) fn typing(&self) -> Option<BorrowedFd<'_>> {
        self.canvas.typing()
    }

    pub(super) fn draw(&mut self, table: &Table) -> io::Result<()> {
        self.canvas.enter()?;
        self.canvas.look_for_keys();
        let lines = match self.is_help {
            true => help_lines(HELP)?,
            false => self.lines(table)?,
        };
        self.canvas.draw(&lines)
    }

    /// Does what somebody has typed while `table` is shown; returns whether that is to end.
    pub(super) fn typed(&mut self, table: &Table) -> io::Result<bool> {
        let keys = self.canvas.typed();
        if keys.is_empty() {
            return Ok(false);
        }
        if keys.into_iter().any(|key| self.press(key)) {
            return Ok(true);
        }
        self.draw(table)?;
        Ok(false)
    }

    /// Leaves the screen until something is drawn again.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        self.canvas.leave()
    }

    /// Leaves the screen, and prints what was on it last.
    pub(super) fn end(&mut self, table: &Table) -> io::Result<()> {
        self.canvas.leave()?;
        let lines = self.lines(table)?;
        self.canvas.end(&lines)
    }

    fn lines(&mut self, table: &Table) -> io::Result<Vec<String>> {
        let (width, height) = terminal_size()?;
        let (width, height) = (usize::from(width), usize::from(height));
        let mut footer: Vec<String> = textwrap::wrap(&table.footer(), width)
            .into_iter()
            .map(Into::into)
            .collect();
        let hint = match self.sort {
            SortBy::Started => "  ? help".to_owned(),
            sort => format!("  sort {}  ? help", sort.name()),
        };
        if self.canvas.has_keys()
            && let Some(last) = footer.last_mut()
            && display_width(last) + hint.len() <= width
        {
            *last += &hint;
        }
        let mut lines = table.lines(&self.cells, self.sort);
        let groups = lines.split_off(1);
        let room = height.saturating_sub(1 + footer.len());
        let fit = match groups.len() <= room {
            true => groups.len(),
            // A line says how many there are.
            false => room.saturating_sub(1),
        };
        self.fit = (fit, groups.len());
        self.top = self.top.min(groups.len() - fit);
        lines.extend(groups[self.top..self.top + fit].iter().cloned());
        if fit < groups.len() {
            let (first, last) = (self.top + 1, self.top + fit);
            lines.push(format!("(rows {first}-{last} of {})", groups.len()));
        }
        if table.interval().is_zero() {
            lines.push("(the first table comes at the end of the first interval)".to_owned());
        }
        let mark = self.cells.charset().cut();
        let paint = |(at, line): (usize, &String)| {
            let style = if at == 0 {
                Style::Heading
            } else {
                Style::Plain
            };
            let line = clip(line, 0, width, mark);
            self.colors.paint(style, &line).into_owned()
        };
        let mut lines: Vec<String> = lines.iter().enumerate().map(paint).collect();
        // On a terminal that is too low for all, the footer remains.
        lines.truncate(height.saturating_sub(footer.len()));
        let style = table.footer_style();
        for line in &footer {
            lines.push(self.colors.paint(style, cut(line, width)).into_owned());
        }
        lines.truncate(height);
        Ok(lines)
    }

    /// Returns whether the key ends all.
    fn press(&mut self, key: Key) -> bool {
        if std::mem::take(&mut self.is_help) {
            return false;
        }
        let (fit, all) = self.fit;
        match key {
            Key::Char('q' | 'Q') | Key::Function(10) => return true,
            Key::Char('s' | '>') | Key::Function(6) => self.sort_by_next(1),
            Key::Char('S' | '<') => self.sort_by_next(SortBy::value_variants().len() - 1),
            Key::Char('?' | 'h') | Key::Function(1) => self.is_help = true,
            Key::Up | Key::Char('k') => self.top = self.top.saturating_sub(1),
            Key::Down | Key::Char('j') => self.top += 1,
            Key::PageUp => self.top = self.top.saturating_sub(fit.max(1)),
            Key::PageDown => self.top += fit.max(1),
            Key::Home | Key::Char('g') => self.top = 0,
            Key::End | Key::Char('G') => self.top = all,
            _ => {}
        }
        self.top = self.top.min(all - fit);
        false
    }

    /// Sorts by the column so many after the one that it is sorted by.
    fn sort_by_next(&mut self, steps: usize) {
        let sorts = SortBy::value_variants();
        let at = sorts.iter().position(|&sort| sort == self.sort);
        self.sort = sorts[(at.unwrap_or_default() + steps) % sorts.len()];
        self.top = 0;
    }
}
