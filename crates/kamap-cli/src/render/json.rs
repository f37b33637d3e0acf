//! The table as JSON, one object per line.

use std::io::{self, BufWriter, Write};
use std::time::SystemTime;

use jiff::Timestamp;
use kamap::{Losses, Origin, Process, Seen};
use serde::Serialize;

use super::fields::{ProcessFields, nanos};
use super::{Output, View};

/// Version of the contract: what is in it keeps its name and meaning.
pub(crate) const VERSION: u32 = 1;

/// Writes a line for each table.
pub(crate) struct Json<W: Write> {
    out: BufWriter<W>,
}

impl<W: Write> Json<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out: BufWriter::new(out),
        }
    }

    fn line(&mut self, table: &TableLine) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, table)?;
        self.out.write_all(b"\n")?;
        self.out.flush()
    }
}

impl<W: Write> Output for Json<W> {
    fn table(&mut self, view: &View) -> io::Result<()> {
        let rows = view.processes.iter().map(|process| row(view, process));
        self.line(&TableLine {
            v: VERSION,
            r#type: "table",
            time: rfc3339(view.system_time(view.time)),
            boot_id: view.boot_id.clone(),
            next_seq: view.next_seq,
            processes: rows.collect(),
            losses: losses(&view.losses),
            seen: seen(&view.seen),
        })
    }

    fn summary(&mut self, view: &View) -> io::Result<()> {
        self.table(view)
    }
}

#[derive(Serialize)]
struct TableLine {
    v: u32,
    r#type: &'static str,
    time: String,
    boot_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_seq: Option<u64>,
    processes: Vec<Row>,
    losses: LossesObject,
    seen: SeenObject,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    process: ProcessFields,
    age_ns: u64,
    origin: &'static str,
}

#[derive(Serialize)]
pub(super) struct LossesObject {
    table_full: u64,
    first_refused_pid: Option<u32>,
    ring_full: u64,
    missed_runs: u64,
    args_cut: u64,
    event_args_cut: u64,
}

#[derive(Serialize)]
pub(super) struct SeenObject {
    fork: u64,
    exec: u64,
    exit: u64,
}

fn row(view: &View, process: &Process) -> Row {
    Row {
        process: ProcessFields::new(process, &view.clock),
        age_ns: nanos(view.age(process)),
        origin: match process.origin {
            Origin::Exec => "exec",
            Origin::Fork => "fork",
            _ => "seed",
        },
    }
}

pub(super) fn losses(losses: &Losses) -> LossesObject {
    LossesObject {
        table_full: losses.table_full,
        first_refused_pid: losses.first_refused_pid,
        ring_full: losses.ring_full,
        missed_runs: losses.missed_runs,
        args_cut: losses.args_cut,
        event_args_cut: losses.event_args_cut,
    }
}

pub(super) fn seen(seen: &Seen) -> SeenObject {
    SeenObject {
        fork: seen.fork,
        exec: seen.exec,
        exit: seen.exit,
    }
}

/// With all nine digits of the nanoseconds, so that times sort as text.
pub(super) fn rfc3339(time: SystemTime) -> String {
    match Timestamp::try_from(time) {
        Ok(time) => format!("{time:.9}"),
        // Beyond the year 9999: the clock is set wrong.
        Err(_) => format!("{:.9}", Timestamp::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::escape::tests::config;
    use super::super::fields::tests::any_fields;
    use super::*;

    prop_compose! {
        fn any_row()(process in any_fields(), age_ns in any::<u64>()) -> Row {
            Row { process, age_ns, origin: "exec" }
        }
    }

    proptest! {
        #![proptest_config(config(1024))]

        #[test]
        fn any_table_is_one_line_of_json_that_says_the_same(
            processes in vec(any_row(), 0..3),
            numbers in any::<[u64; 5]>(),
            first_refused_pid in any::<Option<u32>>(),
        ) {
            let [table_full, ring_full, missed_runs, args_cut, count] = numbers;
            let table = TableLine {
                v: VERSION,
                r#type: "table",
                time: rfc3339(UNIX_EPOCH),
                boot_id: String::new(),
                next_seq: None,
                processes,
                losses: LossesObject {
                    table_full, first_refused_pid, ring_full, missed_runs, args_cut,
                    event_args_cut: 0,
                },
                seen: SeenObject { fork: count, exec: count, exit: count },
            };
            let mut out = Vec::new();
            Json::new(&mut out).line(&table)?;
            let text = str::from_utf8(&out)?;
            let line = text.strip_suffix('\n').expect("it is a whole line");
            prop_assert!(!line.contains(|c| c < ' '), "{}", line);

            let read: Value = serde_json::from_str(line)?;
            prop_assert_eq!(&read["v"], &Value::from(1));
            prop_assert_eq!(&read["losses"]["table_full"], &Value::from(table_full));
            prop_assert_eq!(&read["losses"]["first_refused_pid"], &Value::from(first_refused_pid));
            prop_assert_eq!(&read["seen"]["fork"], &Value::from(count));
            let rows = read["processes"].as_array().expect("there are rows");
            prop_assert_eq!(rows.len(), table.processes.len());
            for (read, row) in rows.iter().zip(table.processes) {
                prop_assert_eq!(&read["pid"], &Value::from(row.process.pid));
                prop_assert_eq!(&read["age_ns"], &Value::from(row.age_ns));
                prop_assert_eq!(read, &serde_json::to_value(row)?);
            }
        }
    }

    #[test]
    fn times_have_nine_digits() {
        let time = UNIX_EPOCH + Duration::new(1_600_000_000, 5_000_000);
        assert_eq!(rfc3339(time), "2020-09-13T12:26:40.005000000Z");
        assert!(rfc3339(UNIX_EPOCH + Duration::from_secs(1 << 50)).starts_with("9999"));
    }
}
