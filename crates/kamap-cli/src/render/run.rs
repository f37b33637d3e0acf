//! What a command has started, once it has ended.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use kamap::{Branch, Clock, Life, Losses, ProcessTree};
use serde::Serialize;

use super::charset::Charset;
use super::duration::duration;
use super::escape;
use super::event::{ExitFields, end_fields, json_line, signal, status};
use super::fields::ProcessFields;
use super::json;
use super::text::{self, cut};
use super::trace::{self, Until};

/// How many processes are told of apart.
const SLOWEST: usize = 5;
const FAILED: usize = 20;

/// The status of what has ended, where that was lost.
const UNKNOWN: &str = "unknown";

/// What there is to say at the end of a run.
pub(crate) struct Summary<'a> {
    pub(crate) command: &'a [OsString],
    pub(crate) status: ExitStatus,
    pub(crate) lives: &'a ProcessTree,
    /// The processes that are alive at the end, by PID and start time, if that is known.
    pub(crate) alive: Option<HashSet<(u32, Duration)>>,
    /// Whether failed execs were told of.
    pub(crate) has_failed_execs: bool,
    /// What was lost, if that is known.
    pub(crate) losses: Option<&'a Losses>,
    /// In how many lines of events arguments are truncated.
    pub(crate) events_cut: usize,
    /// What kamap has failed with: something may be missing.
    pub(crate) fault: Option<&'a str>,
    pub(crate) clock: &'a Clock,
    pub(crate) boot_id: &'a str,
    /// When the run ended: since boot.
    pub(crate) now: Duration,
}

impl Summary<'_> {
    /// The tree, the slowest, the failed, and a line that sums up; lines are cut to
    /// `width` columns if there is one.
    pub(crate) fn text(&self, out: &mut impl Write, width: Option<u16>) -> io::Result<()> {
        let mut line =
            |line: &str| writeln!(out, "{}", cut(line, width.map_or(usize::MAX, usize::from)));
        let charset = Charset::of_output();
        let tree = self.lives.tree();
        let is_cut = |branch: &&Branch<'_>| branch.life.process.args_cut;
        let cut_below = tree.iter().filter(is_cut).count();
        line("")?;
        line(&columns([
            "PID", "DURATION", "CPU", "STATUS", "EXECS", "DESC", "COMMAND",
        ]))?;
        let mut lasts = Vec::new();
        for (branch, below) in tree.iter().zip(descendants(&tree)) {
            let command =
                drawn(charset, &mut lasts, branch) + &text::command(charset, &branch.life.process);
            line(&self.row(branch.life, &below.to_string(), &command))?;
        }

        // One that waits for others takes as long as these: of no interest here.
        let mut slowest: Vec<_> = tree
            .iter()
            .zip(descendants(&tree))
            .filter(|(_, below)| *below == 0)
            .map(|(branch, _)| branch.life)
            .collect();
        slowest.retain(|life| self.duration(life).is_some());
        slowest.sort_by_key(|life| Reverse(self.duration(life)));
        if slowest.len() > 1 {
            line("\nSlowest, of those without children:")?;
            for life in slowest.iter().take(SLOWEST) {
                line(&self.row(life, "", &text::command(charset, &life.process)))?;
            }
        }
        let failed: Vec<_> = self.failed().collect();
        if !failed.is_empty() {
            line("\nFailed:")?;
            for life in failed.iter().take(FAILED) {
                line(&self.row(life, "", &text::command(charset, &life.process)))?;
            }
            if failed.len() > FAILED {
                let more = failed.len() - FAILED;
                line(&format!("{} and {more} more", charset.cut()))?;
            }
        }
        line(&format!(
            "\n{} processes, {} execs, {} failed, {} still running, in {}  lost {}",
            self.lives.len(),
            self.execs(),
            failed.len(),
            self.running().map_or(UNKNOWN.to_owned(), |n| n.to_string()),
            duration(self.took()),
            self.losses.map_or(UNKNOWN.to_owned(), |losses| {
                text::losses(losses, self.events_cut + cut_below)
            })
        ))?;
        match self.fault {
            Some(fault) => line(&format!("incomplete: {}", escape(OsStr::new(fault)))),
            None => Ok(()),
        }
    }

    /// A line for each process, and one that sums up.
    pub(crate) fn json(&self, out: &mut impl Write) -> io::Result<()> {
        for branch in self.lives.tree() {
            let life = branch.life;
            let process = &life.process;
            let end = life.end.as_ref();
            json_line(
                out,
                &ProcessLine {
                    v: json::VERSION,
                    r#type: "process",
                    depth: branch.depth,
                    process: ProcessFields::new(process, self.clock),
                    failed_execs: self.has_failed_execs.then_some(life.failed_execs),
                    running: self.is_running(life),
                    end: end.map(|(time, end)| end_fields(process, *time, end)),
                },
            )?;
        }
        let command = self.command.iter();
        json_line(
            out,
            &RunLine {
                v: json::VERSION,
                r#type: "run",
                boot_id: self.boot_id,
                command: command
                    .map(|arg| arg.to_string_lossy().into_owned())
                    .collect(),
                exit_code: self.status.code(),
                signal: self.status.signal().map(signal),
                duration_ns: self.took().as_nanos() as u64,
                processes: self.lives.len(),
                execs: self.execs(),
                failed: self.failed().count(),
                running: self.running(),
                losses: self.losses.map(json::losses),
                error: self.fault,
            },
        )
    }

    /// A timeline of them.
    pub(crate) fn trace(&self, out: &mut impl Write) -> io::Result<()> {
        trace::write(out, self.command, self.lives, |life| match life.end {
            Some((time, end)) => Until {
                time,
                status: Some(status(&end)),
            },
            None if self.is_running(life) == Some(true) => Until {
                time: self.now,
                status: None,
            },
            None => {
                let process = &life.process;
                Until {
                    time: process.last_exec_time.unwrap_or(process.start_time),
                    status: Some(UNKNOWN.to_owned()),
                }
            }
        })
    }

    fn row(&self, life: &Life, below: &str, command: &str) -> String {
        let (cpu, status) = match &life.end {
            Some((_, end)) => (duration(end.cpu_time), status(end)),
            None if self.is_running(life) == Some(true) => (String::new(), "running".to_owned()),
            None => (String::new(), UNKNOWN.to_owned()),
        };
        columns([
            &life.process.pid.to_string(),
            &self.duration(life).map(duration).unwrap_or_default(),
            &cpu,
            &status,
            &life.process.execs.to_string(),
            below,
            command,
        ])
    }

    /// How long it has lived, unless its end was lost.
    fn duration(&self, life: &Life) -> Option<Duration> {
        let until_now = || self.now.saturating_sub(life.process.start_time);
        let lives = || self.is_running(life)?.then(until_now);
        life.duration().or_else(lives)
    }

    /// How long the command has taken: it ended just now, if its end was lost.
    fn took(&self) -> Duration {
        let until_now = |life: &Life| self.now.saturating_sub(life.process.start_time);
        let command = self.lives.all().first();
        command.map_or(Duration::ZERO, |life| {
            life.duration().unwrap_or_else(|| until_now(life))
        })
    }

    fn failed(&self) -> impl Iterator<Item = &Life> {
        self.lives.all().iter().filter(|life| life.has_failed())
    }

    fn execs(&self) -> u64 {
        let execs = self
            .lives
            .all()
            .iter()
            .map(|life| u64::from(life.process.execs));
        execs.sum()
    }

    /// How many have not ended, if that is known of all.
    fn running(&self) -> Option<usize> {
        let lives = self.lives.all().iter();
        lives
            .map(|life| self.is_running(life).map(usize::from))
            .sum()
    }

    /// Whether it has not ended; that of which no end was told may have.
    fn is_running(&self, life: &Life) -> Option<bool> {
        if life.end.is_some() {
            return Some(false);
        }
        let process = &life.process;
        let alive = self.alive.as_ref()?;
        Some(alive.contains(&(process.pid, process.start_time)))
    }
}

