//! A timeline in the trace event format of Chrome, which Perfetto reads as well.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use kamap::{FieldValue, Life, ProcessAt, ProcessTree, TreeSummary};
use serde::ser::{Error, SerializeMap};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::status::{process_at, status_of};
use crate::render::{Cells, Charset, Column, columns, quote};

/// What a slice shows of its process, below its name.
const SHOWN: [&str; 7] = [
    "pid",
    "ppid",
    "command",
    "execs",
    "status",
    "cpu_ns",
    "max_rss_bytes",
];

/// Writes a slice for each process.
pub(super) fn write(
    out: &mut impl Write,
    command: &[OsString],
    summary: &TreeSummary<'_>,
) -> io::Result<()> {
    let tree = summary.tree();
    let group = tree.processes().first().map_or(0, |life| life.process.pid);
    let metadata = |name, tid, args| Event::Metadata {
        ph: "M",
        name,
        pid: group,
        tid,
        args,
    };
    let command = quote(Charset::Utf8, command.iter().map(OsString::as_os_str));
    let mut events = vec![metadata("process_name", None, Label::Name(command))];
    let tracks = tracks(tree, |life| end(life, summary));
    for track in 0..tracks.iter().max().map_or(0, |last| last + 1) {
        // Processes follow each other on a track, so it has the name of none of them.
        let label = Label::Name(format!("lane {}", track + 1));
        events.push(metadata("thread_name", Some(track), label));
        let place = Label::SortIndex(track);
        events.push(metadata("thread_sort_index", Some(track), place));
    }
    let (cells, columns) = (Cells::new(Charset::Utf8), columns(SHOWN));
    for (life, track) in tree.processes().iter().zip(tracks) {
        let process = &life.process;
        let lasted = end(life, summary).saturating_sub(process.start_time);
        events.push(Event::Slice {
            ph: "X",
            cat: "process",
            name: name(life),
            cname: life.has_failed().then_some("terrible"),
            ts: micros(process.start_time)?,
            dur: micros(lasted)?,
            pid: group,
            tid: track,
            args: Shown {
                cells: &cells,
                columns: &columns,
                process: process_at(life, summary),
                status: status_of(life, summary),
            },
        });
    }
    serde_json::to_writer(
        &mut *out,
        &Trace {
            trace_events: events,
            display_time_unit: "ms",
        },
    )?;
    out.write_all(b"\n")
}

/// How far the slice of a process reaches: to its end or, while it runs, to now. Where its exit event
/// was lost, only to what is known of it.
fn end(life: &Life, summary: &TreeSummary<'_>) -> Duration {
    match &life.end {
        Some((time, _)) => *time,
        None if summary.is_running(life) == Some(true) => summary.now(),
        None => {
            let process = &life.process;
            process.last_exec_time.unwrap_or(process.start_time)
        }
    }
}

/// The name of its program, or else of the process.
fn name(life: &Life) -> String {
    let program = life.process.args().next();
    match program.and_then(|program| Path::new(program).file_name()) {
        Some(name) => name.to_string_lossy().into_owned(),
        None => life.process.comm().into_owned(),
    }
}

fn micros(time: Duration) -> serde_json::Result<Box<RawValue>> {
    decimal(time, 3)
}

/// The nanoseconds of `time` with a point before as many digits: a float would round them.
fn decimal(time: Duration, digits: u32) -> serde_json::Result<Box<RawValue>> {
    let (nanoseconds, unit) = (time.as_nanos(), 10_u128.pow(digits));
    let (whole, rest) = (nanoseconds / unit, nanoseconds % unit);
    let digits = digits as usize;
    RawValue::from_string(format!("{whole}.{rest:0digits$}"))
}

/// A track for each process. On one track slices must lie next to each other or one within the other; a
/// child is put below its parent where that is so, else on the first track that is free.
fn tracks(tree: &ProcessTree, end: impl Fn(&Life) -> Duration) -> Vec<usize> {
    let all = tree.processes();
    // For each track the slices that have not ended, each within the one before.
    let mut open: Vec<Vec<usize>> = Vec::new();
    let mut tracks = vec![0; all.len()];
    // A process whose fork was lost is known late, but its slice begins where it started.
    let mut by_start: Vec<_> = all.iter().enumerate().collect();
    by_start.sort_by_key(|(_, life)| life.process.start_time);
    for (at, life) in by_start {
        let start = life.process.start_time;
        for track in &mut open {
            while track.last().is_some_and(|&last| end(&all[last]) <= start) {
                track.pop();
            }
        }
        let below_parent = life.parent.and_then(|parent| {
            let track = tracks[parent];
            let innermost = *open[track].last()?;
            (innermost == parent && end(life) <= end(&all[parent])).then_some(track)
        });
        let track = below_parent
            .or_else(|| open.iter().position(Vec::is_empty))
            .unwrap_or_else(|| {
                open.push(Vec::new());
                open.len() - 1
            });
        open[track].push(at);
        tracks[at] = track;
    }
    tracks
}

