//! The table and its footer as text.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::path::Path;

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, Width, presets,
};
use kamap::{Losses, Origin, Process, Seen};
use textwrap::core::display_width;
use uzers::{Users, UsersCache};

use super::View;
use super::charset::Charset;
use super::duration::duration;
use super::escape::{escape, escape_in};
use super::quote::quote;

const HEADER: [&str; 7] = ["PID", "PPID", "USER", "AGE", "EXECS", "COMM", "COMMAND"];

/// Place of the column COMM, and how wide it gets on a screen: as long as a name of
/// the kernel's.
const COMM: usize = 5;
const COMM_WIDTH: u16 = 15;

/// Renders views; remembers the names of users.
#[derive(Default)]
pub(super) struct Text {
    users: RefCell<UsersCache>,
}

impl Text {
    /// The table of these processes, a line each after the header, cut to
    /// `width` columns if there is one.
    pub(super) fn table(&self, view: &View, processes: &[Process], width: Option<u16>) -> String {
        let rows = processes.iter().map(|process| self.row(view, process));
        lay_out(Charset::of_output(), rows, width)
    }

    fn row(&self, view: &View, process: &Process) -> [String; 7] {
        [
            process.pid.to_string(),
            process.ppid.to_string(),
            self.user(process.uid),
            duration(view.age(process)),
            process.execs.to_string(),
            escape(OsStr::new(process.comm().as_ref())),
            command(Charset::of_output(), process),
        ]
    }

    pub(super) fn user(&self, uid: u32) -> String {
        let users = self.users.borrow();
        match users.get_user_by_uid(uid) {
            Some(user) => escape(user.name()),
            None => uid.to_string(),
        }
    }
}

/// Header and rows, a line each.
fn lay_out(
    charset: Charset,
    rows: impl Iterator<Item = [String; 7]>,
    width: Option<u16>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_truncation_indicator(charset.cut())
        // Lines are cut at any column, not between words.
        .set_delimiter('\0')
        .set_header(one_line(HEADER));
    let mut comms_are_long = false;
    for row in rows {
        comms_are_long |= display_width(&row[COMM]) > COMM_WIDTH.into();
        table.add_row(one_line(row));
    }
    for (name, column) in HEADER.iter().zip(table.column_iter_mut()) {
        column.set_padding((0, 1));
        if matches!(*name, "PID" | "PPID" | "AGE" | "EXECS") {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if *name != "COMMAND" {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    match width {
        Some(width) => {
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width);
            // Escaped, a name can be so long that it would leave the others no room.
            if comms_are_long && let Some(column) = table.column_mut(COMM) {
                column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(COMM_WIDTH + 1)));
            }
            // Columns that are shown whole may not fit a narrow terminal.
            let lines: Vec<_> = table
                .trim_fmt()
                .lines()
                .map(|line| cut(line, width.into()).to_owned())
                .collect();
            lines.join("\n")
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
            table.trim_fmt()
        }
    }
}

/// As much of `line` as takes no more than `width` columns.
pub(super) fn cut(line: &str, width: usize) -> &str {
    let mut taken = 0;
    for (at, c) in line.char_indices() {
        taken += display_width(c.encode_utf8(&mut [0; 4]));
        if taken > width {
            return &line[..at];
        }
    }
    line
}

fn one_line(cells: impl Into<Row>) -> Row {
    let mut row = cells.into();
    row.max_height(1);
    row
}

/// The line below the table, in which `shown` are.
pub(super) fn footer(view: &View, shown: &[Process]) -> String {
    let (live, captured) = (view.live, view.captured);
    let args_cut = shown.iter().filter(|process| process.args_cut).count();
    let counted = counted(&view.seen, &view.losses, args_cut);
    format!("live {live} ({captured} exec'd)  {counted}")
}

/// What was seen and what was lost; in how many of the lines above arguments are truncated.
pub(super) fn counted(seen: &Seen, lost: &Losses, args_cut: usize) -> String {
    let (fork, exec, exit) = (seen.fork, seen.exec, seen.exit);
    let lost = losses(lost, args_cut);
    format!("seen {fork} forks, {exec} execs, {exit} exited  lost {lost}")
}

