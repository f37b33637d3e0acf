//! `kamap record`, and what `kamap history` and `kamap why` find in what it writes.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use kamap_tests::command::json;
use kamap_tests::{Tiny, eventually};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;

use crate::programs::kamap;

mod at;
mod damage;
mod files;
mod killed;
mod lives;
mod load;
mod losses;
mod why;

/// A folder for a history. Dropped, nothing is left of it.
struct Folder {
    dir: TempDir,
    tiny: Tiny,
}

impl Folder {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a folder can be made"),
            tiny: Tiny::new(),
        }
    }

    /// The folder of the history, which `kamap record` makes.
    fn history(&self) -> PathBuf {
        self.dir.path().join("history")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let (name, rest) = arguments.split_first().expect("there is a command");
        let mut command = kamap(&[name]);
        command.arg("--dir").arg(self.history()).args(rest);
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it runs")
    }

    /// What it prints; it has to succeed, without a word on standard error.
    #[track_caller]
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let err = text(&output.stderr);
        assert!(
            output.status.success() && err.is_empty(),
            "{arguments:?}: {err}"
        );
        text(&output.stdout)
    }

    /// The line on standard error; it has to fail with 1.
    #[track_caller]
    fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        err
    }

    /// Runs `kamap` without a command.
    fn table(&self, arguments: &[&str]) -> Output {
        let mut command = kamap(arguments);
        command.arg("--dir").arg(self.history());
        command.stdin(Stdio::null()).output().expect("it runs")
    }

    /// The table that it prints as JSON; it has to succeed.
    #[track_caller]
    fn says_table(&self, arguments: &[&str]) -> Value {
        let output = self.table(arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("it is JSON")
    }

    /// The line on standard error; it has to fail with 1.
    #[track_caller]
    fn refuses_table(&self, arguments: &[&str]) -> String {
        let output = self.table(arguments);
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    }

    /// All that `kamap history --json` prints of the last hour.
    #[track_caller]
    fn lines(&self) -> Vec<Value> {
        json(&self.says(&["history", "--json"]))
    }

    /// The lives of a process, also where the history warns.
    #[track_caller]
    fn lives_of(&self, pid: u32) -> Vec<Value> {
        let pid = pid.to_string();
        let output = self.run(&["history", "--json", "--pid", &pid]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let mut lines = json(&text(&output.stdout));
        lines.retain(|line| line["type"] == "life");
        lines
    }

    /// Records with a tracker of its own.
    #[track_caller]
    fn record(&self, arguments: &[&str]) -> Recording {
        self.start(&[&["--own"], arguments].concat())
    }

    /// Records; returns when it does.
    #[track_caller]
    fn start(&self, arguments: &[&str]) -> Recording {
        let mut recording = self.begin(arguments);
        self.go_on(&mut recording);
        recording
    }

    /// Waits until it records what happens now.
    #[track_caller]
    fn go_on(&self, recording: &mut Recording) {
        let mut pids = Vec::new();
        eventually("it records", || {
            recording.assert_runs();
            pids.push(self.tiny.run());
            self.known(&pids).then_some(())
        });
    }

    /// Starts to record.
    #[track_caller]
    fn begin(&self, arguments: &[&str]) -> Recording {
        let path = self.dir.path().join("stderr");
        let stderr = File::create(&path).expect("a file can be made");
        let mut command = self.command(&["record"]);
        let child = command.args(arguments).stderr(stderr).spawn();
        Recording {
            child: child.expect("it starts"),
            stderr: path,
        }
    }

    /// Waits until what has happened by now is recorded.
    #[track_caller]
    fn catch_up(&self, recording: &mut Recording) {
        let pid = self.tiny.run();
        eventually("it is recorded", || {
            recording.assert_runs();
            self.known(&[pid]).then_some(())
        });
    }

    /// Waits until nothing says that this process runs: that its exit was lost is known a moment later only.
    #[track_caller]
    fn until_ended(&self, pid: u32) {
        let query = format!("SELECT count(*) FROM lives WHERE pid = {pid} AND end IS NULL");
        eventually("it is known to have ended", || {
            (self.query::<i64>(&query) == [0]).then_some(())
        });
    }

    /// Whether the end of one of these processes is recorded.
    fn known(&self, pids: &[u32]) -> bool {
        let known = |path: &PathBuf| -> rusqlite::Result<bool> {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            let mut query = connection.prepare(
                "SELECT count(*) FROM lives WHERE pid = ? AND end IS NOT NULL AND origin IS NOT NULL",
            )?;
            for pid in pids {
                if query.query_row([pid], |row| row.get::<_, i64>(0))? > 0 {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let mut files = self.files().into_iter().rev();
        // It may be about to be made, or removed.
        files.any(|path| known(&path).unwrap_or_default())
    }

    /// The databases, the oldest first.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = self.all_files();
        files.retain(|path| path.extension().is_some_and(|end| end == "sqlite"));
        files.sort();
        files
    }

    /// All files of the history.
    fn all_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.history()).into_iter().flatten();
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect()
    }

    /// What a query finds in the newest file.
    #[track_caller]
    fn query<T: rusqlite::types::FromSql>(&self, query: &str) -> Vec<T> {
        let path = self.files().pop().expect("there is one");
        rows(&path, query)
    }
}

/// What a query finds in a file.
#[track_caller]
fn rows<T: rusqlite::types::FromSql>(path: &Path, query: &str) -> Vec<T> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let connection = connection.expect("it opens");
    let mut query = connection.prepare(query).expect("it is SQL");
    let rows = query.query_map([], |row| row.get(0)).expect("it runs");
    rows.map(|row| row.expect("it is a row")).collect()
}

/// Changes a file.
#[track_caller]
fn change(path: &Path, statement: &str) {
    let connection = Connection::open(path).expect("it opens");
    connection
        .execute_batch(statement)
        .expect("it can be changed");
}

/// A `kamap record` that runs. Dropped, it is killed.
struct Recording {
    child: Child,
    stderr: PathBuf,
}

impl Recording {
    fn said(&self) -> String {
        fs::read_to_string(&self.stderr).expect("it can be read")
    }

    #[track_caller]
    fn assert_runs(&mut self) {
        let status = self.child.try_wait().expect("it is a child");
        assert_eq!(status, None, "{}", self.said());
    }

    /// Waits for its end.
    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        eventually("it has ended", || {
            self.child.try_wait().expect("it is a child")
        })
    }

    /// Ends it as a service is ended: it has to succeed.
    #[track_caller]
    fn end(mut self) -> String {
        self.signal(libc::SIGTERM);
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{}", self.said());
        self.said()
    }

    #[track_caller]
    fn signal(&self, signal: i32) {
        // SAFETY: takes numbers; it has not been waited for.
        let sent = unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        assert_eq!(sent, 0);
    }

    #[track_caller]
    fn kill(mut self) {
        self.signal(libc::SIGKILL);
        assert_eq!(self.ended().signal(), Some(libc::SIGKILL));
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Both fail if it has ended already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The gaps among the lines of `kamap history --json`.
fn gaps(lines: &[Value]) -> Vec<&Value> {
    lines.iter().filter(|line| line["type"] == "gap").collect()
}
