//! What a command started, printed once it has ended.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::process::ExitStatus;

use kamap::json::Lines;
use kamap::{Branch, Kinds, Life, Losses, TreeSummary};

use super::status::{process_at, status_of};
use crate::render::{
    Cells, Charset, Column, attached, columns, cut, duration, escape, json_line, losses, tree_lines,
};

/// What the tree shows of each process.
const COLUMNS: [&str; 6] = ["pid", "duration_ns", "cpu_ns", "status", "execs", "command"];

/// How many processes the lists below the tree show.
pub(super) const SLOWEST: usize = 5;
const FAILED: usize = 20;

/// Shown for a number that could not be read.
const UNKNOWN: &str = "unknown";

/// What there is to say at the end of a run.
pub(super) struct Summary<'a> {
    pub(super) command: &'a [OsString],
    pub(super) status: ExitStatus,
    pub(super) tree: TreeSummary<'a>,
    /// What was lost, if that is known.
    pub(super) losses: Option<Losses>,
    /// In how many lines of events arguments are truncated.
    pub(super) events_cut: usize,
    /// Whether it was followed by what is attached.
    pub(super) is_attached: bool,
    /// What kamap failed with: something may be missing.
    pub(super) fault: Option<&'a str>,
}

impl Summary<'_> {
    /// The tree, the slowest, the failed, and a line that sums up; lines are cut to `width` columns if
    /// there is one.
    pub(super) fn text(&self, out: &mut impl Write, width: Option<u16>) -> io::Result<()> {
        let mut line =
            |line: &str| writeln!(out, "{}", cut(line, width.map_or(usize::MAX, usize::from)));
        let charset = Charset::of_output();
        let rows = Rows {
            tree: &self.tree,
            cells: Cells::new(charset),
            columns: columns(COLUMNS),
        };
        let branches = self.tree.tree().branches();
        let is_cut = |branch: &&Branch<'_>| branch.life.process.args_cut;
        let cut_below = branches.iter().filter(is_cut).count();
        line("")?;
        line(&aligned(rows.columns.map(Column::heading), "DESC", ""))?;
        let mut lasts = Vec::new();
        for branch in &branches {
            let lines = tree_lines(charset, &mut lasts, branch.depth, branch.last);
            line(&rows.row(branch.life, &branch.descendants.to_string(), &lines))?;
        }

        let slowest = self.tree.slowest();
        if slowest.len() > 1 {
            line("\nSlowest, of those without children:")?;
            for life in slowest.iter().take(SLOWEST) {
                line(&rows.row(life, "", ""))?;
            }
        }
        let failed: Vec<_> = self.tree.tree().failed().collect();
        if !failed.is_empty() {
            line("\nFailed:")?;
            for life in failed.iter().take(FAILED) {
                line(&rows.row(life, "", ""))?;
            }
            if failed.len() > FAILED {
                let more = failed.len() - FAILED;
                line(&format!("{} and {more} more", charset.cut()))?;
            }
        }
        let running = self.tree.running();
        line(&format!(
            "\n{} processes, {} execs, {} failed, {} still running, in {}{}  lost {}",
            self.tree.tree().len(),
            self.tree.tree().execs(),
            failed.len(),
            running.map_or(UNKNOWN.to_owned(), |n| n.to_string()),
            duration(self.tree.duration_of_command()),
            attached(self.is_attached),
            self.losses.as_ref().map_or(UNKNOWN.to_owned(), |lost| {
                losses(lost, self.events_cut + cut_below)
            })
        ))?;
        match self.fault {
            Some(fault) => line(&format!("incomplete: {}", escape(OsStr::new(fault)))),
            None => Ok(()),
        }
    }

    /// A line for each process, and one that sums up. The stream had events of `kinds`.
    pub(super) fn json(&self, out: &mut impl Write, lines: &Lines, kinds: Kinds) -> io::Result<()> {
        for branch in self.tree.tree().branches() {
            json_line(out, &lines.process(&branch, &self.tree, kinds))?;
        }
        let run = lines.run(self.command, self.status, &self.tree, self.losses);
        json_line(out, &run.with_error(self.fault))
    }
}

