//! The fields of a process: one table, from which JSON, columns of text, timelines and stores draw.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::names::signal_name;
use crate::{Exit, Origin, Process};

/// A process at one time: what the fields of a [`ProcessField`] are read from.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ProcessAt<'a> {
    /// The process.
    pub process: &'a Process,
    /// When the table was read or the event happened: since boot, suspend included.
    pub time: Duration,
    /// How the process ended, if it has: at `time`.
    pub exit: Option<&'a Exit>,
}

impl<'a> ProcessAt<'a> {
    /// A process that is alive at `time` since boot.
    pub fn alive(process: &'a Process, time: Duration) -> Self {
        Self {
            process,
            time,
            exit: None,
        }
    }

    /// A process that ended at `time` since boot.
    pub fn ended(process: &'a Process, time: Duration, exit: &'a Exit) -> Self {
        Self {
            process,
            time,
            exit: Some(exit),
        }
    }

    /// How long the process has lived.
    fn age(&self) -> Duration {
        self.time.saturating_sub(self.process.start_time)
    }
}

/// A field of a process.
///
/// ```
/// use std::time::Duration;
/// use kamap::{FieldValue, Process, ProcessAt, ProcessField};
///
/// let mut process = Process::new(7, Duration::ZERO);
/// process.execs = 2;
/// let now = ProcessAt::alive(&process, Duration::from_secs(1));
/// let execs = ProcessField::named("execs").expect("there is one");
/// assert_eq!(execs.value(&now), FieldValue::Number(2));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ProcessField {
    name: &'static str,
    group: FieldGroup,
    value: for<'a> fn(&ProcessAt<'a>) -> FieldValue<'a>,
}

/// Which processes have a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldGroup {
    /// Every process, wherever it is shown.
    Process,
    /// The row of a live process.
    Row,
    /// A process that has ended.
    Exit,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldValue<'a> {
    /// Not known, or it does not apply.
    Null,
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// Text, which need not be UTF-8.
    Text(Cow<'a, [u8]>),
    /// A list of texts.
    Texts(Vec<&'a [u8]>),
    /// A point in time, since boot. [`Clock`](crate::Clock) converts it.
    Time(Duration),
    /// A length of time, or the number of nanoseconds since boot that identifies a process.
    Span(Duration),
    /// Another process.
    Process {
        /// Its PID.
        pid: u32,
        /// When it started, since boot.
        start_time: Duration,
    },
}

impl ProcessField {
    /// All fields, in the order in which JSON has them.
    pub const ALL: &'static [Self] = &FIELDS;

    /// The field with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|field| field.name == name)
    }

    /// The name, as `docs/json.md` documents it. It ends in `_ns` for nanoseconds, in `_bytes` for bytes.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Which processes have the field.
    pub fn group(&self) -> FieldGroup {
        self.group
    }

    /// The value for a process. [`FieldValue::Null`] if it is not in the group.
    pub fn value<'a>(&self, of: &ProcessAt<'a>) -> FieldValue<'a> {
        (self.value)(of)
    }
}

