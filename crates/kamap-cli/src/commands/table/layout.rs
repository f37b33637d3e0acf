//! The table and its footer as text.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kamap::{Clock, FieldType};
use textwrap::core::display_width;

use super::look::Look;
use super::rows::{Row, State};
use super::view::View;
use crate::render::{
    Cells, Charset, Colors, Column, Style, attached, clip, counted, date_and_time, gap_text,
};

/// Where lines are as wide as a screen, a column of text is at most this wide, unless it is the last.
const MOST_TEXT: usize = 32;

/// The same for names of processes and users: as long as a name of the kernel's.
const MOST_NAME: usize = 15;

/// How much of the ID of a container is shown, as by Docker.
const SHORT_ID: usize = 12;

/// Lays out tables.
pub(super) struct Layout {
    pub(super) cells: Cells,
    pub(super) colors: Colors,
    zone: TimeZone,
}

/// The part of each line that is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// The first column of the screen.
    pub(super) left: usize,
    pub(super) width: usize,
}

impl Layout {
    pub(super) fn new(colors: Colors) -> Self {
        Self::of(Charset::of_output(), colors)
    }

    fn of(charset: Charset, colors: Colors) -> Self {
        Self {
            cells: Cells::new(charset),
            colors,
            zone: TimeZone::system(),
        }
    }

    /// The header and a line for each of these rows, of which so much is shown if there is a `window`.
    pub(super) fn table(
        &self,
        view: &View,
        look: &Look,
        rows: &[Row<'_>],
        window: Option<Window>,
    ) -> Vec<String> {
        let columns = look.columns();
        let is_short = window.is_some() && !look.wide;
        let text = |row: &Row<'_>| -> Vec<String> {
            let last = columns.len() - 1;
            // Where there are no command lines, a tree is drawn at the last column.
            let trunk = columns
                .iter()
                .position(|column| matches!(column, Column::Command))
                .unwrap_or(last);
            let cell = |(at, &column): (usize, &Column)| {
                let text = self.cell(column, row, view.clock, is_short);
                match at == trunk {
                    true => format!("{}{}{text}", row.lines, self.mark(row.state)),
                    false => text,
                }
            };
            columns.iter().enumerate().map(cell).collect()
        };
        let headings = columns.iter().map(|column| column.heading()).collect();
        let lines = std::iter::once((Style::Heading, headings));
        let lines: Vec<(Style, Vec<String>)> = lines
            .chain(rows.iter().map(|row| (style(row), text(row))))
            .collect();
        let widths = widths(&columns, lines.iter().map(|line| &line.1), is_short);
        let cut = self.cells.charset().cut();
        let laid_out = lines.into_iter().map(|(style, cells)| {
            let line = join(&columns, &widths, &cells, cut);
            let line = match window {
                Some(window) => clip(&line, window.left, window.width, cut),
                None => line,
            };
            self.colors.paint(style, line.trim_end()).into_owned()
        });
        laid_out.collect()
    }

    fn cell(&self, column: Column, row: &Row<'_>, clock: Clock, is_short: bool) -> String {
        match column {
            Column::Descendants => row.totals.descendants.to_string(),
            Column::TreeExecs => row.totals.execs.to_string(),
            Column::Command if row.state == State::Ended => {
                let comm = self.cells.name(&row.at.process.comm());
                format!("[{comm}] <defunct>")
            }
            Column::Field(field) if field.r#type() == FieldType::Time => {
                self.time(clock, row.at.time, row.at.process.start_time)
            }
            Column::Field(field) if field.name() == "container" && is_short => {
                let id = self.cells.text(column, &row.at);
                match id.len() == 64 {
                    true => id[..SHORT_ID].to_owned(),
                    false => id,
                }
            }
            column => self.cells.text(column, &row.at),
        }
    }

    /// What tells of a row that has just come or gone where there are no colours.
    fn mark(&self, state: State) -> &'static str {
        match state {
            _ if self.colors.any() => "",
            State::New => "(new) ",
            State::Gone => "(gone) ",
            State::Alive | State::Ended => "",
        }
    }

    /// The local time of `then`: with the date, unless it is that of `now`.
    fn time(&self, clock: Clock, now: Duration, then: Duration) -> String {
        let local = |since_boot| {
            let time = Timestamp::try_from(clock.system_time(since_boot));
            time.unwrap_or(Timestamp::MAX).to_zoned(self.zone.clone())
        };
        let (now, then) = (local(now), local(then));
        let form = match now.date() == then.date() {
            true => "%H:%M:%S",
            false => "%Y-%m-%d %H:%M",
        };
        then.strftime(form).to_string()
    }
}

fn style(row: &Row<'_>) -> Style {
    match row.state {
        State::New => Style::New,
        State::Gone => Style::Gone,
        State::Ended => Style::Ended,
        State::Alive if row.at.process.kernel_thread => Style::Kernel,
        State::Alive => Style::Plain,
    }
}

