//! The fields of a process: one table, from which JSON, columns of text, timelines and stores draw.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::names::signal_name;
use crate::{Container, Exit, Origin, Process, Runtime};

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
/// use kamap::{FieldType, FieldValue, Process, ProcessAt, ProcessField};
///
/// let mut process = Process::new(7, Duration::ZERO);
/// process.execs = 2;
/// let now = ProcessAt::alive(&process, Duration::from_secs(1));
/// let execs = ProcessField::named("execs").expect("there is one");
/// assert_eq!(execs.value(&now), FieldValue::Number(2));
/// assert_eq!(execs.r#type(), FieldType::Number);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ProcessField {
    name: &'static str,
    group: FieldGroup,
    get: Get,
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

/// The type that the values of a field have, where they are not [`FieldValue::Null`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldType {
    /// [`FieldValue::Number`].
    Number,
    /// [`FieldValue::Flag`].
    Flag,
    /// [`FieldValue::Text`].
    Text,
    /// [`FieldValue::Texts`].
    Texts,
    /// [`FieldValue::Time`].
    Time,
    /// [`FieldValue::Span`].
    Span,
    /// [`FieldValue::Process`].
    Process,
}

/// How a value is read, by its type.
#[derive(Clone, Copy, Debug)]
enum Get {
    Number(fn(&ProcessAt<'_>) -> Option<u64>),
    Flag(fn(&ProcessAt<'_>) -> Option<bool>),
    Text(for<'a> fn(&ProcessAt<'a>) -> Option<Cow<'a, [u8]>>),
    Texts(for<'a> fn(&ProcessAt<'a>) -> Vec<&'a [u8]>),
    Time(fn(&ProcessAt<'_>) -> Duration),
    Span(fn(&ProcessAt<'_>) -> Option<Duration>),
    Process(fn(&ProcessAt<'_>) -> Option<(u32, Duration)>),
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
    pub const ALL: &'static [Self] = FIELDS;

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

    /// The type of its values.
    pub fn r#type(&self) -> FieldType {
        match self.get {
            Get::Number(_) => FieldType::Number,
            Get::Flag(_) => FieldType::Flag,
            Get::Text(_) => FieldType::Text,
            Get::Texts(_) => FieldType::Texts,
            Get::Time(_) => FieldType::Time,
            Get::Span(_) => FieldType::Span,
            Get::Process(_) => FieldType::Process,
        }
    }

    /// The value for a process. [`FieldValue::Null`] if it is not in the group.
    pub fn value<'a>(&self, of: &ProcessAt<'a>) -> FieldValue<'a> {
        let value = match self.get {
            Get::Number(get) => get(of).map(FieldValue::Number),
            Get::Flag(get) => get(of).map(FieldValue::Flag),
            Get::Text(get) => get(of).map(FieldValue::Text),
            Get::Texts(get) => Some(FieldValue::Texts(get(of))),
            Get::Time(get) => Some(FieldValue::Time(get(of))),
            Get::Span(get) => get(of).map(FieldValue::Span),
            Get::Process(get) => {
                get(of).map(|(pid, start_time)| FieldValue::Process { pid, start_time })
            }
        };
        value.unwrap_or(FieldValue::Null)
    }
}

/// To add a field, add a line here, and one to docs/json.md.
const FIELDS: &[ProcessField] = {
    use FieldGroup::{Exit, Process, Row};
    use Get::{Flag, Number, Process as Identity, Span, Text, Texts, Time};
    &[
        field("pid", Process, Number(|at| Some(at.process.pid.into()))),
        field("start_time", Process, Time(|at| at.process.start_time)),
        field(
            "start_boottime_ns",
            Process,
            Span(|at| Some(at.process.start_time)),
        ),
        field("ppid", Process, Number(|at| Some(at.process.ppid.into()))),
        field("parent", Process, Identity(|at| parent(at.process))),
        field("uid", Process, Number(|at| Some(at.process.uid.into()))),
        field("gid", Process, Number(|at| Some(at.process.gid.into()))),
        field(
            "comm",
            Process,
            Text(|at| Some(at.process.comm_bytes().into())),
        ),
        field(
            "cgroup_id",
            Process,
            Number(|at| Some(at.process.cgroup_id)),
        ),
        field(
            "cgroup",
            Process,
            Text(|at| Some(bytes(at.process.cgroup()?.path()))),
        ),
        field(
            "unit",
            Process,
            Text(|at| text(at.process.cgroup()?.unit())),
        ),
        field(
            "user_unit",
            Process,
            Text(|at| text(at.process.cgroup()?.user_unit())),
        ),
        field(
            "container",
            Process,
            Text(|at| text(Some(&container(at)?.id))),
        ),
        field(
            "container_runtime",
            Process,
            Text(|at| text(container(at)?.runtime.map(Runtime::name))),
        ),
        field(
            "pod_uid",
            Process,
            Text(|at| text(at.process.cgroup()?.pod_uid())),
        ),
        field("file", Process, Text(|at| at.process.file().map(bytes))),
        field("file_cut", Process, Flag(|at| Some(at.process.file_cut))),
        field("exe", Process, Text(|at| at.process.exe().map(bytes))),
        field("exe_cut", Process, Flag(|at| Some(at.process.exe_cut))),
        field(
            "args",
            Process,
            Texts(|at| at.process.args().map(OsStr::as_bytes).collect()),
        ),
        field("args_cut", Process, Flag(|at| Some(at.process.args_cut))),
        field("execs", Process, Number(|at| Some(at.process.execs.into()))),
        field("age_ns", Row, Span(|at| Some(at.age()))),
        field(
            "origin",
            Row,
            Text(|at| Some(origin(at.process.origin).into())),
        ),
        field("pid_ns", Row, Number(|at| at.process.pid_ns.map(u64::from))),
        field("vpid", Row, Number(|at| at.process.vpid.map(u64::from))),
        field(
            "exit_code",
            Exit,
            Number(|at| at.exit?.exit_code()?.try_into().ok()),
        ),
        field("signal", Exit, Text(|at| at.exit?.signal().map(signal))),
        field("core", Exit, Flag(|at| Some(at.exit?.core_dumped()))),
        field("duration_ns", Exit, Span(|at| at.exit.map(|_| at.age()))),
        field("cpu_ns", Exit, Span(|at| Some(at.exit?.cpu_time))),
        field("max_rss_bytes", Exit, Number(|at| Some(at.exit?.max_rss))),
    ]
};

const fn field(name: &'static str, group: FieldGroup, get: Get) -> ProcessField {
    ProcessField { name, group, get }
}

fn bytes(path: &Path) -> Cow<'_, [u8]> {
    Cow::Borrowed(path.as_os_str().as_bytes())
}

fn text(text: Option<&str>) -> Option<Cow<'_, [u8]>> {
    text.map(|text| Cow::Borrowed(text.as_bytes()))
}

fn container<'a>(at: &ProcessAt<'a>) -> Option<&'a Container> {
    at.process.cgroup()?.container()
}

fn parent(process: &Process) -> Option<(u32, Duration)> {
    Some((process.ppid, process.parent_start_time?))
}

fn origin(origin: Origin) -> &'static [u8] {
    match origin {
        Origin::Exec => b"exec",
        Origin::Fork => b"fork",
        Origin::Seed => b"seed",
    }
}

fn signal(number: i32) -> Cow<'static, [u8]> {
    match signal_name(number) {
        Cow::Borrowed(name) => Cow::Borrowed(name.as_bytes()),
        Cow::Owned(name) => Cow::Owned(name.into_bytes()),
    }
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
        assert_eq!(
            value("signal"),
            Some(FieldValue::Text(b"SIGTERM".as_slice().into()))
        );
        assert_eq!(value("exit_code"), Some(FieldValue::Null));
    }
}
