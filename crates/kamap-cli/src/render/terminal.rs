//! The size of the terminal, and what fits on it.

use std::io::{self, IsTerminal};

use textwrap::core::display_width;

/// Columns and rows of the terminal.
pub(crate) fn terminal_size() -> io::Result<(u16, u16)> {
    Ok(match crossterm::terminal::size()? {
        // A terminal that does not know its size says this.
        (0, _) | (_, 0) => (80, 24),
        size => size,
    })
}

/// Whether standard output is a terminal that can be drawn on in place.
pub(crate) fn is_screen() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
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

/// The part of `line` that begins at column `from` and fits into `width` columns, with `mark` at its end
/// if something is left out there.
pub(crate) fn clip(line: &str, from: usize, width: usize, mark: &str) -> String {
    let mut at = 0;
    let mut rest = line;
    while at < from
        && let Some(c) = rest.chars().next()
    {
        let (first, others) = rest.split_at(c.len_utf8());
        at += display_width(first);
        rest = others;
    }
    // Half of a wide character would be left.
    let mut clipped = " ".repeat(at.saturating_sub(from));
    clipped += rest;
    if display_width(&clipped) <= width {
        return clipped;
    }
    let room = width.saturating_sub(display_width(mark));
    let kept = cut(&clipped, room).to_owned();
    cut(&(kept + mark), width).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clipped_line_fits_and_says_that_something_follows() {
        assert_eq!(clip("abcdef", 0, 6, "…"), "abcdef");
        assert_eq!(clip("abcdef", 0, 5, "…"), "abcd…");
        assert_eq!(clip("abcdef", 2, 5, "…"), "cdef");
        assert_eq!(clip("abcdef", 9, 5, "…"), "");
        assert_eq!(clip("日本語", 0, 5, "…"), "日本…");
        assert_eq!(clip("日本語", 1, 5, "…"), " 本語");
        assert_eq!(clip("日本語", 0, 4, "…"), "日…");
        assert_eq!(clip("abc", 0, 2, "..."), "..");
        assert_eq!(clip("abc", 0, 0, "…"), "");
    }
}