/// How wide each column is.
fn widths<'a>(
    columns: &[Column],
    lines: impl Iterator<Item = &'a Vec<String>>,
    is_short: bool,
) -> Vec<usize> {
    let mut widths = vec![0; columns.len()];
    for cells in lines {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = display_width(cell).max(*width);
        }
    }
    if is_short {
        let last = columns.len() - 1;
        for (width, column) in widths.iter_mut().zip(columns).take(last) {
            *width = most(*column).min(*width);
        }
    }
    widths
}

fn most(column: Column) -> usize {
    match column {
        Column::User => MOST_NAME,
        Column::Field(field) if field.name() == "comm" => MOST_NAME,
        column if column.is_number() => usize::MAX,
        _ => MOST_TEXT,
    }
}

/// One line of these cells.
fn join(columns: &[Column], widths: &[usize], cells: &[String], cut: &str) -> String {
    let last = columns.len() - 1;
    let mut line = String::new();
    for (at, cell) in cells.iter().enumerate() {
        if at == last {
            if columns[at].is_number() {
                line += &" ".repeat(widths[at].saturating_sub(display_width(cell)));
            }
            line += cell;
            break;
        }
        let cell = clip(cell, 0, widths[at], cut);
        let space = " ".repeat(widths[at].saturating_sub(display_width(&cell)));
        let parts = match columns[at].is_number() {
            true => [&space, &cell, " "],
            false => [&cell, &space, " "],
        };
        line.extend(parts);
    }
    line
}

