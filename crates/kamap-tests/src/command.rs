//! The command `kamap` from outside: its tables, its events, its output.

use std::collections::HashSet;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use kamap::Clock;
use serde_json::Value;

use crate::{Held, Stat, processes, ticks};

/// A `kamap --json` that prints tables until it is ended. Dropped, it is killed.
#[derive(Debug)]
pub struct Tables(Held);

impl Tables {
    /// Starts `command`, to which it adds `--json` and an interval of 20 ms. The programs are
    /// attached when this returns.
    ///
    /// # Panics
    ///
    /// If it does not start or ends without a table.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let held = Held::start(command.args(["--json", "--interval", "20ms"]));
        parse(held.said());
        Self(held)
    }

    /// The next table.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn table(&mut self) -> Value {
        parse(&self.0.line())
    }

    /// A table whose reading began after this call.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn fresh_table(&mut self) -> Value {
        // With a margin, because kamap measured the offset of the wall clock when it started.
        let now = jiff::Timestamp::now() + Duration::from_millis(5);
        loop {
            let table = self.table();
            let time = table["time"].as_str().expect("it has a time");
            if time.parse::<jiff::Timestamp>().expect("it is RFC 3339") > now {
                return table;
            }
        }
    }

    /// Process ID of kamap.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Sends `signal` to kamap.
    ///
    /// # Panics
    ///
    /// If it has ended.
    #[track_caller]
    pub fn signal(&self, signal: i32) {
        self.0.signal(signal);
    }

    /// Sends `signal` to kamap and waits for its end; returns what it printed that was not read.
    ///
    /// # Panics
    ///
    /// If it prints anything but UTF-8.
    #[track_caller]
    pub fn end(self, signal: i32) -> (ExitStatus, String) {
        self.0.signal(signal);
        self.0.read_to_end()
    }
}

#[track_caller]
fn parse(line: &str) -> Value {
    let table = serde_json::from_str::<Value>(line).expect("it is JSON");
    assert_eq!(table["v"], 1);
    assert_eq!(table["type"], "table");
    table
}

/// The rows of a table.
///
/// # Panics
///
/// If it is no table.
#[track_caller]
pub fn rows(table: &Value) -> &Vec<Value> {
    table["processes"].as_array().expect("there are rows")
}

/// The row of the process `pid` in a table.
///
/// # Panics
///
/// If it is no table.
#[track_caller]
pub fn row(table: &Value, pid: u32) -> Option<&Value> {
    rows(table).iter().find(|row| row["pid"] == pid)
}

/// A `kamap events` that runs until it is ended. Dropped, it is killed.
#[derive(Debug)]
pub struct EventLines {
    kamap: Held,
    /// Whether the first line, which `kamap` has read, is still to be returned.
    first: bool,
}

impl EventLines {
    /// Starts `command`, and waits for its first line. It prints that when all is attached and each
    /// process that is alive has its row: one without a row could end unseen.
    ///
    /// # Panics
    ///
    /// If it does not start or ends without a line.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        Self {
            kamap: Held::start(&mut command),
            first: true,
        }
    }

    /// Process ID of kamap.
    pub fn pid(&self) -> u32 {
        self.kamap.pid()
    }

    /// The next line.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn line(&mut self) -> String {
        if std::mem::take(&mut self.first) {
            return self.kamap.said().to_owned();
        }
        self.kamap.line()
    }

    /// The next line of JSON that is about `pid`.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn about(&mut self, pid: u32) -> Value {
        loop {
            let line: Value = serde_json::from_str(&self.line()).expect("it is JSON");
            if line["pid"] == pid {
                return line;
            }
        }
    }

    /// Sends `signal` to kamap.
    ///
    /// # Panics
    ///
    /// If it has ended.
    #[track_caller]
    pub fn signal(&self, signal: i32) {
        self.kamap.signal(signal);
    }

    /// The status of kamap if it has ended.
    ///
    /// # Panics
    ///
    /// If it cannot be waited for.
    #[track_caller]
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.kamap.try_wait()
    }

    /// Interrupts kamap, which has to succeed; returns what it printed that was not read.
    ///
    /// # Panics
    ///
    /// If it fails.
    #[track_caller]
    pub fn end(self) -> String {
        self.end_with(0)
    }

    /// Interrupts kamap, which has to exit with `code`; returns what it printed that was not read.
    ///
    /// # Panics
    ///
    /// If it exits otherwise.
    #[track_caller]
    pub fn end_with(self, code: i32) -> String {
        self.signal(libc::SIGINT);
        self.rest(code)
    }

    /// Reads until kamap exits, which has to be with `code`.
    ///
    /// # Panics
    ///
    /// If it exits otherwise.
    #[track_caller]
    pub fn rest(self, code: i32) -> String {
        let first = if self.first {
            format!("{}\n", self.kamap.said())
        } else {
            String::new()
        };
        let (status, rest) = self.kamap.read_to_end();
        assert_eq!(status.code(), Some(code));
        first + &rest
    }
}

/// The values of lines of JSON.
///
/// # Panics
///
/// If one is not JSON.
#[track_caller]
pub fn json(lines: &str) -> Vec<Value> {
    let line = |line| serde_json::from_str(line).expect("it is JSON");
    lines.lines().map(line).collect()
}

/// Runs `command` to its end, which has to succeed without a line on standard error; returns
/// what it prints.
///
/// # Panics
///
/// If it fails.
#[track_caller]
pub fn output(mut command: Command) -> String {
    let output = command.output().expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    String::from_utf8(output.stdout).expect("it is UTF-8")
}

/// Compares the table that `read` returns with /proc in both directions: each process that lives
/// throughout has a row, and each row is of a process that lives or started meanwhile.
///
/// # Panics
///
/// If they differ.
#[track_caller]
pub fn compare_with_proc(read: impl FnOnce() -> Value) {
    let begun = ticks(Clock::since_boot());
    let before = processes();
    let table = read();
    let after = processes();

    let identity = |stat: &Stat| (stat.pid, stat.start);
    let lives = |stat: &&Stat| !stat.ended;
    let throughout: Vec<_> = before
        .iter()
        .filter(lives)
        .filter(|stat| {
            after
                .iter()
                .filter(lives)
                .any(|later| identity(later) == identity(stat))
        })
        .collect();
    assert!(throughout.len() > 10, "{throughout:?}");
    for stat in throughout {
        assert!(row(&table, stat.pid).is_some(), "missing: {stat:?}");
    }
    let boot = jiff::Timestamp::now().as_nanosecond() - Clock::since_boot().as_nanos() as i128;
    let mut pids = HashSet::new();
    for row in rows(&table) {
        let pid = row["pid"].as_u64().expect("it is a number") as u32;
        assert!(pids.insert(pid), "twice: {row}");
        let start = row["start_time"].as_str().expect("it is text");
        let start = start.parse::<jiff::Timestamp>().expect("it is RFC 3339");
        let start = Duration::from_nanos((start.as_nanosecond() - boot) as u64);
        // A difference of a tick or two comes from the conversion to the wall clock and back.
        let start = ticks(start);
        let known = |stat: &Stat| stat.pid == pid && stat.start.abs_diff(start) <= 2;
        assert!(
            before.iter().chain(&after).any(known) || start + 2 >= begun,
            "a ghost: {row}"
        );
    }
}
