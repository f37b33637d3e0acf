//! The table redrawn in place, on a terminal.

use std::io::{self, Write};
use std::os::fd::BorrowedFd;

use textwrap::core::display_width;

use super::layout::{Layout, Window, footer};
use super::look::{Look, SortKey};
use super::marks::Marks;
use super::output::{Output, Wish};
use super::rows::{Row, rows};
use super::view::View;
use crate::render::{
    Canvas, Colors, Column, Key, Style, acts, clip, cut, help_lines, terminal_size,
};

/// How far the table moves sideways at once.
const STEP: usize = 8;

/// Says where to learn more.
const HINT: &str = "  ? help";

const HELP: &str = "\
Keys:
  q, F10          end
  t, F5           tree: children below their parents, with the totals of each subtree
  a               all processes, or those that exec'd since the start
  s, F6           sort by the next column; S: by the one before; r: in the other direction
  /, F4           show only rows with a text; Enter keeps it, Escape shows all again
  Up, Down, PgUp, PgDn, Home, End
                  scroll
  Left, Right     move the table sideways
  ?, h, F1        this help

Marks:
  green, (new)    has just come
  red, (gone)     has just gone
  <defunct>       has ended, and its parent has not waited for it (all processes)
  grey            threads of the kernel";

/// The table on the screen of a terminal.
pub(crate) struct Screen<W: Write> {
    canvas: Canvas<W>,
    layout: Layout,
    look: Look,
    mode: Mode,
    marks: Marks,
    /// Whether all processes are shown.
    all: bool,
    /// The first row to show, once somebody has scrolled.
    top: Option<usize>,
    /// The first column to show.
    left: usize,
    /// What the last drawing showed.
    shown: Shown,
}

/// What keys do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Table,
    /// They are text to look for.
    Filter,
    /// Each ends the help.
    Help,
}

/// Which rows the last drawing showed.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    first: usize,
    rows: usize,
    of: usize,
}

impl<W: Write> Screen<W> {
    /// A screen on the terminal `out`.
    pub(crate) fn new(out: W, look: Look, colors: Colors, all: bool) -> io::Result<Self> {
        Ok(Self {
            canvas: Canvas::new(out)?,
            layout: Layout::new(colors),
            look,
            mode: Mode::Table,
            marks: Marks::default(),
            all,
            top: None,
            left: 0,
            shown: Shown::default(),
        })
    }

    fn draw(&mut self, view: &View) -> io::Result<()> {
        self.canvas.enter()?;
        let (lines, shown) = match self.mode {
            Mode::Help => (help_lines(HELP)?, self.shown),
            _ => self.lines(view)?,
        };
        self.shown = shown;
        self.canvas.draw(&lines)
    }

    /// What fits on the screen, line by line.
    fn lines(&self, view: &View) -> io::Result<(Vec<String>, Shown)> {
        let (width, height) = terminal_size()?;
        let (width, height) = (usize::from(width), usize::from(height));
        let is_new = |process| self.marks.is_new(process);
        let rows = rows(
            view,
            &self.look,
            &self.layout.cells,
            self.marks.gone(),
            is_new,
        );
        let below = |shown: &[Row<'_>]| -> Vec<String> {
            let style = match view.losses.total() {
                0 => Style::Plain,
                _ => Style::Lost,
            };
            let footer = footer(view, shown);
            let mut lines: Vec<String> = textwrap::wrap(&footer, width)
                .into_iter()
                .map(Into::into)
                .collect();
            let status = self.status();
            if self.canvas.has_keys()
                && status.is_none()
                && let Some(last) = lines.last_mut()
                && display_width(last) + HINT.len() <= width
            {
                *last += HINT;
            }
            for line in &mut lines {
                *line = self.layout.colors.paint(style, line).into_owned();
            }
            if let Some(status) = status {
                lines.push(clip(&status, 0, width, self.layout.cells.charset().cut()));
            }
            lines
        };
        // The footer of fewer processes is not longer.
        let room = height.saturating_sub(1 + below(&rows).len());
        let all = rows.len();
        // If they do not fit, one line says so.
        let fit = if all <= room {
            all
        } else {
            room.saturating_sub(1)
        };
        let last = all - fit;
        let first = match self.top {
            Some(top) => top.min(last),
            None if self.look.ends_with_newest() => last,
            None => 0,
        };
        let shown = &rows[first..first + fit];
        let window = Window {
            left: self.left,
            width,
        };
        let mut lines = self.layout.table(view, &self.look, shown, Some(window));
        if rows.is_empty()
            && let Some(note) = view.note()
        {
            lines.push(cut(note, width).to_owned());
        }
        if fit < all {
            let text = match first == last && self.look.ends_with_newest() {
                true => format!("({last} older processes do not fit)"),
                false => format!("(rows {}-{} of {all})", first + 1, first + fit),
            };
            lines.push(cut(&text, width).to_owned());
        }
        let footer = below(shown);
        // On a terminal that is too low for all, the footer remains.
        lines.truncate(height.saturating_sub(footer.len()));
        lines.extend(footer);
        lines.truncate(height);
        let shown = Shown {
            first,
            rows: fit,
            of: all,
        };
        Ok((lines, shown))
    }

