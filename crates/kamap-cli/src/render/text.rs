//! The table and its footer as text.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::time::Duration;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, presets};
use kamap::{Losses, Process, Seen};
use uzers::{Users, UsersCache};

use super::View;
use super::escape::escape;

/// Shown where something was left out.
const CUT: &str = "…";

const HEADER: [&str; 7] = ["PID", "PPID", "USER", "AGE", "EXECS", "COMM", "COMMAND"];

/// Renders views; remembers the names of users.
#[derive(Default)]
pub(super) struct Text {
    users: RefCell<UsersCache>,
}

impl Text {
    /// The table of these processes, a line each after the header, cut to
    /// `width` columns if there is one.
    pub(super) fn table(&self, view: &View, processes: &[Process], width: Option<u16>) -> String {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_truncation_indicator(CUT)
            // Lines are cut at any column, not between words.
            .set_delimiter('\0')
            .set_header(one_line(HEADER));
        for process in processes {
            table.add_row(one_line(self.row(view, process)));
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
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        table.trim_fmt()
    }

    fn row(&self, view: &View, process: &Process) -> [String; 7] {
        [
            process.pid.to_string(),
            process.ppid.to_string(),
            self.user(process.uid),
            age(view.age(process)),
            process.execs.to_string(),
            escape(OsStr::new(process.comm().as_ref())),
            command(process),
        ]
    }

    fn user(&self, uid: u32) -> String {
        let users = self.users.borrow();
        match users.get_user_by_uid(uid) {
            Some(user) => escape(user.name()),
            None => uid.to_string(),
        }
    }
}

fn one_line(cells: impl Into<Row>) -> Row {
    let mut row = cells.into();
    row.max_height(1);
    row
}

/// The line below the table.
pub(super) fn footer(view: &View) -> String {
    let (live, captured) = (view.live, view.captured);
    let counted = counted(&view.seen, &view.losses);
    format!("live {live} ({captured} exec'd)  {counted}")
}

/// What was seen and what was lost.
pub(super) fn counted(seen: &Seen, lost: &Losses) -> String {
    let (fork, exec, exit) = (seen.fork, seen.exec, seen.exit);
    let lost = losses(lost);
    format!("seen {fork} forks, {exec} execs, {exit} exited  lost {lost}")
}

/// What was lost, by cause, with the cure where there is one.
fn losses(losses: &Losses) -> String {
    let mut text = losses.total().to_string();
    if losses.table_full > 0 {
        text += &format!(": {} found the table full", losses.table_full);
        if let Some(pid) = losses.first_refused_pid {
            text += &format!(", first PID {pid}");
        }
        text += " (use a larger --max-entries)";
    }
    if losses.missed_runs > 0 {
        let separator = if losses.table_full > 0 { "," } else { ":" };
        text += &format!("{separator} {} missed runs", losses.missed_runs);
    }
    if losses.args_cut > 0 {
        text += &format!("  args cut {}", losses.args_cut);
    }
    text
}

fn command(process: &Process) -> String {
    if process.kernel_thread {
        return format!("[{}]", escape(OsStr::new(process.comm().as_ref())));
    }
    let args: Vec<String> = process.args().map(escape).collect();
    let mut text = args.join(" ");
    if text.is_empty()
        && let Some(exe) = process.exe()
    {
        text = escape(exe.as_os_str());
    }
    if process.args_cut {
        text += CUT;
    }
    text
}

/// The two largest units: `350ms`, `5s`, `2m 5s`, `3h 2m`, `1day 3h`.
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let unit = match seconds {
        0 => {
            return humantime::format_duration(Duration::from_millis(age.as_millis() as u64))
                .to_string();
        }
        1..3_600 => 1,
        3_600..86_400 => 60,
        _ => 3_600,
    };
    humantime::format_duration(Duration::from_secs(seconds - seconds % unit)).to_string()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, "0s")]
    #[case(350, "350ms")]
    #[case(999, "999ms")]
    #[case(5_999, "5s")]
    #[case(125_000, "2m 5s")]
    #[case(10_979_000, "3h 2m")]
    #[case(97_380_000, "1day 3h")]
    fn ages_have_two_units(#[case] milliseconds: u64, #[case] shown: &str) {
        assert_eq!(age(Duration::from_millis(milliseconds)), shown);
    }

    #[test]
    fn losses_name_their_cause() {
        let mut lost = Losses::default();
        assert_eq!(losses(&lost), "0");
        lost.args_cut = 3;
        assert_eq!(losses(&lost), "0  args cut 3");
        lost.missed_runs = 2;
        assert_eq!(losses(&lost), "2: 2 missed runs  args cut 3");
        (lost.table_full, lost.first_refused_pid) = (84, Some(4711));
        assert_eq!(
            losses(&lost),
            "86: 84 found the table full, first PID 4711 (use a larger --max-entries), \
             2 missed runs  args cut 3"
        );
    }
}
