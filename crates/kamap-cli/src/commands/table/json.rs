//! Tables as JSON, one object per line.

use std::io::{self, BufWriter, Write};

use kamap::json::Lines;

use super::output::Output;
use super::view::View;
use crate::render::{gap_line, json_line};

/// Writes a line for each table.
pub(crate) struct Json<W: Write> {
    out: BufWriter<W>,
}

impl<W: Write> Json<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out: BufWriter::new(out),
        }
    }
}

impl<W: Write> Output for Json<W> {
    fn table(&mut self, view: &View) -> io::Result<()> {
        let lines = Lines::new(view.clock, &*view.boot_id).with_attached(view.attached.as_deref());
        let mut table = match &view.past {
            Some(past) => lines
                .past_table(view.time, &view.processes)
                .with_gap(past.gap.as_ref().map(gap_line)),
            None => lines.table(view.time, &view.processes, view.losses, view.seen),
        };
        if let Some(next_seq) = view.next_seq {
            table = table.with_next_seq(next_seq);
        }
        json_line(&mut self.out, &table)?;
        self.out.flush()
    }

    fn summary(&mut self, view: &View) -> io::Result<()> {
        self.table(view)
    }
}
