//! The table and its footer as text.

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, Width, presets,
};
use kamap::{Process, ProcessAt};
use textwrap::core::display_width;

use super::view::View;
use crate::render::{Cells, Charset, Column, attached, columns, counted, cut};

/// What a table shows of each process.
const COLUMNS: [&str; 7] = ["pid", "ppid", "user", "age_ns", "execs", "comm", "command"];

/// How wide the column COMM gets on a screen: as long as a name of the kernel's.
const COMM_WIDTH: u16 = 15;

/// Lays out tables.
pub(super) struct Layout {
    cells: Cells,
    columns: [Column; COLUMNS.len()],
}

impl Layout {
    pub(super) fn new() -> Self {
        Self {
            cells: Cells::new(Charset::of_output()),
            columns: columns(COLUMNS),
        }
    }

    /// The table of these processes, a line each after the header, cut to `width` columns if there is
    /// one.
    pub(super) fn table(&self, view: &View, processes: &[Process], width: Option<u16>) -> String {
        let rows = processes.iter().map(|process| self.row(view, process));
        lay_out(self.cells.charset(), &self.columns, rows, width)
    }

    fn row(&self, view: &View, process: &Process) -> Vec<String> {
        let process = ProcessAt::alive(process, view.time);
        let cells = self.columns.iter();
        cells
            .map(|&column| self.cells.text(column, &process))
            .collect()
    }
}

/// Header and rows, a line each.
fn lay_out(
    charset: Charset,
    columns: &[Column],
    rows: impl Iterator<Item = Vec<String>>,
    width: Option<u16>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_truncation_indicator(charset.cut())
        // Lines are cut at any column, not between words.
        .set_delimiter('\0')
        .set_header(one_line(columns.iter().map(|column| column.heading())));
    let comm = columns.iter().position(|column| column.heading() == "COMM");
    let mut comms_are_long = false;
    for row in rows {
        comms_are_long |= comm.is_some_and(|at| display_width(&row[at]) > COMM_WIDTH.into());
        table.add_row(one_line(row));
    }
    for (shown, column) in columns.iter().zip(table.column_iter_mut()) {
        column.set_padding((0, 1));
        if shown.is_number() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if !matches!(shown, Column::Command) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    match width {
        Some(width) => {
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width);
            // Escaped, a name can be so long that it would leave the others no room.
            if comms_are_long && let Some(column) = comm.and_then(|at| table.column_mut(at)) {
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

fn one_line(cells: impl IntoIterator<Item = String>) -> Row {
    let mut row = Row::from(cells);
    row.max_height(1);
    row
}

/// The line below a table in which `shown` are.
pub(super) fn footer(view: &View, shown: &[Process]) -> String {
    let (live, executed) = (view.live, view.executed);
    let args_cut = shown.iter().filter(|process| process.args_cut).count();
    let counted = counted(&view.seen, &view.losses, args_cut);
    let attached = attached(view.attached.is_some());
    format!("live {live} ({executed} exec'd){attached}  {counted}")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::time::{Duration, UNIX_EPOCH};

    use kamap::{Clock, Losses, Seen};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::render::{any_name, config, escape_in};

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
                    vec![text("1"), text("2"), text("root"), text("2m05s"), text("0"),
                         shown(comm), shown(command)]
                })
                .collect();
            let table = lay_out(charset, &columns(COLUMNS), rows.clone().into_iter(), width);
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

    /// `ci/count` counts the instructions.
    #[inline(never)]
    fn counted_table(layout: &Layout, view: &View, width: Option<u16>) -> String {
        layout.table(view, &view.processes, width)
    }

    #[test]
    fn a_thousand_processes_are_a_line_each() {
        let processes = (1..=1000).map(|pid| {
            let mut process = Process::new(pid, Duration::from_secs(pid.into()))
                .with_comm("cc1")
                .with_exe("/usr/lib/gcc/x86_64-linux-gnu/12/cc1")
                .with_args(["cc1", "-O2", "-Wall", "main.c", "-o", "main.s"]);
            process.execs = 1;
            process
        });
        let view = View {
            time: Duration::from_secs(2000),
            clock: Clock::booted_at(UNIX_EPOCH),
            boot_id: String::new(),
            processes: processes.collect(),
            live: 1000,
            executed: 1000,
            losses: Losses::default(),
            seen: Seen::default(),
            attached: None,
            next_seq: None,
            if_empty: None,
        };
        let layout = Layout {
            cells: Cells::new(Charset::Utf8),
            columns: columns(COLUMNS),
        };
        for width in [None, Some(80)] {
            let table = counted_table(&layout, &view, width);
            assert_eq!(table.lines().count(), 1001);
            assert!(table.lines().skip(1).all(|line| line.contains("cc1 -O2")));
        }
    }
}
