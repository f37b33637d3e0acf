//! Groups of lives, and tables of numbers about them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use comfy_table::{CellAlignment, Table, presets};
use kamap::Exit;
use kamap_history::{GroupBy, Key};
use serde_json::Value;

use super::cells::Cells;
use super::escape::escape_in;
use super::status::status;

/// What a grouping is called: on the command line, in the JSON of a group, and above a column.
struct Names {
    name: &'static str,
    member: &'static str,
    heading: &'static str,
}

const fn names(by: GroupBy) -> Names {
    let (name, member, heading) = match by {
        GroupBy::Command => ("command", "command", "COMMAND"),
        GroupBy::Parent => ("parent", "parent", "PARENT"),
        GroupBy::User => ("user", "uid", "USER"),
        GroupBy::Unit => ("unit", "unit", "UNIT"),
        _ => ("exit", "exit", "STATUS"),
    };
    Names {
        name,
        member,
        heading,
    }
}

/// What a grouping is called on the command line.
pub(crate) fn group_name(by: GroupBy) -> &'static str {
    names(by).name
}

/// The heading above what the groups have in common.
pub(crate) fn group_heading(by: GroupBy) -> &'static str {
    names(by).heading
}

/// The name and the value of the member that says in JSON what a group has in common.
pub(crate) fn group_member(by: GroupBy, key: &Key) -> (&'static str, Value) {
    let value = match (key, by) {
        (Key::Name(name), _) => String::from_utf8_lossy(name).into(),
        (Key::Number(_), GroupBy::Exit) => exit(key).into(),
        (Key::Number(number), _) => (*number).into(),
        _ => Value::Null,
    };
    (names(by).member, value)
}

/// What people see of what a group has in common.
pub(crate) fn group_text(cells: &Cells, by: GroupBy, key: &Key) -> String {
    match (key, by) {
        (Key::Number(uid), GroupBy::User) => cells.user(*uid as u32),
        (key @ Key::Number(_), _) => exit(key).unwrap_or_default(),
        (Key::Name(name), _) => escape_in(cells.charset(), OsStr::from_bytes(name)),
        (Key::None, _) => "(none)".to_owned(),
        _ => "(unknown)".to_owned(),
    }
}

fn exit(key: &Key) -> Option<String> {
    match key {
        Key::Number(number) => Some(status(&Exit::new(*number as i32))),
        _ => None,
    }
}

/// A table as lines: numbers on the right of their columns, the last column is text.
pub(crate) fn number_lines<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(headings);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        if column.index < N - 1 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}