#[derive(Serialize)]
struct Trace<'a> {
    #[serde(rename = "traceEvents")]
    trace_events: Vec<Event<'a>>,
    #[serde(rename = "displayTimeUnit")]
    display_time_unit: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Event<'a> {
    Metadata {
        ph: &'static str,
        name: &'static str,
        pid: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        tid: Option<usize>,
        args: Label,
    },
    Slice {
        ph: &'static str,
        cat: &'static str,
        name: String,
        /// A name that the format has for a colour: red.
        #[serde(skip_serializing_if = "Option::is_none")]
        cname: Option<&'static str>,
        /// In microseconds, as is `dur`.
        ts: Box<RawValue>,
        dur: Box<RawValue>,
        pid: u32,
        tid: usize,
        args: Shown<'a>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Label {
    Name(String),
    SortIndex(usize),
}

/// What a slice shows of its process.
struct Shown<'a> {
    cells: &'a Cells,
    columns: &'a [Column],
    process: ProcessAt<'a>,
    status: Option<String>,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for &column in self.columns {
            // Viewers show milliseconds.
            let name = match column.name().strip_suffix("_ns") {
                Some(name) => format!("{name}_ms"),
                None => column.name().to_owned(),
            };
            let value = match column {
                Column::Field(field) => Some(field.value(&self.process)),
                _ => None,
            };
            match value {
                Some(FieldValue::Null) => map.serialize_entry(&name, &())?,
                Some(FieldValue::Number(number)) => map.serialize_entry(&name, &number)?,
                Some(FieldValue::Span(span)) => {
                    let milliseconds = decimal(span, 6).map_err(S::Error::custom)?;
                    map.serialize_entry(&name, &milliseconds)?;
                }
                _ if matches!(column, Column::Status) => {
                    map.serialize_entry(&name, &self.status)?;
                }
                _ => map.serialize_entry(&name, &self.cells.text(column, &self.process))?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use kamap::{Event as KamapEvent, EventKind, Exit, Process, Snapshot};
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_slice_shows_how_long_each_process_lasted_and_what_is_known_of_it() {
        let seconds = Duration::from_secs;
        let mut tree = ProcessTree::default();
        let mut put = |process: &Process, time, kind| {
            let event = KamapEvent::new(0, time, process.clone(), kind);
            tree.add(&event).expect("it contradicts nothing");
        };
        let make = Process::new(7, seconds(1)).with_args(["/usr/bin/make"]);
        let mut child = Process::new(8, seconds(2))
            .with_comm("cc1")
            .with_args(["cc", "a b"]);
        (child.ppid, child.parent_start_time, child.execs) = (7, Some(seconds(1)), 1);
        let mut exit = Exit::new(1 << 8);
        (exit.cpu_time, exit.max_rss) = (Duration::from_nanos(20_000_001), 4096);
        put(&make, seconds(1), EventKind::Fork);
        put(&child, seconds(2), EventKind::Exec);
        put(&child, seconds(3), EventKind::Exit(exit));
        let table = Snapshot::new(seconds(4), vec![make]);
        let mut written = Vec::new();
        let summary = TreeSummary::new(&tree, seconds(4), Some(&table));
        write(&mut written, &["make".into()], &summary).expect("it is written to memory");
        let lines: String = [
            r#"{"traceEvents":["#,
            r#"{"ph":"M","name":"process_name","pid":7,"args":{"name":"make"}},"#,
            r#"{"ph":"M","name":"thread_name","pid":7,"tid":0,"args":{"name":"lane 1"}},"#,
            r#"{"ph":"M","name":"thread_sort_index","pid":7,"tid":0,"args":{"sort_index":0}},"#,
            r#"{"ph":"X","cat":"process","name":"make","ts":1000000.000,"dur":3000000.000,"#,
            r#""pid":7,"tid":0,"args":{"pid":7,"ppid":0,"command":"/usr/bin/make","execs":0,"#,
            r#""status":null,"cpu_ms":null,"max_rss_bytes":null}},"#,
            r#"{"ph":"X","cat":"process","name":"cc","cname":"terrible","ts":2000000.000,"#,
            r#""dur":1000000.000,"pid":7,"tid":0,"args":{"pid":8,"ppid":7,"command":"cc 'a b'","#,
            r#""execs":1,"status":"1","cpu_ms":20.000001,"max_rss_bytes":4096}}"#,
            "],\"displayTimeUnit\":\"ms\"}\n",
        ]
        .concat();
        assert_eq!(String::from_utf8_lossy(&written), lines);
    }

    #[rstest]
    #[case(177_135_566, 3, "177135.566")]
    #[case(177_135_566, 6, "177.135566")]
    #[case(5, 3, "0.005")]
    #[case(0, 6, "0.000000")]
    // As long as a machine may be up: more digits than a float has.
    #[case(12_345_678_901_234_567, 3, "12345678901234.567")]
    fn numbers_have_all_digits_and_no_more(
        #[case] nanoseconds: u64,
        #[case] digits: u32,
        #[case] shown: &str,
    ) {
        let number = decimal(Duration::from_nanos(nanoseconds), digits);
        assert_eq!(number.expect("it is a number").get(), shown);
    }
}
