//! The lines of `docs/json.md`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use super::fields::{Fields, Identity, nanos};
use super::text::Comm;
use super::time::rfc3339;
use crate::{
    Ancestor, Branch, Cause, Clock, Event, EventKind, Exit, Field, FieldGroup, Kinds, Losses, Lost,
    Mismatch, Process, ProcessAt, Replaced, Seen, Suspect, TreeSummary, Verification, errno_name,
    signal_name,
};

/// The version of the contract.
pub const VERSION: u32 = 1;

/// Makes lines of JSON: knows of which boot they are, and by which clock their times are converted.
#[derive(Clone, Debug)]
pub struct Lines {
    clock: Clock,
    boot_id: String,
    attached: Option<String>,
    ancestors: bool,
}

impl Lines {
    /// Lines of the boot with this ID ([`Clock::boot_id`]), whose times `clock` converts
    /// ([`Reader::clock`](crate::Reader::clock)).
    pub fn new(clock: Clock, boot_id: impl Into<String>) -> Self {
        Self {
            clock,
            boot_id: boot_id.into(),
            attached: None,
            ancestors: false,
        }
    }

    /// What is read is attached in this folder ([`Pinned::dir`](crate::Pinned::dir)). Without this it is of a tracker of
    /// one's own.
    #[must_use]
    pub fn with_attached(mut self, dir: Option<&Path>) -> Self {
        self.attached = dir.map(|dir| dir.to_string_lossy().into_owned());
        self
    }

    /// Whether events have `ancestors`. Without this they do not.
    #[must_use]
    pub fn with_ancestors(mut self, ancestors: bool) -> Self {
        self.ancestors = ancestors;
        self
    }

