//! The report as a page of HTML: one file that needs no other, neither scripts nor a network.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::time::Duration;

use kamap::{Branch, Life, TreeSummary};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::status::{process_at, status_of};
use super::summary::{SLOWEST, Summary};
use crate::render::{Cells, Charset, Column, columns, duration, escape_in, losses, quote};

/// How many processes the tree shows: browsers become slow with more.
const MOST_ROWS: usize = 20_000;

/// Keeps a browser from loading or running anything, whatever the arguments of a process are.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Writes the whole page.
pub(super) fn write(out: &mut impl Write, summary: &Summary<'_>) -> io::Result<()> {
    out.write_all(page(summary).into_string().as_bytes())
}

fn page(summary: &Summary<'_>) -> Markup {
    let rows = Rows::new(&summary.tree);
    let tree = summary.tree.tree();
    let branches = tree.branches();
    let slowest = summary.tree.slowest();
    let failed: Vec<_> = tree.failed().collect();
    let command = quote(
        Charset::Utf8,
        summary.command.iter().map(OsString::as_os_str),
    );
    let truncated = branches
        .iter()
        .filter(|branch| branch.life.process.args_cut);
    let truncated = truncated.count();
    let number = |number: Option<usize>| number.map_or("unknown".to_owned(), |n| n.to_string());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width";
                title { "kamap run: " (command) }
                style { (PreEscaped(include_str!("report.css"))) }
            }
            body {
                h1 { code { (command) } }
                p class=[(!summary.status.success()).then_some("bad")] {
                    (summary.status) " in " (duration(summary.tree.duration_of_command()))
                }
                p {
                    (tree.len()) " processes, " (tree.execs()) " execs, " (failed.len()) " failed, "
                    (number(summary.tree.running())) " still running, lost "
                    (summary.losses.map_or("unknown".to_owned(), |lost| losses(&lost, truncated)))
                }
                @if let Some(fault) = summary.fault {
                    p .bad { "incomplete: " (escape_in(Charset::Utf8, OsStr::new(fault))) }
                }
                @if !failed.is_empty() {
                    h2 #failed { "Failed" }
                    (rows.table(failed.into_iter().map(|life| (life, 0))))
                }
                @if slowest.len() > 1 {
                    h2 #slowest { "Slowest, of those without children" }
                    (rows.table(slowest.into_iter().take(SLOWEST).map(|life| (life, 0))))
                }
                h2 #tree { "All processes" }
                (rows.table(branches.iter().take(MOST_ROWS).map(|branch: &Branch<'_>| (branch.life, branch.depth))))
                @if branches.len() > MOST_ROWS {
                    p { "and " (branches.len() - MOST_ROWS) " more, which are not shown" }
                }
            }
        }
    }
}

/// Renders processes, of which the bars are in proportion to the time of all.
struct Rows<'a> {
    tree: &'a TreeSummary<'a>,
    cells: Cells,
    shown: [Column; 3],
    /// When the first one started, since boot.
    begin: Duration,
    /// How long all of them took.
    whole: Duration,
}

impl<'a> Rows<'a> {
    fn new(tree: &'a TreeSummary<'a>) -> Self {
        let lives = tree.tree().processes();
        let begin = lives.iter().map(|life| life.process.start_time).min();
        let begin = begin.unwrap_or_default();
        let ends = lives
            .iter()
            .filter_map(|life| Some(life.process.start_time + tree.duration(life)?));
        Self {
            tree,
            cells: Cells::new(Charset::Utf8),
            shown: columns(["pid", "cpu_ns", "command"]),
            begin,
            whole: ends.max().unwrap_or_default().saturating_sub(begin),
        }
    }

    /// A table of processes, each so deep in the tree.
    fn table<'b>(&self, rows: impl Iterator<Item = (&'b Life, usize)>) -> Markup {
        html! {
            table {
                thead {
                    tr {
                        th .number { "PID" }
                        th .number { "Start" }
                        th .number { "Duration" }
                        th .number { "CPU" }
                        th .number { "Status" }
                        th .time { "0s to " (duration(self.whole)) }
                        th .command { "Command" }
                    }
                }
                tbody { @for (life, depth) in rows { (self.row(life, depth)) } }
            }
        }
    }

    fn row(&self, life: &Life, depth: usize) -> Markup {
        let at = process_at(life, self.tree);
        let [pid, cpu, command] = self.shown.map(|column| self.cells.text(column, &at));
        let start = life.process.start_time.saturating_sub(self.begin);
        let lasted = self.tree.duration(life);
        let status = status_of(life, self.tree);
        let class = match (life.has_failed(), &status) {
            (true, _) => Some("bad"),
            (false, None) => Some("on"),
            _ => None,
        };
        // Deeper than people see at once it is no clearer.
        let indent = format!("padding-left: {}rem", depth.min(40));
        let bar = format!(
            "left: {:.3}%; width: {:.3}%",
            self.percent(start),
            self.percent(lasted.unwrap_or_default())
        );
        html! {
            tr class=[class] {
                td { (pid) }
                td { (duration(start)) }
                td { (lasted.map(duration).unwrap_or_default()) }
                td { (cpu) }
                td .status { (status.unwrap_or_else(|| "running".to_owned())) }
                td .time { div .bar style=(bar) {} }
                td .command title=(command) { code style=(indent) { (command) } }
            }
        }
    }

    fn percent(&self, time: Duration) -> f64 {
        match self.whole.is_zero() {
            true => 0.0,
            false => 100.0 * time.as_secs_f64() / self.whole.as_secs_f64(),
        }
    }
}
