//! The fields of a process as JSON.

use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::text;
use super::time::rfc3339;
use crate::{Clock, FieldGroup, FieldValue, ProcessAt, ProcessField};

/// The fields of some groups, as an object or as part of the object around it.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    pub(super) of: ProcessAt<'a>,
    pub(super) groups: &'static [FieldGroup],
    pub(super) clock: Clock,
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in ProcessField::ALL {
            if self.groups.contains(&field.group()) {
                let name = field.name();
                match field.value(&self.of) {
                    FieldValue::Null => map.serialize_entry(name, &())?,
                    FieldValue::Number(number) => map.serialize_entry(name, &number)?,
                    FieldValue::Flag(flag) => map.serialize_entry(name, &flag)?,
                    FieldValue::Text(bytes) => text::entry(&mut map, name, &bytes)?,
                    FieldValue::Texts(texts) => text::entries(&mut map, name, &texts)?,
                    FieldValue::Time(time) => {
                        map.serialize_entry(name, &rfc3339(self.clock.system_time(time)))?;
                    }
                    FieldValue::Span(span) => map.serialize_entry(name, &nanos(span))?,
                    FieldValue::Process { pid, start_time } => {
                        map.serialize_entry(name, &Identity::new(pid, start_time))?;
                    }
                }
            }
        }
        map.end()
    }
}

/// Which process: a PID is used again, so the start time belongs to it.
#[derive(Debug, Serialize)]
pub(super) struct Identity {
    pid: u32,
    start_boottime_ns: u64,
}

impl Identity {
    pub(super) fn new(pid: u32, start_time: Duration) -> Self {
        Self {
            pid,
            start_boottime_ns: nanos(start_time),
        }
    }
}

pub(super) fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}
