//! One table after the other, for pipes and files.

use std::io::{self, BufWriter, Write};

use super::layout::{Layout, Window, footer};
use super::look::Look;
use super::output::Output;
use super::rows::rows;
use super::view::View;
use crate::render::{Colors, Style, terminal_size};

/// Writes each table in full.
pub(crate) struct Plain<W: Write> {
    out: BufWriter<W>,
    layout: Layout,
    look: Look,
    /// Whether lines are shortened to the width of the terminal, to which they go.
    on_terminal: bool,
    first: bool,
}

impl<W: Write> Plain<W> {
    /// Tables that look as they do without options.
    pub(crate) fn new(out: W) -> Self {
        Self::with(out, Look::default(), Colors::NONE, false)
    }

    /// Tables that look like this. `on_terminal`: `out` is one.
    pub(crate) fn with(out: W, look: Look, colors: Colors, on_terminal: bool) -> Self {
        Self {
            out: BufWriter::new(out),
            layout: Layout::new(colors),
            on_terminal: on_terminal && !look.wide,
            look,
            first: true,
        }
    }

    fn footer(&mut self, footer: &str, view: &View) -> io::Result<()> {
        let style = match view.losses.total() {
            0 => Style::Plain,
            _ => Style::Lost,
        };
        writeln!(self.out, "{}", self.layout.colors.paint(style, footer))
    }
}

impl<W: Write> Output for Plain<W> {
    fn table(&mut self, view: &View) -> io::Result<()> {
        if !self.first {
            writeln!(self.out)?;
        }
        self.first = false;
        let window = match self.on_terminal {
            true => Some(Window {
                left: 0,
                width: terminal_size()?.0.into(),
            }),
            false => None,
        };
        let rows = rows(view, &self.look, &self.layout.cells, &[], |_| false);
        for line in self.layout.table(view, &self.look, &rows, window) {
            writeln!(self.out, "{line}")?;
        }
        if let Some(note) = view.note() {
            writeln!(self.out, "{note}")?;
        }
        let footer = footer(view, &rows);
        self.footer(&footer, view)?;
        self.out.flush()
    }

    fn summary(&mut self, view: &View) -> io::Result<()> {
        writeln!(self.out)?;
        self.footer(&footer(view, &[]), view)?;
        self.out.flush()
    }
}