/// A new field is a line here, and a line in docs/json.md.
const FIELDS: [ProcessField; 24] = {
    use FieldGroup::{Exit, Process, Row};
    use FieldValue::{Flag, Number, Span, Time};
    [
        field("pid", Process, |at| Number(at.process.pid.into())),
        field("start_time", Process, |at| Time(at.process.start_time)),
        field("start_boottime_ns", Process, |at| {
            Span(at.process.start_time)
        }),
        field("ppid", Process, |at| Number(at.process.ppid.into())),
        field("parent", Process, |at| parent(at.process)),
        field("uid", Process, |at| Number(at.process.uid.into())),
        field("gid", Process, |at| Number(at.process.gid.into())),
        field("comm", Process, |at| text(at.process.comm_bytes())),
        field("cgroup_id", Process, |at| Number(at.process.cgroup_id)),
        field("file", Process, |at| path(at.process.file())),
        field("file_cut", Process, |at| Flag(at.process.file_cut)),
        field("exe", Process, |at| path(at.process.exe())),
        field("exe_cut", Process, |at| Flag(at.process.exe_cut)),
        field("args", Process, |at| args(at.process)),
        field("args_cut", Process, |at| Flag(at.process.args_cut)),
        field("execs", Process, |at| Number(at.process.execs.into())),
        field("age_ns", Row, |at| Span(at.age())),
        field("origin", Row, |at| {
            text(origin(at.process.origin).as_bytes())
        }),
        field("exit_code", Exit, |at| of_exit(at, exit_code)),
        field("signal", Exit, |at| of_exit(at, signal)),
        field("core", Exit, |at| {
            of_exit(at, |exit| Flag(exit.core_dumped()))
        }),
        field("duration_ns", Exit, |at| of_exit(at, |_| Span(at.age()))),
        field("cpu_ns", Exit, |at| of_exit(at, |exit| Span(exit.cpu_time))),
        field("max_rss_bytes", Exit, |at| {
            of_exit(at, |exit| Number(exit.max_rss))
        }),
    ]
};

const fn field(
    name: &'static str,
    group: FieldGroup,
    value: for<'a> fn(&ProcessAt<'a>) -> FieldValue<'a>,
) -> ProcessField {
    ProcessField { name, group, value }
}

fn text(bytes: &[u8]) -> FieldValue<'_> {
    FieldValue::Text(Cow::Borrowed(bytes))
}

fn path(path: Option<&Path>) -> FieldValue<'_> {
    path.map_or(FieldValue::Null, |path| text(path.as_os_str().as_bytes()))
}

fn args(process: &Process) -> FieldValue<'_> {
    FieldValue::Texts(process.args().map(OsStr::as_bytes).collect())
}

fn parent(process: &Process) -> FieldValue<'_> {
    process
        .parent_start_time
        .map_or(FieldValue::Null, |start_time| FieldValue::Process {
            pid: process.ppid,
            start_time,
        })
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Exec => "exec",
        Origin::Fork => "fork",
        Origin::Seed => "seed",
    }
}

fn of_exit<'a>(at: &ProcessAt<'a>, value: impl FnOnce(&Exit) -> FieldValue<'a>) -> FieldValue<'a> {
    at.exit.map_or(FieldValue::Null, value)
}

fn exit_code<'a>(exit: &Exit) -> FieldValue<'a> {
    let code = exit.exit_code().and_then(|code| u64::try_from(code).ok());
    code.map_or(FieldValue::Null, FieldValue::Number)
}

fn signal<'a>(exit: &Exit) -> FieldValue<'a> {
    let name = exit.signal().map(|number| signal_name(number).into_owned());
    name.map_or(FieldValue::Null, |name| {
        FieldValue::Text(Cow::Owned(name.into_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_field_has_a_name_of_its_own() {
        let names: HashSet<_> = ProcessField::ALL.iter().map(ProcessField::name).collect();
        assert_eq!(names.len(), ProcessField::ALL.len());
        assert!(ProcessField::named("no_such_field").is_none());
    }

    #[test]
    fn a_live_process_has_no_field_of_an_exit() {
        let process = Process::new(7, Duration::from_secs(1)).with_comm("x");
        let exit = Exit::new(libc::SIGTERM);
        let time = Duration::from_secs(3);
        let alive = ProcessAt::alive(&process, time);
        let ended = ProcessAt::ended(&process, time, &exit);
        for field in ProcessField::ALL {
            let is_exit = field.group() == FieldGroup::Exit;
            if is_exit {
                assert_eq!(field.value(&alive), FieldValue::Null, "{}", field.name());
            } else {
                assert_eq!(field.value(&alive), field.value(&ended), "{}", field.name());
            }
        }
        let value = |name| ProcessField::named(name).map(|field| field.value(&ended));
        assert_eq!(
            value("duration_ns"),
            Some(FieldValue::Span(Duration::from_secs(2)))
        );
        assert_eq!(value("signal"), Some(text(b"SIGTERM")));
        assert_eq!(value("exit_code"), Some(FieldValue::Null));
    }
}