/// What was lost, by cause, with the cure where there is one, and in how many of the lines
/// above arguments are truncated.
pub(super) fn losses(losses: &Losses, args_cut: usize) -> String {
    let mut causes = Vec::new();
    if losses.table_full > 0 {
        let mut cause = format!("{} found the table full", losses.table_full);
        if let Some(pid) = losses.first_refused_pid {
            cause += &format!(", first PID {pid}");
        }
        causes.push(cause + " (use a larger --max-entries)");
    }
    if losses.ring_full > 0 {
        let count = losses.ring_full;
        causes.push(format!(
            "{count} events found the ring full (use a larger --ring-size)"
        ));
    }
    if losses.missed_runs > 0 {
        causes.push(format!("{} missed runs", losses.missed_runs));
    }
    let mut text = losses.total().to_string();
    if !causes.is_empty() {
        text += &format!(": {}", causes.join(", "));
    }
    if args_cut > 0 {
        text += &format!("  args cut {args_cut}");
    }
    text
}

pub(super) fn command(charset: Charset, process: &Process) -> String {
    if process.kernel_thread {
        return format!(
            "[{}]",
            escape_in(charset, OsStr::new(process.comm().as_ref()))
        );
    }
    let mut args: Vec<_> = process.args().collect();
    let has_words = args.iter().any(|arg| !arg.is_empty());
    // What is left of arguments that a process has written its title over, as ps leaves it out.
    if process.origin == Origin::Seed && has_words {
        while args.pop_if(|arg| arg.is_empty()).is_some() {}
    }
    let mut text = quote(charset, args);
    // Of one that has no words, what it runs, or its name; in parentheses, which would be quoted.
    if !has_words {
        let comm = process.comm();
        let what = process.exe().map_or(OsStr::new(&*comm), Path::as_os_str);
        let space = if text.is_empty() { "" } else { " " };
        text += &format!("{space}({})", escape_in(charset, what));
    }
    if process.args_cut {
        text += charset.cut();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::escape::tests::{any_name, config};
    use super::*;

    proptest! {
        #![proptest_config(config(512))]

        #[test]
        fn each_row_is_a_line_and_fits(
            names in vec((any_name(), any_name()), 0..4),
            width in prop_oneof![Just(None), (1..200_u16).prop_map(Some)],
            charset in prop_oneof![Just(Charset::Ascii), Just(Charset::Utf8)],
        ) {
            let rows: Vec<_> = names
                .iter()
                .map(|(comm, command)| {
                    let [comm, command] = [&comm[..comm.len().min(15)], command];
                    let shown = |bytes| escape_in(charset, OsStr::from_bytes(bytes));
                    let text = |text: &str| text.to_owned();
                    [text("1"), text("2"), text("root"), text("2m05s"), text("0"),
                     shown(comm), shown(command)]
                })
                .collect();
            let table = lay_out(charset, rows.clone().into_iter(), width);
            let lines: Vec<_> = table.lines().collect();
            prop_assert_eq!(lines.len(), 1 + rows.len(), "{}", table);
            prop_assert!(table.chars().all(|c| charset.has(c)), "{}", table);
            for line in lines.iter().filter(|_| width.is_some()) {
                let taken = display_width(line);
                prop_assert!(taken <= usize::from(width.unwrap_or_default()), "{}: {}", taken, line);
            }
            if width.is_some_and(|width| width >= 60) {
                prop_assert!(lines[0].contains("COMMAND"), "{}", table);
            }
            if width.is_none() {
                for (line, row) in lines[1..].iter().zip(&rows) {
                    prop_assert!(line.ends_with(row[6].trim_end()), "{:?}: {:?}", line, row);
                }
            }
        }
    }

    #[test]
    fn losses_name_their_cause() {
        let mut lost = Losses::default();
        assert_eq!(losses(&lost, 0), "0");
        assert_eq!(losses(&lost, 3), "0  args cut 3");
        lost.missed_runs = 2;
        assert_eq!(losses(&lost, 3), "2: 2 missed runs  args cut 3");
        (lost.table_full, lost.first_refused_pid) = (84, Some(4711));
        assert_eq!(
            losses(&lost, 3),
            "86: 84 found the table full, first PID 4711 (use a larger --max-entries), \
             2 missed runs  args cut 3"
        );
    }
}