/// Renders the rows of the tree.
struct Rows<'a> {
    tree: &'a TreeSummary<'a>,
    cells: Cells,
    columns: [Column; COLUMNS.len()],
}

impl Rows<'_> {
    /// The row of a process. `lines` are drawn before its command.
    fn row(&self, life: &Life, descendants: &str, lines: &str) -> String {
        let process = process_at(life, self.tree);
        let cells = self.columns.map(|column| match column.name() {
            // The tree also knows processes that still run, and those whose exit was lost.
            "duration_ns" => self.tree.duration(life).map(duration).unwrap_or_default(),
            "status" => status_of(life, self.tree).unwrap_or_else(|| "running".to_owned()),
            _ => self.cells.text(column, &process),
        });
        aligned(cells, descendants, lines)
    }
}

fn aligned(
    [pid, duration, cpu, status, execs, command]: [String; COLUMNS.len()],
    descendants: &str,
    lines: &str,
) -> String {
    format!(
        "{pid:>7} {duration:>9} {cpu:>9} {status:<8} {execs:>5} {descendants:>5} {lines}{command}"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::time::Duration;

    use kamap::{Event, EventKind, Exit, Process, ProcessTree, Snapshot};

    use super::*;

    /// 7 runs; its child 8 ended; the exit of 9, another child, was lost.
    fn tree() -> (ProcessTree, Snapshot) {
        let seconds = Duration::from_secs;
        let mut tree = ProcessTree::default();
        let mut put = |process: &Process, time, kind| {
            let event = Event::new(0, seconds(time), process.clone(), kind);
            tree.add(&event).expect("it contradicts nothing");
        };
        let make = Process::new(7, seconds(1)).with_args(["make"]);
        let child = |pid, start, name| {
            let mut child = Process::new(pid, seconds(start)).with_args([name]);
            (child.ppid, child.parent_start_time) = (7, Some(seconds(1)));
            child
        };
        put(&make, 1, EventKind::Fork);
        put(&child(8, 2, "cc"), 2, EventKind::Fork);
        put(&child(9, 3, "ld"), 3, EventKind::Fork);
        put(
            &child(8, 2, "cc"),
            4,
            EventKind::Exit(Exit::new(libc::SIGKILL)),
        );
        (tree, Snapshot::new(seconds(5), vec![make]))
    }

    fn text(table: Option<&Snapshot>, tree: &ProcessTree, fault: Option<&str>) -> String {
        let summary = Summary {
            command: &["make".into()],
            status: ExitStatus::from_raw(0),
            tree: TreeSummary::new(tree, Duration::from_secs(5), table),
            losses: table.map(|_| Losses::default()),
            events_cut: 0,
            is_attached: false,
            fault,
        };
        let mut out = Vec::new();
        summary
            .text(&mut out, None)
            .expect("it is written to memory");
        // The locale of the test decides how the tree is drawn.
        let drawn = |text: String| text.replace("├─", "|-").replace("└─", "`-");
        drawn(String::from_utf8(out).expect("it is UTF-8"))
    }

    #[test]
    fn the_report_says_what_ended_what_runs_and_what_is_unknown() {
        let (tree, table) = tree();
        let report = "
    PID  DURATION       CPU STATUS   EXECS  DESC COMMAND
      7     4.00s           running      0     2 make
      8     2.00s        0s SIGKILL      0     0 |- cc
      9                     unknown      0     0 `- ld

Failed:
      8     2.00s        0s SIGKILL      0       cc

3 processes, 0 execs, 1 failed, 1 still running, in 4.00s  lost 0
";
        assert_eq!(text(Some(&table), &tree, None), report);
        let report = text(None, &tree, Some("the kernel\n"));
        assert!(
            report.contains("unknown still running, in 4.00s  lost unknown\n"),
            "{report}"
        );
        assert!(
            report.ends_with("\nincomplete: the kernel\\n\n"),
            "{report}"
        );
    }
}