    /// Converts times by this clock from now on.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// A `table`: these processes, in this order, read at `time` since boot.
    pub fn table<'a>(
        &'a self,
        time: Duration,
        processes: &'a [Process],
        losses: Losses,
        seen: Seen,
    ) -> TableLine<'a> {
        let mut line = self.past_table(time, processes);
        (line.losses, line.seen) = (Some(losses), Some(seen));
        line
    }

    /// A `table` of a moment in the past: what was lost and seen by then is not known.
    pub fn past_table<'a>(&'a self, time: Duration, processes: &'a [Process]) -> TableLine<'a> {
        TableLine {
            v: VERSION,
            r#type: "table",
            time: self.time(time),
            boot_id: &self.boot_id,
            attached: self.attached.as_deref(),
            next_seq: None,
            processes: Rows {
                processes,
                time,
                clock: self.clock,
            },
            losses: None,
            seen: None,
            exact: None,
            gap: None,
        }
    }

    /// The `life` of a process of this boot, which ended at a time since boot, in this way, if that is known.
    /// Without a time it has not ended.
    pub fn life<'a>(
        &'a self,
        process: &'a Process,
        end: Option<(Duration, Option<&'a Exit>)>,
    ) -> LifeLine<'a> {
        let time = end.map_or(process.start_time, |(time, _)| time);
        let at = match end.and_then(|(_, exit)| exit) {
            Some(exit) => ProcessAt::ended(process, time, exit),
            None => ProcessAt::alive(process, time),
        };
        LifeLine {
            v: VERSION,
            r#type: "life",
            time: end.map(|(time, _)| self.time(time)),
            boot_id: &self.boot_id,
            depth: None,
            running: end.is_none(),
            process: self.fields(at, &[FieldGroup::Process]),
            exit: self.fields(at, &[FieldGroup::Exit]),
        }
    }

    /// The `stream` line, which begins a stream of events at `time` since boot.
    pub fn stream(&self, time: Duration) -> StreamLine<'_> {
        StreamLine {
            v: VERSION,
            r#type: "stream",
            time: self.time(time),
            boot_id: &self.boot_id,
            attached: self.attached.as_deref(),
        }
    }

    /// A `replaced`.
    pub fn replaced<'a>(&self, replaced: &'a Replaced) -> ReplacedLine<'a> {
        ReplacedLine {
            v: VERSION,
            r#type: "replaced",
            seq: replaced.seq,
            time: self.time(replaced.time),
            version: &replaced.version,
        }
    }

    /// A `fork`, `exec`, `exec_failed` or `exit`.
    pub fn event<'a>(&self, event: &'a Event) -> EventLine<'a> {
        let process = &event.process;
        let (r#type, errno, exit) = match &event.kind {
            EventKind::Fork => ("fork", None, None),
            EventKind::Exec => ("exec", None, None),
            EventKind::ExecFailed(number) => ("exec_failed", Some(errno_name(*number)), None),
            EventKind::Exit(exit) => ("exit", None, Some(exit)),
        };
        let ancestors = || event.ancestors.iter().map(AncestorObject::from).collect();
        EventLine {
            v: VERSION,
            r#type,
            seq: event.seq,
            time: self.time(event.time),
            process: self.fields(
                ProcessAt::alive(process, event.time),
                &[FieldGroup::Process],
            ),
            errno,
            exit: exit.map(|exit| {
                let ended = ProcessAt::ended(process, event.time, exit);
                self.fields(ended, &[FieldGroup::Exit])
            }),
            ancestors: self.ancestors.then(ancestors),
        }
    }

    /// A `lost` line.
    pub fn lost(&self, lost: Lost) -> LostLine {
        LostLine {
            v: VERSION,
            r#type: "lost",
            cause: lost.cause,
            count: lost.count,
        }
    }

    /// The `summary`, which ends a stream of events.
    pub fn summary(&self, losses: Losses, seen: Seen) -> SummaryLine {
        SummaryLine {
            v: VERSION,
            r#type: "summary",
            losses,
            seen,
        }
    }

    /// A `process` of the tree of a command, whose stream had events of these kinds.
    pub fn process<'a>(
        &self,
        branch: &Branch<'a>,
        summary: &TreeSummary<'_>,
        kinds: Kinds,
    ) -> ProcessLine<'a> {
        let life = branch.life;
        let process = &life.process;
        let has_failed_execs = kinds.contains(Kinds::EXEC_FAILED);
        // Its time is not in any of these fields.
        let alive = ProcessAt::alive(process, process.start_time);
        ProcessLine {
            v: VERSION,
            r#type: "process",
            depth: branch.depth,
            process: self.fields(alive, &[FieldGroup::Process]),
            failed_execs: has_failed_execs.then_some(life.failed_execs),
            running: summary.is_running(life),
            exit: life.end.as_ref().map(|(time, exit)| {
                let ended = ProcessAt::ended(process, *time, exit);
                self.fields(ended, &[FieldGroup::Exit])
            }),
        }
    }

    /// The `run` line, which sums up a command that ended with `status`. `losses` is `None` where they
    /// could not be read.
    pub fn run<'a>(
        &'a self,
        command: &'a [OsString],
        status: ExitStatus,
        summary: &TreeSummary<'_>,
        losses: Option<Losses>,
    ) -> RunLine<'a> {
        let tree = summary.tree();
        RunLine {
            v: VERSION,
            r#type: "run",
            boot_id: &self.boot_id,
            attached: self.attached.as_deref(),
            command: command.iter().map(|arg| arg.to_string_lossy()).collect(),
            exit_code: status.code(),
            signal: status.signal().map(signal_name),
            duration_ns: nanos(summary.duration_of_command()),
            processes: tree.len(),
            execs: tree.execs(),
            failed: tree.failed().count(),
            running: summary.running(),
            losses,
            error: None,
        }
    }

    /// A `verify` line.
    pub fn verification<'a>(
        &'a self,
        found: &'a Verification,
        losses: Losses,
        seen: Seen,
    ) -> VerifyLine<'a> {
        let suspects = |suspects: &'a [Suspect]| -> Vec<_> {
            suspects
                .iter()
                .map(|suspect| self.suspect(suspect))
                .collect()
        };
        let mismatch = |mismatch: &'a Mismatch| MismatchObject {
            process: self.suspect(&mismatch.process),
            differs: mismatch.fields.iter().map(FieldObject::from).collect(),
        };
        VerifyLine {
            v: VERSION,
            r#type: "verify",
            time: self.time(found.time),
            boot_id: &self.boot_id,
            attached: self.attached.as_deref(),
            exact: found.is_exact(),
            checked: found.checked,
            missing: suspects(&found.missing),
            stale: suspects(&found.stale),
            mismatched: found.mismatched.iter().map(mismatch).collect(),
            losses,
            seen,
        }
    }

    fn suspect<'a>(&self, suspect: &'a Suspect) -> SuspectObject<'a> {
        SuspectObject {
            pid: suspect.pid,
            start_time: self.time(suspect.start_time),
            start_boottime_ns: nanos(suspect.start_time),
            comm: Comm(suspect.comm_bytes()),
        }
    }

    fn fields<'a>(&self, of: ProcessAt<'a>, groups: &'static [FieldGroup]) -> Fields<'a> {
        let clock = self.clock;
        Fields { of, groups, clock }
    }

    fn time(&self, since_boot: Duration) -> String {
        rfc3339(self.clock.system_time(since_boot))
    }
}