fn columns([pid, duration, cpu, status, execs, below, command]: [&str; 7]) -> String {
    format!("{pid:>7} {duration:>9} {cpu:>9} {status:<8} {execs:>5} {below:>5} {command}")
}

/// The lines that lead to a branch; `lasts` has, of each of its ancestors, whether it is
/// the last of its siblings.
fn drawn(charset: Charset, lasts: &mut Vec<bool>, branch: &Branch<'_>) -> String {
    let [past, child, last_child] = match charset {
        Charset::Ascii => ["|  ", "|- ", "`- "],
        Charset::Utf8 => ["│  ", "├─ ", "└─ "],
    };
    lasts.truncate(branch.depth);
    let mut lines = String::new();
    if branch.depth > 0 {
        let above = lasts.iter().skip(1);
        lines.extend(above.map(|&last| if last { "   " } else { past }));
        lines += if branch.last { last_child } else { child };
    }
    lasts.push(branch.last);
    lines
}

/// How many descendants each branch has.
fn descendants(tree: &[Branch<'_>]) -> Vec<usize> {
    let mut counts = vec![0; tree.len()];
    let mut open: Vec<usize> = Vec::new();
    for (at, branch) in tree.iter().enumerate() {
        open.truncate(branch.depth);
        for &above in &open {
            counts[above] += 1;
        }
        open.push(at);
    }
    counts
}

#[derive(Serialize)]
struct ProcessLine {
    v: u32,
    r#type: &'static str,
    depth: usize,
    #[serde(flatten)]
    process: ProcessFields,
    failed_execs: Option<u32>,
    running: Option<bool>,
    #[serde(flatten)]
    end: Option<ExitFields>,
}

#[derive(Serialize)]
struct RunLine<'a> {
    v: u32,
    r#type: &'static str,
    boot_id: &'a str,
    command: Vec<String>,
    exit_code: Option<i32>,
    signal: Option<String>,
    duration_ns: u64,
    processes: usize,
    execs: u64,
    failed: usize,
    running: Option<usize>,
    losses: Option<json::LossesObject>,
    error: Option<&'a str>,
}
