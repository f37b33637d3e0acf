//! What lives come to, by what they have in common.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::time::SystemTime;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use kamap::Exit;
use kamap_history::{Group, GroupBy, History, Key};
use serde_json::json;
use uzers::{Users, UsersCache};

use super::Args;
use crate::policy::errors::{OutputError, UsageError};
use crate::render::{VERSION, duration, escape, json_line, status};

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
    let by = args.by();
    let groups = history.summary(since, until, by)?;
    let users = UsersCache::new();
    // What was not recorded would make it too low.
    let recorded = history.recorded(since, until)?.as_secs_f64();
    let rate = |group: &Group| (recorded > 0.0).then(|| group.count as f64 / recorded);
    if args.json {
        for group in &groups {
            let (name, value) = match by {
                GroupBy::Command => ("command", text(&group.key)),
                GroupBy::Parent => ("parent", text(&group.key)),
                GroupBy::User => ("uid", text(&group.key)),
                GroupBy::Unit => ("unit", text(&group.key)),
                _ => ("exit", exit(&group.key).into()),
            };
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
    let heading = match by {
        GroupBy::Command => "COMMAND",
        GroupBy::Parent => "PARENT",
        GroupBy::User => "USER",
        GroupBy::Unit => "UNIT",
        _ => "STATUS",
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["COUNT", "PER SEC", "FAILED", "CPU", "LONGEST", heading]);
    for group in &groups {
        table.add_row([
            group.count.to_string(),
            rate(group).map_or_else(String::new, |rate| format!("{rate:.3}")),
            group.failed.to_string(),
            duration(group.cpu_time),
            duration(group.longest),
            shown(group, by, &users),
        ]);
    }
    let last = table.column_count() - 1;
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        if column.index < last {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end()).map_err(OutputError)?;
    }
    out.flush().map_err(OutputError)?;
    Ok(())
}

fn text(key: &Key) -> serde_json::Value {
    match key {
        Key::Name(name) => String::from_utf8_lossy(name).into(),
        Key::Number(number) => (*number).into(),
        _ => serde_json::Value::Null,
    }
}

fn exit(key: &Key) -> Option<String> {
    match key {
        Key::Number(number) => Some(status(&Exit::new(*number as i32))),
        _ => None,
    }
}

/// What people see of a key.
fn shown(group: &Group, by: GroupBy, users: &UsersCache) -> String {
    match (&group.key, by) {
        (Key::Number(uid), GroupBy::User) => match users.get_user_by_uid(*uid as u32) {
            Some(user) => escape(user.name()),
            None => uid.to_string(),
        },
        (key @ Key::Number(_), _) => exit(key).unwrap_or_default(),
        (Key::Name(name), _) => escape(OsStr::from_bytes(name)),
        (Key::None, _) => "(none)".to_owned(),
        _ => "(unknown)".to_owned(),
    }
}
