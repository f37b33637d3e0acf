//! What lives come to, by what they have in common.

use std::io::Write;
use std::time::SystemTime;

use anyhow::Result;
use kamap_history::{Group, History};
use serde_json::json;

use super::Args;
use crate::policy::errors::{OutputError, UsageError};
use crate::render::{
    Cells, Charset, VERSION, duration, group_heading, group_member, group_text, json_line,
    number_lines,
};

/// Prints a line for each group.
pub(super) fn print(
    args: &Args,
    history: &History,
    since: SystemTime,
    until: SystemTime,
    out: &mut impl Write,
) -> Result<()> {
    if args.selects() {
        return Err(UsageError(
            "--summary sums up all lives: leave out the options that select some",
        )
        .into());
    }
    let by = args.by;
    let groups = history.summary(since, until, by)?;
    // What was not recorded would make it too low.
    let recorded = history.recorded(since, until)?.as_secs_f64();
    let rate = |group: &Group| (recorded > 0.0).then(|| group.count as f64 / recorded);
    if args.json {
        for group in &groups {
            let (name, value) = group_member(by, &group.key);
            let line = json!({
                "v": VERSION,
                "type": "group",
                name: value,
                "count": group.count,
                "per_second": rate(group),
                "failed": group.failed,
                "cpu_ns": group.cpu_time.as_nanos() as u64,
                "duration_ns": group.duration.as_nanos() as u64,
                "longest_ns": group.longest.as_nanos() as u64,
            });
            json_line(out, &line).map_err(OutputError)?;
        }
        out.flush().map_err(OutputError)?;
        return Ok(());
    }
    let cells = Cells::new(Charset::of_output());
    let headings = [
        "COUNT",
        "PER SEC",
        "FAILED",
        "CPU",
        "LONGEST",
        group_heading(by),
    ];
    let row = |group: &Group| {
        [
            group.count.to_string(),
            rate(group).map_or_else(String::new, |rate| format!("{rate:.3}")),
            group.failed.to_string(),
            duration(group.cpu_time),
            duration(group.longest),
            group_text(&cells, by, &group.key),
        ]
    };
    for line in number_lines(headings, groups.iter().map(row)) {
        writeln!(out, "{line}").map_err(OutputError)?;
    }
    out.flush().map_err(OutputError)?;
    Ok(())
}
