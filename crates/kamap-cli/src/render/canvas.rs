//! The screen of a terminal, drawn again and again, and the keys that are typed there.

use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, BorrowedFd};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{execute, queue};

use super::keys::{Key, Keys};
use super::terminal::{cut, terminal_size};

/// Draws on the alternate screen, so that what was on the terminal comes back at the end.
pub(crate) struct Canvas<W: Write> {
    out: BufWriter<W>,
    drawing: bool,
    keys: Option<Keys>,
    /// Whether keys can be typed at all.
    has_keys: bool,
}

impl<W: Write> Canvas<W> {
    /// The screen of the terminal `out`.
    pub(crate) fn new(out: W) -> io::Result<Self> {
        let mut canvas = Self {
            out: BufWriter::new(out),
            drawing: false,
            keys: None,
            has_keys: true,
        };
        canvas.enter()?;
        Ok(canvas)
    }

    /// Takes the screen, unless this has it.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        if !self.drawing {
            self.drawing = true;
            self.keys = self.has_keys.then(Keys::open).flatten();
            execute!(self.out, EnterAlternateScreen, Hide, DisableLineWrap)?;
        }
        Ok(())
    }

    /// Leaves the screen to others until something is drawn again.
    pub(crate) fn leave(&mut self) -> io::Result<()> {
        if self.drawing {
            self.drawing = false;
            self.keys = None;
            execute!(self.out, EnableLineWrap, Show, LeaveAlternateScreen)?;
        }
        Ok(())
    }

    /// Shows these lines, which have to fit, and nothing else, on the screen that this has [entered](Self::enter).
    pub(crate) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        queue!(self.out, BeginSynchronizedUpdate, MoveTo(0, 0))?;
        for (i, line) in lines.iter().enumerate() {
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

    /// Leaves the screen, and prints these lines where it was before.
    pub(crate) fn end(&mut self, lines: &[String]) -> io::Result<()> {
        self.leave()?;
        for line in lines {
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }

    /// Whether somebody can type.
    pub(crate) fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Lets keys be typed if this process has come to the foreground.
    pub(crate) fn look_for_keys(&mut self) {
        if self.drawing && self.keys.is_none() && self.has_keys {
            self.keys = Keys::open();
        }
    }

    /// What is readable once somebody has typed, if anybody can.
    pub(crate) fn typing(&self) -> Option<BorrowedFd<'_>> {
        self.keys.as_ref().map(AsFd::as_fd)
    }

    /// The keys that were typed.
    pub(crate) fn typed(&mut self) -> Vec<Key> {
        let typed = self.keys.as_ref().and_then(Keys::read);
        if typed.is_none() {
            // Nobody can type any more.
            (self.keys, self.has_keys) = (None, false);
        }
        typed.unwrap_or_default()
    }
}

impl<W: Write> Drop for Canvas<W> {
    fn drop(&mut self) {
        // After an error or a panic: a further error could not be reported.
        let _ = self.leave();
    }
}

/// As much of a text as the screen has room for, line by line.
pub(crate) fn help_lines(text: &str) -> io::Result<Vec<String>> {
    let (width, height) = terminal_size()?;
    let lines = text.lines().take(height.into());
    Ok(lines
        .map(|line| cut(line, width.into()).to_owned())
        .collect())
}
