//! The rows of the tables, as `schema.sql` describes them.

use rusqlite::Row;

/// What is in `boots`.
#[derive(Clone, Debug)]
pub(crate) struct Boot {
    pub(crate) boot_id: String,
    pub(crate) host: String,
    pub(crate) version: String,
}

/// Text, as SQLite is to keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    Utf8(String),
    Bytes(Vec<u8>),
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Utf8(text.to_owned()),
            Err(_) => Self::Bytes(bytes.to_vec()),
        }
    }
}

impl rusqlite::ToSql for Text {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        match self {
            Self::Utf8(text) => text.to_sql(),
            Self::Bytes(bytes) => bytes.to_sql(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct CommandRow {
    pub(crate) id: i64,
    pub(crate) exe: Option<Text>,
    pub(crate) file: Option<Text>,
    pub(crate) args: Text,
    pub(crate) cut: i64,
    pub(crate) redacted: bool,
}

/// What can change while a process lives, as numbers of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) command: Option<i64>,
    pub(crate) comm: i64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) cgroup: i64,
}

/// The columns of `lives` that [`LifeRow::read`] expects.
pub(crate) const LIFE_COLUMNS: &str = "id, pid, start, seen, parent, last_parent, origin, \
     kernel_thread, execs, first_command, first_comm, first_uid, first_gid, first_cgroup, command, \
     comm, uid, gid, cgroup, end, status, cpu, rss";

/// A row of `lives`.
#[derive(Clone, Debug)]
pub(crate) struct LifeRow {
    pub(crate) id: i64,
    pub(crate) pid: u32,
    pub(crate) start: i64,
    pub(crate) seen: Option<i64>,
    pub(crate) parent: Option<i64>,
    pub(crate) last_parent: Option<i64>,
    pub(crate) origin: Option<i64>,
    pub(crate) kernel_thread: bool,
    pub(crate) execs: u32,
    pub(crate) first: Facts,
    pub(crate) last: Facts,
    pub(crate) end: Option<i64>,
    /// Status, CPU time and memory.
    pub(crate) exit: Option<(i32, i64, i64)>,
}

impl LifeRow {
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let last = Facts {
            command: row.get(14)?,
            comm: row.get(15)?,
            uid: row.get(16)?,
            gid: row.get(17)?,
            cgroup: row.get(18)?,
        };
        let first = Facts {
            command: row.get::<_, Option<_>>(9)?.or(last.command),
            comm: row.get::<_, Option<_>>(10)?.unwrap_or(last.comm),
            uid: row.get::<_, Option<_>>(11)?.unwrap_or(last.uid),
            gid: row.get::<_, Option<_>>(12)?.unwrap_or(last.gid),
            cgroup: row.get::<_, Option<_>>(13)?.unwrap_or(last.cgroup),
        };
        let exit = match row.get::<_, Option<i32>>(20)? {
            Some(status) => Some((status, row.get(21)?, row.get(22)?)),
            None => None,
        };
        Ok(Self {
            id: row.get(0)?,
            pid: row.get(1)?,
            start: row.get(2)?,
            seen: row.get(3)?,
            parent: row.get(4)?,
            last_parent: row.get(5)?,
            origin: row.get(6)?,
            kernel_thread: row.get(7)?,
            execs: row.get(8)?,
            first,
            last,
            end: row.get(19)?,
            exit,
        })
    }

    /// Whether it was alive at `time`.
    pub(crate) fn is_alive_at(&self, time: i64) -> bool {
        self.start <= time && self.end.is_none_or(|end| end > time)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ExecRow {
    pub(crate) life: i64,
    pub(crate) time: i64,
    pub(crate) number: u32,
    pub(crate) facts: Facts,
}

#[derive(Clone, Debug)]
pub(crate) struct ChangeRow {
    pub(crate) life: i64,
    pub(crate) time: i64,
    pub(crate) parent: Option<i64>,
    pub(crate) facts: Facts,
}

#[derive(Clone, Debug)]
pub(crate) struct FailedExecRow {
    pub(crate) life: i64,
    pub(crate) time: i64,
    pub(crate) errno: i32,
    pub(crate) command: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct LossRow {
    pub(crate) since: i64,
    pub(crate) time: i64,
    pub(crate) cause: &'static str,
    pub(crate) count: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) since: i64,
    pub(crate) until: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) stream: u32,
    pub(crate) next_seq: u64,
}

/// What is to be written, all or nothing.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) clocks: Vec<(i64, i64)>,
    pub(crate) strings: Vec<(i64, Text)>,
    pub(crate) commands: Vec<CommandRow>,
    pub(crate) cgroups: Vec<(i64, Option<Text>)>,
    pub(crate) lives: Vec<LifeRow>,
    pub(crate) execs: Vec<ExecRow>,
    pub(crate) changes: Vec<ChangeRow>,
    pub(crate) failed_execs: Vec<FailedExecRow>,
    pub(crate) losses: Vec<LossRow>,
    /// Only their ends can change.
    pub(crate) spans: Vec<Span>,
    pub(crate) position: Option<Position>,
}

impl Batch {
    /// Whether it has nothing that happened.
    pub(crate) fn is_empty(&self) -> bool {
        self.clocks.is_empty()
            && self.lives.is_empty()
            && self.execs.is_empty()
            && self.changes.is_empty()
            && self.failed_execs.is_empty()
            && self.losses.is_empty()
            && self.spans.is_empty()
    }
}