    /// What is not as it is without options and keys.
    fn status(&self) -> Option<String> {
        if self.mode == Mode::Filter {
            return Some(format!("/{}_", self.look.filter));
        }
        if !self.canvas.has_keys() {
            return None;
        }
        let mut parts = Vec::new();
        if self.look.tree {
            parts.push("tree".to_owned());
        }
        if !self.look.sort.is_empty() {
            let keys: Vec<_> = self.look.sort.iter().map(SortKey::shown).collect();
            parts.push(format!("sort {}", keys.join(",")));
        }
        if !self.look.filter.is_empty() {
            parts.push(format!("filter {}", self.look.filter));
        }
        if self.left > 0 {
            parts.push(format!("from column {}", self.left + 1));
        }
        (!parts.is_empty()).then(|| parts.join("  ") + HINT)
    }

    fn press(&mut self, key: Key) -> Wish {
        match self.mode {
            Mode::Help => self.mode = Mode::Table,
            Mode::Filter => self.edit(key),
            Mode::Table => return self.command(key),
        }
        Wish::Nothing
    }

    fn edit(&mut self, key: Key) {
        match key {
            Key::Char(c) if !acts(c) && self.layout.cells.charset().has(c) => {
                self.look.filter.push(c);
            }
            Key::Backspace => {
                self.look.filter.pop();
            }
            Key::Enter => self.mode = Mode::Table,
            Key::Escape => {
                self.look.filter.clear();
                self.mode = Mode::Table;
            }
            _ => {}
        }
        self.top = None;
    }

    fn command(&mut self, key: Key) -> Wish {
        let page = self.shown.rows.max(1);
        match key {
            Key::Char('q' | 'Q') | Key::Function(10) => return Wish::Quit,
            Key::Char('a') => {
                self.all = !self.all;
                self.marks.forget();
                self.top = None;
                return Wish::Table;
            }
            Key::Char('t') | Key::Function(5) => {
                self.look.tree = !self.look.tree;
                self.top = None;
            }
            Key::Char('s' | '>') | Key::Function(6) => self.sort_by_next(true),
            Key::Char('S' | '<') => self.sort_by_next(false),
            Key::Char('r' | 'I') => {
                for key in &mut self.look.sort {
                    key.descending = !key.descending;
                }
            }
            Key::Char('/' | '\\') | Key::Function(4) => self.mode = Mode::Filter,
            Key::Char('?' | 'h') | Key::Function(1) => self.mode = Mode::Help,
            Key::Escape => {
                self.look.filter.clear();
                self.top = None;
            }
            Key::Up | Key::Char('k') => self.scroll(|first| first.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.scroll(|first| first + 1),
            Key::PageUp => self.scroll(|first| first.saturating_sub(page)),
            Key::PageDown => self.scroll(|first| first + page),
            Key::Home | Key::Char('g') => self.scroll(|_| 0),
            Key::End | Key::Char('G') => self.scroll(|_| usize::MAX),
            Key::Left => self.left = self.left.saturating_sub(STEP),
            // Beyond the longest line there is nothing to see.
            Key::Right => self.left = (self.left + STEP).min(1 << 16),
            _ => {}
        }
        Wish::Nothing
    }

    fn scroll(&mut self, to: impl Fn(usize) -> usize) {
        let last = self.shown.of - self.shown.rows;
        let first = to(self.shown.first).min(last);
        // For keys that come before the next drawing.
        self.shown.first = first;
        // At the end of the list new rows come into view.
        self.top = (first < last || !self.look.ends_with_newest()).then_some(first);
    }

    /// Sorts by the column after, or before, the one that it is sorted by; by none after the last.
    fn sort_by_next(&mut self, forward: bool) {
        let columns = self.look.columns();
        let is_at = |key: &SortKey| {
            let name = key.column.name();
            columns.iter().position(|column| column.name() == name)
        };
        let at = self.look.sort.first().and_then(is_at);
        let next = match (at, forward) {
            (None, true) => Some(0),
            (None, false) => Some(columns.len() - 1),
            (Some(at), true) => (at + 1 < columns.len()).then_some(at + 1),
            (Some(at), false) => at.checked_sub(1),
        };
        let key = |column: Column| SortKey {
            column,
            // Of an amount the most comes first, of a name or a number of a process the least.
            descending: column.is_number()
                && !["pid", "ppid", "uid", "gid"].contains(&column.name()),
        };
        self.look.sort = next.map(|at| key(columns[at])).into_iter().collect();
        self.top = None;
    }
}

impl<W: Write> Output for Screen<W> {
    fn table(&mut self, view: &View) -> io::Result<()> {
        self.marks.see(view);
        self.draw(view)
    }

    fn redraw(&mut self, view: &View) -> io::Result<()> {
        // It may have come to the foreground.
        self.canvas.look_for_keys();
        self.draw(view)
    }

    fn typing(&self) -> Option<BorrowedFd<'_>> {
        self.canvas.typing()
    }

    fn typed(&mut self, view: &View) -> io::Result<Wish> {
        let keys = self.canvas.typed();
        if keys.is_empty() {
            return Ok(Wish::Nothing);
        }
        let mut wish = Wish::Nothing;
        for key in keys {
            match self.press(key) {
                Wish::Quit => return Ok(Wish::Quit),
                Wish::Table => wish = Wish::Table,
                Wish::Nothing => {}
            }
        }
        if wish == Wish::Nothing {
            self.draw(view)?;
        }
        Ok(wish)
    }

    fn shows_all(&self) -> Option<bool> {
        Some(self.all)
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.canvas.leave()
    }

    fn end(&mut self, view: &View) -> io::Result<()> {
        self.canvas.leave()?;
        // What stays is the table alone.
        self.marks.forget();
        let (lines, _) = self.lines(view)?;
        self.canvas.end(&lines)
    }

    fn summary(&mut self, view: &View) -> io::Result<()> {
        self.end(view)
    }
}
