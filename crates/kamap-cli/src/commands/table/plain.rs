//! One table after the other, for pipes and files.

use std::io::{self, BufWriter, Write};

use super::layout::{Layout, footer};
use super::output::Output;
use super::view::View;

/// Writes each table in full.
pub(crate) struct Plain<W: Write> {
    out: BufWriter<W>,
    layout: Layout,
    first: bool,
}

impl<W: Write> Plain<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out: BufWriter::new(out),
            layout: Layout::new(),
            first: true,
        }
    }
}

impl<W: Write> Output for Plain<W> {
    fn table(&mut self, view: &View) -> io::Result<()> {
        if !self.first {
            writeln!(self.out)?;
        }
        self.first = false;
        let table = self.layout.table(view, &view.processes, None);
        writeln!(self.out, "{table}")?;
        if let Some(note) = view.note() {
            writeln!(self.out, "{note}")?;
        }
        writeln!(self.out, "{}", footer(view, &view.processes))?;
        self.out.flush()
    }

    fn summary(&mut self, view: &View) -> io::Result<()> {
        writeln!(self.out, "\n{}", footer(view, &[]))?;
        self.out.flush()
    }
}