/// See [`Lines::table`].
#[derive(Debug, Serialize)]
pub struct TableLine<'a> {
    v: u32,
    r#type: &'static str,
    time: String,
    boot_id: &'a str,
    attached: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_seq: Option<u64>,
    processes: Rows<'a>,
    losses: Option<Losses>,
    seen: Option<Seen>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exact: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<GapObject<'a>>,
}

impl<'a> TableLine<'a> {
    /// Whether the table of a moment in the past is exact, or in which gap it is.
    #[must_use]
    pub fn with_gap(mut self, gap: Option<GapLine<'a>>) -> Self {
        self.exact = Some(gap.is_none());
        self.gap = gap.map(|line| line.gap);
        self
    }

    /// The number of the first event that may not be in the table yet
    /// ([`Reader::next_seq`](crate::Reader::next_seq), read before the table).
    #[must_use]
    pub fn with_next_seq(mut self, next_seq: u64) -> Self {
        self.next_seq = Some(next_seq);
        self
    }
}

/// The rows of a table, made one at a time.
#[derive(Debug)]
struct Rows<'a> {
    processes: &'a [Process],
    time: Duration,
    clock: Clock,
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.processes.iter().map(|process| Fields {
            of: ProcessAt::alive(process, self.time),
            groups: &[FieldGroup::Process, FieldGroup::Row],
            clock: self.clock,
        }))
    }
}

/// See [`Lines::life`].
#[derive(Debug, Serialize)]
pub struct LifeLine<'a> {
    v: u32,
    r#type: &'static str,
    time: Option<String>,
    boot_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    depth: Option<usize>,
    running: bool,
    #[serde(flatten)]
    process: Fields<'a>,
    #[serde(flatten)]
    exit: Fields<'a>,
}

impl LifeLine<'_> {
    /// How many of its ancestors are in the tree.
    #[must_use]
    pub fn with_depth(mut self, depth: usize) -> Self {
        self.depth = Some(depth);
        self
    }
}

/// A `gap`: a time in which not all was recorded.
#[derive(Debug, Serialize)]
pub struct GapLine<'a> {
    v: u32,
    r#type: &'static str,
    #[serde(flatten)]
    gap: GapObject<'a>,
}

impl<'a> GapLine<'a> {
    /// Up to `since` and from `until` on all was recorded, if it was. Between, so much was lost for each
    /// cause; nothing if nobody recorded.
    pub fn new(
        since: Option<SystemTime>,
        until: Option<SystemTime>,
        lost: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> Self {
        Self {
            v: VERSION,
            r#type: "gap",
            gap: GapObject {
                since: since.map(rfc3339),
                until: until.map(rfc3339),
                lost: lost.into_iter().collect(),
            },
        }
    }
}

#[derive(Debug, Serialize)]
struct GapObject<'a> {
    since: Option<String>,
    until: Option<String>,
    lost: BTreeMap<&'a str, u64>,
}

