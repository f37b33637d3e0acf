//! Lines of JSON.

use std::io::{self, Write};

use serde::Serialize;

/// Writes `line` as one line.
pub(crate) fn json_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
