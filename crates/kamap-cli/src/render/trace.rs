//! A timeline in the trace event format of Chrome, which Perfetto reads as well.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use kamap::{Life, ProcessTree};
use serde::Serialize;
use serde_json::value::RawValue;

use super::charset::Charset;
use super::quote::quote;
use super::text;

/// How far the slice of a process reaches.
pub(super) struct Until {
    pub(super) time: Duration,
    /// How it has ended, if it has.
    pub(super) status: Option<String>,
}

/// Writes a slice for each process.
pub(super) fn write(
    out: &mut impl Write,
    command: &[OsString],
    lives: &ProcessTree,
    until: impl Fn(&Life) -> Until,
) -> io::Result<()> {
    let group = lives.all().first().map_or(0, |life| life.process.pid);
    let metadata = |name, tid, args| Event::Metadata {
        ph: "M",
        name,
        pid: group,
        tid,
        args,
    };
    let command = quote(Charset::Utf8, command.iter().map(OsString::as_os_str));
    let mut events = vec![metadata("process_name", None, Label::Name(command))];
    let tracks = tracks(lives, |life| until(life).time);
    for track in 0..tracks.iter().max().map_or(0, |last| last + 1) {
        // One process follows another on it, so it has none of their names.
        let label = Label::Name(format!("lane {}", track + 1));
        events.push(metadata("thread_name", Some(track), label));
        let place = Label::SortIndex(track);
        events.push(metadata("thread_sort_index", Some(track), place));
    }
    for (life, track) in lives.all().iter().zip(tracks) {
        let process = &life.process;
        let Until { time, status } = until(life);
        let cpu_ms = life.end.map(|(_, end)| decimal(end.cpu_time, 6));
        events.push(Event::Slice {
            ph: "X",
            cat: "process",
            name: name(life),
            cname: life.has_failed().then_some("terrible"),
            ts: micros(process.start_time)?,
            dur: micros(time.saturating_sub(process.start_time))?,
            pid: group,
            tid: track,
            args: Facts {
                pid: process.pid,
                ppid: process.ppid,
                command: text::command(Charset::Utf8, process),
                execs: process.execs,
                status,
                cpu_ms: cpu_ms.transpose()?,
                max_rss_bytes: life.end.map(|(_, end)| end.max_rss),
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

/// What it runs, or its name.
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

/// The nanoseconds of `time` with a point before as many digits: a float would have others.
fn decimal(time: Duration, digits: u32) -> serde_json::Result<Box<RawValue>> {
    let (nanoseconds, unit) = (time.as_nanos(), 10_u128.pow(digits));
    let (whole, rest) = (nanoseconds / unit, nanoseconds % unit);
    let digits = digits as usize;
    RawValue::from_string(format!("{whole}.{rest:0digits$}"))
}

/// A track for each process. On one track slices must lie next to each other or one
/// within the other; a child is put below its parent where that is so, else on the first
/// track that is free.
fn tracks(lives: &ProcessTree, until: impl Fn(&Life) -> Duration) -> Vec<usize> {
    let all = lives.all();
    // Of each track, what has not ended, each within the one before.
    let mut open: Vec<Vec<usize>> = Vec::new();
    let mut tracks = vec![0; all.len()];
    // What was told late, since its start was lost, comes where it started.
    let mut by_start: Vec<_> = all.iter().enumerate().collect();
    by_start.sort_by_key(|(_, life)| life.process.start_time);
    for (at, life) in by_start {
        let start = life.process.start_time;
        for track in &mut open {
            while track.last().is_some_and(|&last| until(&all[last]) <= start) {
                track.pop();
            }
        }
        let below_parent = life.parent.and_then(|parent| {
            let track = tracks[parent];
            let innermost = *open[track].last()?;
            (innermost == parent && until(life) <= until(&all[parent])).then_some(track)
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
struct Trace {
    #[serde(rename = "traceEvents")]
    trace_events: Vec<Event>,
    #[serde(rename = "displayTimeUnit")]
    display_time_unit: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Event {
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
        args: Facts,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Label {
    Name(String),
    SortIndex(usize),
}

#[derive(Serialize)]
struct Facts {
    pid: u32,
    ppid: u32,
    command: String,
    execs: u32,
    status: Option<String>,
    cpu_ms: Option<Box<RawValue>>,
    max_rss_bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

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
