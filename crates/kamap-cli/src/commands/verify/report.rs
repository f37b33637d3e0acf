//! What a comparison found, as text and as JSON.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use kamap::json::{Lines, rfc3339};
use kamap::{Clock, Field, Losses, Seen, Suspect, Verification};

use crate::args::Source;
use crate::render::{attached, counted, escape, json_line};

/// The outcome of one comparison.
#[derive(Debug)]
pub(super) struct Report {
    found: Verification,
    clock: Clock,
    boot_id: String,
    /// Where somebody has attached what is read, if somebody has.
    attached: Option<PathBuf>,
    pub(super) losses: Losses,
    seen: Seen,
}

impl Report {
    /// Compares.
    pub(super) fn read(source: &Source) -> kamap::Result<Self> {
        let reader = source.reader();
        reader.refill()?;
        Ok(Self {
            found: reader.verify()?,
            clock: reader.clock(),
            boot_id: Clock::boot_id()?,
            attached: source.attached().map(Path::to_owned),
            losses: reader.losses()?,
            seen: reader.seen()?,
        })
    }

    /// Whether nothing was found.
    pub(super) fn is_exact(&self) -> bool {
        self.found.is_exact()
    }

    fn time(&self, since_boot: Duration) -> String {
        rfc3339(self.clock.system_time(since_boot))
    }

    /// Prints a line for each difference, if there are any, and one that sums up.
    pub(super) fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let found = &self.found;
        let (missing, stale) = (found.missing.len(), found.stale.len());
        let sum = format!(
            "{} processes checked: {missing} missing, {stale} stale, {} mismatched{}  {}",
            found.checked,
            found.mismatched.len(),
            attached(self.attached.is_some()),
            counted(&self.seen, &self.losses, 0)
        );
        if found.is_exact() {
            return writeln!(out, "{sum}");
        }
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(["FOUND", "PID", "STARTED", "COMM", "DIFFERENCE"]);
        let mut add = |what: &str, process: &Suspect, difference: String| {
            table.add_row([
                what,
                &process.pid.to_string(),
                &self.time(process.start_time),
                &escape(OsStr::new(process.comm().as_ref())),
                &difference,
            ]);
        };
        for process in &found.missing {
            add("missing", process, "alive, but has no row".to_owned());
        }
        for process in &found.stale {
            add("stale", process, "has a row, but is gone".to_owned());
        }
        for mismatch in &found.mismatched {
            let fields: Vec<_> = mismatch.fields.iter().map(field).collect();
            add("mismatched", &mismatch.process, fields.join(", "));
        }
        for (i, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 1));
            if i == 1 {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(out, "{}\n{sum}", table.trim_fmt())
    }

    /// Prints one line.
    pub(super) fn json(&self, out: &mut impl Write) -> io::Result<()> {
        let lines = Lines::new(self.clock, &*self.boot_id).with_attached(self.attached.as_deref());
        json_line(
            out,
            &lines.verification(&self.found, self.losses, self.seen),
        )
    }
}

fn field(field: &Field) -> String {
    let Field {
        name,
        table,
        kernel,
        ..
    } = field;
    format!("{name} is {table} in the table, {kernel} in the kernel")
}
