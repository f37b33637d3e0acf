//! The size of the terminal, and what fits on it.

use std::io;

use textwrap::core::display_width;

/// Columns and rows of the terminal.
pub(crate) fn terminal_size() -> io::Result<(u16, u16)> {
    Ok(match crossterm::terminal::size()? {
        // A terminal that does not know its size says this.
        (0, _) | (_, 0) => (80, 24),
        size => size,
    })
}

/// The beginning of `line` that fits into `width` columns.
pub(crate) fn cut(line: &str, width: usize) -> &str {
    let mut used = 0;
    for (at, c) in line.char_indices() {
        used += display_width(c.encode_utf8(&mut [0; 4]));
        if used > width {
            return &line[..at];
        }
    }
    line
}
