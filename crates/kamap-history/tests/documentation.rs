//! What `docs/history.md` says of the files holds.

use std::time::Duration;

use kamap::{Clock, Event, EventKind, Exit, Item, Origin, Process, Snapshot};
use kamap_history::{Options, Recorder, Source};
use regex::Regex;
use rusqlite::Connection;

const PAGE: &str = include_str!("../../../docs/history.md");

/// A history of a shell that started a command, which failed.
fn history() -> (tempfile::TempDir, Connection) {
    let dir = tempfile::tempdir().expect("there is room");
    let source = Source::new("boot", Clock::measure(), 1, 0);
    let recorder = Recorder::open(dir.path(), Options::default(), &source);
    let mut recorder = recorder.expect("nobody records there");
    let seconds = Duration::from_secs;
    let shell = Process::new(4711, seconds(1))
        .with_comm("sh")
        .with_args(["sh"]);
    recorder.resync(Snapshot::new(seconds(2), vec![shell]), 0, 0, true);
    let mut curl = Process::new(4712, seconds(3)).with_comm("curl");
    (curl.ppid, curl.parent_start_time) = (4711, Some(seconds(1)));
    (curl.uid, curl.origin, curl.execs) = (33, Origin::Exec, 1);
    let curl = curl.with_args(["curl", "http://localhost"]);
    let mut killed = curl.clone();
    (killed.pid, killed.start_time) = (4713, seconds(5));
    let events = [
        (3, &curl, EventKind::Exec),
        (4, &curl, EventKind::Exit(Exit::new(7 << 8))),
        (5, &killed, EventKind::Exec),
        (6, &killed, EventKind::Exit(Exit::new(libc::SIGKILL))),
    ];
    for (seq, (time, process, kind)) in (0..).zip(events) {
        let event = Event::new(seq, seconds(time), process.clone(), kind);
        recorder.add(Item::Event(event));
    }
    let file = recorder.file().to_owned();
    recorder.close().expect("there is room");
    (dir, Connection::open(file).expect("it exists"))
}

#[test]
fn each_query_finds_something() {
    let (_dir, connection) = history();
    let view = Regex::new("(?s)```sql\n(.*?)```").expect("it is one");
    let view = &view.captures(PAGE).expect("there is a view")[1];
    connection.execute_batch(view).expect("it is SQL");
    let queries = Regex::new(r"(?m)^\d+\. .*?: `(.*)`$").expect("it is one");
    let mut count = 0;
    for query in queries.captures_iter(PAGE) {
        let mut query = connection.prepare(&query[1]).expect("it is SQL");
        let mut rows = query.query([]).expect("it is a query");
        let found = rows.next().expect("it can be read");
        assert!(found.is_some(), "query {}", count + 1);
        count += 1;
    }
    assert_eq!(count, 10);
}

#[test]
fn each_table_is_described() {
    let (_dir, connection) = history();
    let tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'");
    let mut tables = tables.expect("it is SQL");
    let tables = tables.query_map([], |row| row.get::<_, String>(0));
    let mut count = 0;
    for table in tables.expect("it is a query") {
        let table = table.expect("it has a name");
        assert!(PAGE.contains(&format!("`{table}`")), "{table}");
        count += 1;
    }
    assert_eq!(count, 12);
}