/// See [`Lines::stream`].
#[derive(Debug, Serialize)]
pub struct StreamLine<'a> {
    v: u32,
    r#type: &'static str,
    time: String,
    boot_id: &'a str,
    attached: Option<&'a str>,
}

/// See [`Lines::event`].
#[derive(Debug, Serialize)]
pub struct EventLine<'a> {
    v: u32,
    r#type: &'static str,
    seq: u64,
    time: String,
    #[serde(flatten)]
    process: Fields<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<String>,
    #[serde(flatten)]
    exit: Option<Fields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ancestors: Option<Vec<AncestorObject<'a>>>,
}

#[derive(Debug, Serialize)]
struct AncestorObject<'a> {
    #[serde(flatten)]
    identity: Identity,
    #[serde(flatten)]
    comm: Comm<'a>,
}

impl<'a> From<&'a Ancestor> for AncestorObject<'a> {
    fn from(ancestor: &'a Ancestor) -> Self {
        Self {
            identity: Identity::new(ancestor.pid, ancestor.start_time),
            comm: Comm(ancestor.comm_bytes()),
        }
    }
}

/// See [`Lines::replaced`].
#[derive(Debug, Serialize)]
pub struct ReplacedLine<'a> {
    v: u32,
    r#type: &'static str,
    seq: u64,
    time: String,
    version: &'a str,
}

/// See [`Lines::lost`].
#[derive(Debug, Serialize)]
pub struct LostLine {
    v: u32,
    r#type: &'static str,
    cause: Cause,
    count: u64,
}

/// See [`Lines::summary`].
#[derive(Debug, Serialize)]
pub struct SummaryLine {
    v: u32,
    r#type: &'static str,
    losses: Losses,
    seen: Seen,
}

/// See [`Lines::process`].
#[derive(Debug, Serialize)]
pub struct ProcessLine<'a> {
    v: u32,
    r#type: &'static str,
    depth: usize,
    #[serde(flatten)]
    process: Fields<'a>,
    failed_execs: Option<u32>,
    running: Option<bool>,
    #[serde(flatten)]
    exit: Option<Fields<'a>>,
}

/// See [`Lines::run`].
#[derive(Debug, Serialize)]
pub struct RunLine<'a> {
    v: u32,
    r#type: &'static str,
    boot_id: &'a str,
    attached: Option<&'a str>,
    command: Vec<Cow<'a, str>>,
    exit_code: Option<i32>,
    signal: Option<Cow<'static, str>>,
    duration_ns: u64,
    processes: usize,
    execs: u64,
    failed: usize,
    running: Option<usize>,
    losses: Option<Losses>,
    error: Option<&'a str>,
}

impl<'a> RunLine<'a> {
    /// What following the command failed with, if it did: events and processes can be missing.
    #[must_use]
    pub fn with_error(mut self, error: Option<&'a str>) -> Self {
        self.error = error;
        self
    }
}

/// See [`Lines::verification`].
#[derive(Debug, Serialize)]
pub struct VerifyLine<'a> {
    v: u32,
    r#type: &'static str,
    time: String,
    boot_id: &'a str,
    attached: Option<&'a str>,
    exact: bool,
    checked: usize,
    missing: Vec<SuspectObject<'a>>,
    stale: Vec<SuspectObject<'a>>,
    mismatched: Vec<MismatchObject<'a>>,
    losses: Losses,
    seen: Seen,
}

#[derive(Debug, Serialize)]
struct SuspectObject<'a> {
    pid: u32,
    start_time: String,
    start_boottime_ns: u64,
    #[serde(flatten)]
    comm: Comm<'a>,
}

#[derive(Debug, Serialize)]
struct MismatchObject<'a> {
    #[serde(flatten)]
    process: SuspectObject<'a>,
    differs: Vec<FieldObject>,
}

#[derive(Debug, Serialize)]
struct FieldObject {
    field: &'static str,
    table: u64,
    kernel: u64,
}

impl From<&Field> for FieldObject {
    fn from(field: &Field) -> Self {
        Self {
            field: field.name,
            table: field.table,
            kernel: field.kernel,
        }
    }
}