/// The line below a table in which these rows are.
pub(super) fn footer(view: &View, shown: &[Row<'_>]) -> String {
    let (live, executed) = (view.live, view.executed);
    if let Some(past) = &view.past {
        let time = date_and_time(past.time);
        let exact = match &past.gap {
            Some(gap) => format!("not exact: {}", gap_text(gap)),
            None => "exact".to_owned(),
        };
        return format!("live {live} ({executed} exec'd)  at {time}, {exact}");
    }
    let args_cut = shown.iter().filter(|row| row.at.process.args_cut).count();
    let counted = counted(&view.seen, &view.losses, args_cut);
    let attached = attached(view.attached.is_some());
    format!("live {live} ({executed} exec'd){attached}  {counted}")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::time::Duration;

    use clap::ColorChoice;
    use kamap::{Cgroup, Process};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::rows::rows;
    use super::super::view::tests::view;
    use super::*;
    use crate::render::{any_name, config};

    fn look(columns: &[&str], wide: bool) -> Look {
        let column = |name: &&str| Column::parse(name).expect("there is one");
        Look {
            columns: columns.iter().map(column).collect(),
            wide,
            ..Look::default()
        }
    }

    fn lines(
        layout: &Layout,
        view: &View,
        look: &Look,
        gone: &[(Process, Duration)],
        window: Option<Window>,
    ) -> Vec<String> {
        let rows = rows(view, look, &layout.cells, gone, |_| false);
        layout.table(view, look, &rows, window)
    }

    fn width(width: usize) -> Option<Window> {
        Some(Window { left: 0, width })
    }

    proptest! {
        #![proptest_config(config(512))]

        #[test]
        fn each_row_is_a_line_and_fits(
            names in vec((any_name(), any_name()), 0..4),
            columns in prop_oneof![Just(None), (1..200_usize).prop_map(Some)],
            left in 0..60_usize,
            charset in prop_oneof![Just(Charset::Ascii), Just(Charset::Utf8)],
            wide in any::<bool>(),
            tree in any::<bool>(),
        ) {
            let process = |(at, (comm, arg)): (usize, &(Vec<u8>, Vec<u8>))| {
                let arg: Vec<u8> = arg.iter().copied().filter(|&byte| byte != 0).collect();
                let start = Duration::from_secs(at as u64);
                let mut process = Process::new(at as u32 + 1, start)
                    .with_comm(&comm[..comm.len().min(15)])
                    .with_args([OsStr::from_bytes(&arg)]);
                (process.ppid, process.parent_start_time) = (1, Some(Duration::ZERO));
                process
            };
            let view = view(names.iter().enumerate().map(process).collect(), |_| true);
            let mut look = look(&["pid", "user", "age", "comm", "args"], wide);
            look.tree = tree;
            let layout = Layout::of(charset, Colors::NONE);
            let window = columns.map(|width| Window { left, width });
            let lines = lines(&layout, &view, &look, &[], window);
            prop_assert_eq!(lines.len(), 1 + names.len(), "{:?}", lines);
            for line in &lines {
                prop_assert!(line.chars().all(|c| charset.has(c) && !c.is_control()), "{line:?}");
                if let Some(window) = window {
                    prop_assert!(display_width(line) <= window.width, "{line:?}");
                }
            }
            if !wide && window.is_some_and(|window| window.left == 0 && window.width >= 60) {
                prop_assert!(lines[0].contains("COMMAND"), "{:?}", lines);
            }
        }
    }

    fn containers() -> View {
        let id = "9687bac58d5c4d1606aa46af33d1a21c1d1652e0ac9fb3fc0fc86e3495f42869";
        let mut one = Process::new(7, Duration::from_secs(990))
            .with_comm("a-long-name-of-1")
            .with_args(["serve", "--port", "80"])
            .with_cgroup(Cgroup::new(format!("/system.slice/docker-{id}.scope")));
        one.uid = u32::MAX;
        let mut kernel = Process::new(2, Duration::ZERO).with_comm("kthreadd");
        kernel.kernel_thread = true;
        view(vec![one, kernel], |_| true)
    }

    #[test]
    fn columns_are_shortened_only_where_there_is_a_screen() {
        let view = containers();
        let layout = Layout::of(Charset::Utf8, Colors::NONE);
        let shown = |columns: &[&str], wide, window| {
            lines(&layout, &view, &look(columns, wide), &[], window).join("\n")
        };
        let columns = ["pid", "container", "unit", "age"];
        assert_eq!(
            shown(&columns, false, width(80)),
            "PID CONTAINER    UNIT                                AGE\n\
             \u{20} 2                                               16m40s\n\
             \u{20} 7 9687bac58d5c docker-9687bac58d5c4d1606aa46af…  10.0s"
        );
        for shown in [
            shown(&columns, true, width(200)),
            shown(&columns, false, None),
        ] {
            assert!(
                shown.contains(" 9687bac58d5c4d1606aa46af33d1a21c"),
                "{shown}"
            );
            assert!(shown.contains("42869.scope  10.0s"), "{shown}");
        }
        assert_eq!(
            shown(&["user", "comm", "args"], false, width(44)),
            "USER       COMM            COMMAND\n\
             root       kthreadd        [kthreadd]\n\
             4294967295 a-long-name-of… serve --port 80"
        );
        assert_eq!(
            shown(&["pid", "args"], false, Some(Window { left: 3, width: 9 })),
            " COMMAND\n [kthrea…\n serve -…"
        );
    }

    #[test]
    fn times_of_another_day_have_a_date() {
        let layout = Layout {
            zone: TimeZone::UTC,
            ..Layout::of(Charset::Utf8, Colors::NONE)
        };
        let clock = Clock::booted_at(std::time::UNIX_EPOCH + Duration::from_secs(86_000));
        let time =
            |now, then| layout.time(clock, Duration::from_secs(now), Duration::from_secs(then));
        assert_eq!(time(390, 5), "23:53:25");
        assert_eq!(time(400, 5), "1970-01-01 23:53");
    }

    #[test]
    fn rows_that_went_kernel_threads_and_the_dead_are_marked() {
        let mut view = containers();
        let gone = [(
            Process::new(9, Duration::from_secs(995)).with_args(["sleep", "1"]),
            Duration::from_secs(999),
        )];
        view.unreaped = vec![Process::new(8, Duration::from_secs(991)).with_comm("sh")];
        let look = look(&["pid", "age", "args"], false);
        let plain = Layout::of(Charset::Utf8, Colors::NONE);
        assert_eq!(
            lines(&plain, &view, &look, &gone, width(40)),
            [
                "PID    AGE COMMAND",
                "  2 16m40s [kthreadd]",
                "  7  10.0s serve --port 80",
                "  8  9.00s [sh] <defunct>",
                "  9  4.00s (gone) sleep 1",
            ]
        );
        let colors = Colors::of(ColorChoice::Always, false);
        let colored = lines(
            &Layout::of(Charset::Utf8, colors),
            &view,
            &look,
            &gone,
            width(40),
        );
        assert_eq!(
            colored,
            [
                "\x1b[1mPID    AGE COMMAND\x1b[0m",
                "\x1b[90m  2 16m40s [kthreadd]\x1b[0m",
                "  7  10.0s serve --port 80",
                "\x1b[35m  8  9.00s [sh] <defunct>\x1b[0m",
                "\x1b[31m  9  4.00s sleep 1\x1b[0m",
            ]
        );
    }

    /// `ci/count` counts the instructions.
    #[inline(never)]
    fn counted_table(layout: &Layout, view: &View, window: Option<Window>) -> Vec<String> {
        lines(layout, view, &Look::default(), &[], window)
    }

    #[test]
    fn a_thousand_processes_are_a_line_each() {
        let processes = (1..=1000).map(|pid| {
            let mut process = Process::new(pid, Duration::from_secs(u64::from(pid) / 2))
                .with_comm("cc1")
                .with_exe("/usr/lib/gcc/x86_64-linux-gnu/12/cc1")
                .with_args(["cc1", "-O2", "-Wall", "main.c", "-o", "main.s"]);
            process.execs = 1;
            process
        });
        let view = view(processes.collect(), |_| true);
        let layout = Layout::of(Charset::Utf8, Colors::NONE);
        for window in [None, width(80)] {
            let lines = counted_table(&layout, &view, window);
            assert_eq!(lines.len(), 1001);
            assert!(lines[1..].iter().all(|line| line.contains("cc1 -O2")));
        }
    }
}
