//! `kamap --at`: the table of a moment in the past.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use kamap::json::rfc3339;
use kamap::{Clock, Process, Snapshot, Tracker};
use serde_json::{Value, json};

use super::load::Load;
use super::{Folder, change};

/// An exec changes a process over this time, of which the event is only one moment.
const MARGIN: Duration = Duration::from_millis(100);

/// A table that another tracker has read, and when.
struct Look {
    table: Snapshot,
    end: Duration,
}

type Identity = (u32, u64);

fn identity(process: &Process) -> Identity {
    (process.pid, process.start_time.as_nanos() as u64)
}

/// What is compared of a row.
fn row(process: &Process) -> Value {
    let args: Vec<_> = process.args().map(|arg| arg.to_string_lossy()).collect();
    let parent = process
        .parent_start_time
        .map(|start| json!({"pid": process.ppid, "start_boottime_ns": start.as_nanos() as u64}));
    json!([
        parent,
        process.uid,
        process.gid,
        process.comm(),
        process.cgroup_id,
        args,
        process.args_cut
    ])
}

/// The same of a row of JSON.
fn row_of_json(row: &Value) -> Value {
    let fields = [
        "parent",
        "uid",
        "gid",
        "comm",
        "cgroup_id",
        "args",
        "args_cut",
    ];
    fields.map(|field| row[field].clone()).as_slice().into()
}

#[test]
fn the_table_of_any_moment_is_what_another_tracker_has_read_then() {
    let folder = Folder::new();
    let mut recording = folder.record(&[]);
    let tracker = Tracker::builder().start().expect("it starts");
    let load = Load::of(folder.tiny.path(), "at");
    let looks: Vec<Look> = (0..20)
        .map(|_| {
            load.go_on(7);
            let table = tracker.table().snapshot().expect("it can be read");
            let end = Clock::since_boot();
            Look { table, end }
        })
        .collect();
    load.end();
    folder.catch_up(&mut recording);

    let mut compared = 0;
    for Look { table, end } in &looks {
        let from = table.time.saturating_sub(MARGIN).as_nanos();
        let to = (*end + MARGIN).as_nanos();
        let moved: HashSet<String> = folder
            .query(&format!(
                "SELECT pid || ' ' || start FROM lives LEFT JOIN execs ON life = id \
                 WHERE start BETWEEN {from} AND {to} OR end BETWEEN {from} AND {to} \
                 OR time BETWEEN {from} AND {to}"
            ))
            .into_iter()
            .collect();
        let is_still = |(pid, start): &Identity| !moved.contains(&format!("{pid} {start}"));
        let time = rfc3339(tracker.clock().system_time(table.time));
        let said = folder.says_table(&["--all", "--json", "--at", &time]);
        assert_eq!(said["exact"], true, "{said}");
        let known = said["processes"].as_array().expect("it is a list").iter();
        let known: HashMap<Identity, Value> = known
            .map(|row| {
                let number = |field: &str| row[field].as_u64().expect("it is a number");
                let identity = (number("pid") as u32, number("start_boottime_ns"));
                (identity, row_of_json(row))
            })
            .filter(|(identity, _)| is_still(identity))
            .collect();
        let expected: HashMap<Identity, Value> = table
            .iter()
            .map(|process| (identity(process), row(process)))
            .filter(|(identity, _)| is_still(identity))
            .collect();
        for (identity, row) in &expected {
            assert_eq!(known.get(identity), Some(row), "{identity:?}");
        }
        assert_eq!(known.len(), expected.len());
        compared += expected.len();
    }
    assert!(compared > looks.len(), "there are daemons");
    recording.end();
}

#[test]
fn outside_of_what_was_recorded_it_says_so() {
    let folder = Folder::new();
    folder.record(&[]).end();
    let early = folder.refuses_table(&["--at", "2001-01-01"]);
    assert!(early.contains("nothing is recorded"), "{early}");
    let late = folder.says_table(&["--all", "--json", "--at", "now"]);
    assert_eq!(late["exact"], false);
    assert_eq!(late["gap"]["until"], Value::Null);
    assert_eq!(late["gap"]["lost"], json!({}));
    let status = folder.table(&["--at", "now", "--strict"]).status;
    assert_eq!(status.code(), Some(3));
    let missing = folder.refuses_table(&["--at", "now", "--pid", "999999999"]);
    assert!(
        missing.contains("no process had PID 999999999"),
        "{missing}"
    );

    // As if something had been lost in the middle.
    let file = folder.files().pop().expect("there is one");
    change(
        &file,
        "INSERT INTO losses SELECT since + 1, since + 2, 'ring_full', 7 FROM spans;
         INSERT INTO spans SELECT until + 1000000000000, until + 1000000000001 FROM spans;
         UPDATE losses SET since = (SELECT min(until) FROM spans)",
    );
    let gap = folder.says_table(&["--all", "--json", "--at", "now"])["gap"].clone();
    assert_eq!(gap["lost"], json!({"ring_full": 7}), "{gap}");
    assert!(gap["until"].is_string(), "{gap}");
}
