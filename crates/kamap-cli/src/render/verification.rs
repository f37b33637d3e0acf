//! What `kamap verify` has found, as text and as JSON.

use std::ffi::OsStr;
use std::time::{Duration, SystemTime};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use kamap::{Clock, Field, Losses, Seen, Suspect, Tracker, Verification};
use serde::Serialize;

use super::escape::escape;
use super::fields::{Comm, nanos};
use super::json::{self, rfc3339};
use super::text::counted;

/// The outcome of one comparison.
#[derive(Debug)]
pub(crate) struct Checked {
    found: Verification,
    clock: Clock,
    boot_id: String,
    pub(crate) losses: Losses,
    seen: Seen,
}

impl Checked {
    /// Compares.
    pub(crate) fn read(tracker: &Tracker) -> kamap::Result<Self> {
        tracker.refill()?;
        Ok(Self {
            found: tracker.verify()?,
            clock: tracker.clock(),
            boot_id: Clock::boot_id()?,
            losses: tracker.losses()?,
            seen: tracker.seen()?,
        })
    }

    /// Whether nothing was found.
    pub(crate) fn is_exact(&self) -> bool {
        self.found.is_exact()
    }

    fn time(&self, since_boot: Duration) -> String {
        let time: SystemTime = self.clock.system_time(since_boot);
        rfc3339(time)
    }

    /// A line for each difference, if there are any, and one that sums up.
    pub(crate) fn text(&self) -> String {
        let found = &self.found;
        let (missing, stale) = (found.missing.len(), found.stale.len());
        let sum = format!(
            "{} processes checked: {missing} missing, {stale} stale, {} mismatched  {}",
            found.checked,
            found.mismatched.len(),
            counted(&self.seen, &self.losses, 0)
        );
        if found.is_exact() {
            return sum;
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
        format!("{}\n{sum}", table.trim_fmt())
    }

    /// One line.
    pub(crate) fn json(&self) -> String {
        let found = &self.found;
        let suspects = |suspects: &[Suspect]| -> Vec<SuspectObject> {
            suspects
                .iter()
                .map(|process| self.suspect(process))
                .collect()
        };
        let mismatched = found.mismatched.iter().map(|mismatch| MismatchObject {
            process: self.suspect(&mismatch.process),
            differs: mismatch.fields.iter().map(field_object).collect(),
        });
        let line = Line {
            v: json::VERSION,
            r#type: "verify",
            time: self.time(found.time),
            boot_id: &self.boot_id,
            exact: found.is_exact(),
            checked: found.checked,
            missing: suspects(&found.missing),
            stale: suspects(&found.stale),
            mismatched: mismatched.collect(),
            losses: json::losses(&self.losses),
            seen: json::seen(&self.seen),
        };
        serde_json::to_string(&line).expect("it has text keys only")
    }

    fn suspect(&self, process: &Suspect) -> SuspectObject {
        SuspectObject {
            pid: process.pid,
            start_time: self.time(process.start_time),
            start_boottime_ns: nanos(process.start_time),
            comm: Comm::new(process.comm_bytes()),
        }
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

fn field_object(field: &Field) -> FieldObject {
    FieldObject {
        field: field.name,
        table: field.table,
        kernel: field.kernel,
    }
}

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    r#type: &'static str,
    time: String,
    boot_id: &'a str,
    exact: bool,
    checked: usize,
    missing: Vec<SuspectObject>,
    stale: Vec<SuspectObject>,
    mismatched: Vec<MismatchObject>,
    losses: json::LossesObject,
    seen: json::SeenObject,
}

#[derive(Serialize)]
struct SuspectObject {
    pid: u32,
    start_time: String,
    start_boottime_ns: u64,
    #[serde(flatten)]
    comm: Comm,
}

#[derive(Serialize)]
struct MismatchObject {
    #[serde(flatten)]
    process: SuspectObject,
    differs: Vec<FieldObject>,
}

#[derive(Serialize)]
struct FieldObject {
    field: &'static str,
    table: u64,
    kernel: u64,
}
