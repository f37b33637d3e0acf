//! What the lives of a stretch of time come to.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use kamap::Cgroup;
use rusqlite::types::ValueRef;

use crate::file::File;
use crate::texts::from_nanos;
use crate::{History, Result};

/// What lives are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupBy {
    /// The name of the process when it ended.
    Command,
    /// The name of the process that started it.
    Parent,
    /// The user ID.
    User,
    /// The systemd unit.
    Unit,
    /// The status, as `wait(2)` gives it.
    Exit,
}

/// What a group of lives has in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Key {
    /// Not known.
    Unknown,
    /// A number: of the user, or the status.
    Number(i64),
    /// A name, which need not be UTF-8.
    Name(Vec<u8>),
}

/// What a group of lives comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// What they have in common.
    pub key: Key,
    /// How many there are.
    pub count: u64,
    /// How many ended with a status other than 0.
    pub failed: u64,
    /// The CPU time of all of them.
    pub cpu_time: Duration,
    /// How long all of them lived together.
    pub duration: Duration,
    /// How long the longest lived.
    pub longest: Duration,
}

impl Group {
    fn new(key: Key) -> Self {
        Self {
            key,
            count: 0,
            failed: 0,
            cpu_time: Duration::ZERO,
            duration: Duration::ZERO,
            longest: Duration::ZERO,
        }
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.failed += other.failed;
        self.cpu_time += other.cpu_time;
        self.duration += other.duration;
        self.longest = self.longest.max(other.longest);
    }
}

impl History {
    /// Sums up the lives that ended after `since` and by `until`; the group with the most comes first.
    ///
    /// # Errors
    ///
    /// Where files cannot be read.
    pub fn summary(&self, since: SystemTime, until: SystemTime, by: GroupBy) -> Result<Vec<Group>> {
        let mut groups: HashMap<Key, Group> = HashMap::new();
        for file in &self.files {
            for group in file.groups(file.first_since_boot(since), file.since_boot(until), by)? {
                groups
                    .entry(group.key.clone())
                    .or_insert_with(|| Group::new(group.key.clone()))
                    .add(&group);
            }
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.key.cmp(&b.key)));
        Ok(groups)
    }
}

impl File {
    fn groups(&self, from: i64, to: i64, by: GroupBy) -> Result<Vec<Group>> {
        // The text of a number is looked up once for each group.
        let (number, text) = match by {
            GroupBy::Command => ("life.comm", "SELECT text FROM strings WHERE id = number"),
            GroupBy::Parent => (
                "(SELECT comm FROM lives parent WHERE parent.id = life.parent)",
                "SELECT text FROM strings WHERE id = number",
            ),
            GroupBy::User => ("life.uid", "number"),
            GroupBy::Unit => ("life.cgroup", "SELECT path FROM cgroups WHERE id = number"),
            GroupBy::Exit => ("life.status", "number"),
        };
        let query = format!(
            "SELECT ({text}), count, failed, cpu, duration, longest FROM (\
             SELECT {number} AS number, count(*) AS count, coalesce(sum(status != 0), 0) AS failed, \
             coalesce(sum(cpu), 0) AS cpu, sum(end - start) AS duration, max(end - start) AS longest \
             FROM lives life WHERE end > ? AND end <= ? GROUP BY 1)"
        );
        let key = |value: ValueRef<'_>| match value {
            ValueRef::Integer(number) => Key::Number(number),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) if by == GroupBy::Unit => {
                let path = PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
                let cgroup = Cgroup::new(path);
                let unit = cgroup.user_unit().or(cgroup.unit());
                unit.map_or(Key::Unknown, |unit| Key::Name(unit.into()))
            }
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Key::Name(bytes.to_vec()),
            _ => Key::Unknown,
        };
        self.rows(&query, [from, to], |row| {
            Ok(Group {
                key: key(row.get_ref(0)?),
                count: row.get::<_, i64>(1)?.cast_unsigned(),
                failed: row.get::<_, i64>(2)?.cast_unsigned(),
                cpu_time: from_nanos(row.get(3)?),
                duration: from_nanos(row.get(4)?),
                longest: from_nanos(row.get(5)?),
            })
        })
    }
}
