//! The table redrawn in place, on a terminal.

use std::io::{self, BufWriter, Write};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{execute, queue};
use kamap::Process;

use super::layout::{Layout, footer};
use super::output::Output;
use super::view::View;
use crate::render::{cut, terminal_size};

/// Draws on the alternate screen, so that what was on the terminal comes back at the end.
pub(crate) struct Screen<W: Write> {
    out: BufWriter<W>,
    layout: Layout,
    drawing: bool,
}

impl<W: Write> Screen<W> {
    pub(crate) fn new(out: W) -> io::Result<Self> {
        let mut screen = Self {
            out: BufWriter::new(out),
            layout: Layout::new(),
            drawing: false,
        };
        screen.enter()?;
        Ok(screen)
    }

    fn enter(&mut self) -> io::Result<()> {
        if !self.drawing {
            self.drawing = true;
            execute!(self.out, EnterAlternateScreen, Hide, DisableLineWrap)?;
        }
        Ok(())
    }

    fn leave(&mut self) -> io::Result<()> {
        if self.drawing {
            self.drawing = false;
            execute!(self.out, EnableLineWrap, Show, LeaveAlternateScreen)?;
        }
        Ok(())
    }

    /// What fits on the screen, line by line: the newest processes, and how many
    /// older ones are left out.
    fn lines(&self, view: &View) -> io::Result<Vec<String>> {
        let (width, height) = terminal_size()?;
        let below = |shown: &[Process]| -> Vec<String> {
            let footer = footer(view, shown);
            let lines = textwrap::wrap(&footer, usize::from(width));
            lines.iter().map(ToString::to_string).collect()
        };
        // The footer of fewer processes is not longer.
        let room = usize::from(height).saturating_sub(1 + below(&view.processes).len());
        let left_out = match view.processes.len() {
            all if all <= room => 0,
            // One line says so.
            all => all - room.saturating_sub(1),
        };
        let shown = &view.processes[left_out..];
        let table = self.layout.table(view, shown, Some(width));
        let mut lines: Vec<String> = table.lines().map(str::to_owned).collect();
        if let Some(note) = view.note() {
            lines.push(cut(note, width.into()).to_owned());
        }
        if left_out > 0 {
            lines.push(format!("({left_out} older processes do not fit)"));
        }
        let footer = below(shown);
        // On a terminal that is too low for all, the footer remains.
        lines.truncate(usize::from(height).saturating_sub(footer.len()));
        lines.extend(footer);
        lines.truncate(height.into());
        Ok(lines)
    }
}

impl<W: Write> Output for Screen<W> {
    fn table(&mut self, view: &View) -> io::Result<()> {
        self.enter()?;
        queue!(self.out, BeginSynchronizedUpdate, MoveTo(0, 0))?;
        for (i, line) in self.lines(view)?.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\r\n" };
            write!(self.out, "{newline}{line}")?;
            queue!(self.out, Clear(ClearType::UntilNewLine))?;
        }
        queue!(
            self.out,
            Clear(ClearType::FromCursorDown),
            EndSynchronizedUpdate
        )?;
        self.out.flush()
    }

    fn redraw(&mut self, view: &View) -> io::Result<()> {
        self.table(view)
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.leave()
    }

    fn end(&mut self, view: &View) -> io::Result<()> {
        self.leave()?;
        for line in self.lines(view)? {
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }

    fn summary(&mut self, view: &View) -> io::Result<()> {
        self.end(view)
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        // After an error or a panic: a further error could not be reported.
        let _ = self.leave();
    }
}
