//! What the lives of a stretch of time come to.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use kamap::Cgroup;

use crate::file::File;
use crate::texts::bytes;
use crate::time::from_nanos;
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
    /// It has none, such as a process outside of all units.
    None,
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
        for (at, file) in self.files.iter().enumerate() {
            let (from, to) = (file.first_since_boot(since), file.since_boot(until));
            for (number, mut group) in file.groups(from, to, by)? {
                group.key = match number {
                    Some(number) => key(&self.files[..=at], number, by)?,
                    None => Key::Unknown,
                };
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
    /// The groups by their numbers, without keys.
    fn groups(&self, from: i64, to: i64, by: GroupBy) -> Result<HashMap<Option<i64>, Group>> {
        let column = match by {
            GroupBy::Command => "comm",
            GroupBy::Parent => "parent",
            GroupBy::User => "uid",
            GroupBy::Unit => "cgroup",
            GroupBy::Exit => "status",
        };
        // Faster than GROUP BY, which sorts.
        let mut groups: HashMap<Option<i64>, Group> = HashMap::new();
        let query = format!(
            "SELECT {column}, status, cpu, end - start FROM lives WHERE end > ? AND end <= ?"
        );
        self.each(&query, [from, to], |row| {
            let number = row.get(0)?;
            let group = groups
                .entry(number)
                .or_insert_with(|| Group::new(Key::Unknown));
            let duration = from_nanos(row.get(3)?);
            group.count += 1;
            group.failed += u64::from(
                row.get::<_, Option<i64>>(1)?
                    .is_some_and(|status| status != 0),
            );
            group.cpu_time += from_nanos(row.get::<_, Option<i64>>(2)?.unwrap_or_default());
            group.duration += duration;
            group.longest = group.longest.max(duration);
            Ok(())
        })?;
        Ok(groups)
    }
}

/// What people know a group by. A parent can be in a file before the last one of `files`, all else is in
/// that.
fn key(files: &[File], number: i64, by: GroupBy) -> Result<Key> {
    let query = match by {
        GroupBy::Command => "SELECT text FROM strings WHERE id = ?",
        GroupBy::Parent => {
            "SELECT text FROM strings WHERE id = (SELECT comm FROM lives WHERE id = ?)"
        }
        GroupBy::Unit => "SELECT path FROM cgroups WHERE id = ?",
        GroupBy::User | GroupBy::Exit => return Ok(Key::Number(number)),
    };
    let before = match by {
        GroupBy::Parent => files.len(),
        _ => 1,
    };
    for file in files.iter().rev().take(before) {
        let texts = file.rows(query, [number], |row| Ok(bytes(row.get_ref(0)?)))?;
        let Some(text) = texts.into_iter().next().flatten() else {
            continue;
        };
        if by != GroupBy::Unit {
            return Ok(Key::Name(text));
        }
        let cgroup = Cgroup::new(PathBuf::from(OsString::from_vec(text)));
        let unit = cgroup.user_unit().or(cgroup.unit());
        return Ok(unit.map_or(Key::None, |unit| Key::Name(unit.into())));
    }
    Ok(Key::Unknown)
}
