//! A timeline in the trace event format of Chrome, which Perfetto reads as well.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use kamap::{Life, Lives};
use serde::Serialize;

use super::charset::Charset;
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
    lives: &Lives,
    until: impl Fn(&Life) -> Until,
) -> io::Result<()> {
    let command: Vec<_> = command.iter().map(|arg| arg.to_string_lossy()).collect();
    let group = lives.all().first().map_or(0, |life| life.process.pid);
    let mut events = vec![Event::Metadata {
        ph: "M",
        name: "process_name",
        pid: group,
        args: Name {
            name: command.join(" "),
        },
    }];
    for (life, track) in lives
        .all()
        .iter()
        .zip(tracks(lives, |life| until(life).time))
    {
        let process = &life.process;
        let Until { time, status } = until(life);
        events.push(Event::Slice {
            ph: "X",
            cat: "process",
            name: name(life),
            ts: micros(process.start_time),
            dur: micros(time.saturating_sub(process.start_time)),
            pid: group,
            tid: track,
            args: Facts {
                pid: process.pid,
                ppid: process.ppid,
                command: text::command(Charset::Utf8, process),
                execs: process.execs,
                status,
                cpu_ms: life.end.map(|(_, end)| end.cpu_time.as_secs_f64() * 1e3),
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

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

/// A track for each process. On one track slices must lie next to each other or one
/// within the other; a child is put below its parent where that is so, else on the first
/// track that is free.
fn tracks(lives: &Lives, until: impl Fn(&Life) -> Duration) -> Vec<usize> {
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
        args: Name,
    },
    Slice {
        ph: &'static str,
        cat: &'static str,
        name: String,
        /// In microseconds, as is `dur`.
        ts: f64,
        dur: f64,
        pid: u32,
        tid: usize,
        args: Facts,
    },
}

#[derive(Serialize)]
struct Name {
    name: String,
}

#[derive(Serialize)]
struct Facts {
    pid: u32,
    ppid: u32,
    command: String,
    execs: u32,
    status: Option<String>,
    cpu_ms: Option<f64>,
    max_rss_bytes: Option<u64>,
}
