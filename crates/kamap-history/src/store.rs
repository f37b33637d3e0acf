//! A file of a history: opening it, and writing what was recorded.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, params};

use crate::folder::system;
use crate::{Error, Result};

/// "kmap"
const APPLICATION_ID: i32 = 0x6b6d_6170;

/// The version of the format, in `PRAGMA user_version`.
pub(crate) const VERSION: i32 = 1;

/// Bytes in a page of a file.
const PAGE: u64 = 4096;

/// How long to wait for others who use the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// An open file.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
}

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
    pub(crate) end: Option<EndRow>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct EndRow {
    pub(crate) time: i64,
    /// Status, CPU time and memory, unless its exit was lost.
    pub(crate) exit: Option<(i32, i64, i64)>,
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

impl Store {
    /// Sets up a file, and gives it its name when it is whole: nobody ever sees half of one. `unfinished` is
    /// an empty file.
    pub(crate) fn create(unfinished: &Path, path: &Path, boot: &Boot, since: i64) -> Result<Self> {
        let store = Self::connect(unfinished, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let create = || -> rusqlite::Result<()> {
            // So that there is no other file beside it.
            store
                .connection
                .pragma_update(None, "journal_mode", "MEMORY")?;
            store
                .connection
                .pragma_update(None, "application_id", APPLICATION_ID)?;
            let transaction = store.connection.unchecked_transaction()?;
            transaction.execute_batch(include_str!("schema.sql"))?;
            transaction.execute(
                "INSERT INTO boots VALUES (?, ?, ?, ?)",
                params![boot.boot_id, boot.host, boot.version, since],
            )?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.commit()
        };
        create().map_err(store.error())?;
        drop(store);
        fs::rename(unfinished, path).map_err(system("rename", unfinished))?;
        let store = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        store.configure().map_err(store.error())?;
        Ok(store)
    }

    /// Opens a file to write on. [`Error::Sqlite`] if it is damaged.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let store = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        store.check_version()?;
        let check = || -> rusqlite::Result<String> {
            store.configure()?;
            store
                .connection
                .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        };
        let found = check().map_err(store.error())?;
        if found != "ok" {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            let damaged = rusqlite::Error::SqliteFailure(code, Some(found));
            return Err(store.error()(damaged));
        }
        Ok(store)
    }

    /// Opens a file to read it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let store = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        store.check_version()?;
        Ok(store)
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self> {
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX);
        let connection = connection
            .and_then(|connection| connection.busy_timeout(PATIENCE).map(|()| connection));
        match connection {
            Ok(connection) => {
                connection.set_prepared_statement_cache_capacity(64);
                Ok(Self {
                    path: path.to_owned(),
                    connection,
                })
            }
            Err(source) => Err(Error::Sqlite {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Lets the file beside the database have only so many bytes before they are moved into it.
    pub(crate) fn keep_short(&self, bytes: u64) -> Result<()> {
        self.connection
            .pragma_update(None, "wal_autocheckpoint", (bytes / PAGE) as i64)
            .map_err(self.error())
    }

    /// A crash of the process loses nothing; one of the machine can lose what was written last.
    fn configure(&self) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "journal_mode", "WAL")?;
        self.connection.pragma_update(None, "synchronous", "NORMAL")
    }

    fn check_version(&self) -> Result<()> {
        let pragma = |name| {
            self.connection
                .pragma_query_value(None, name, |row| row.get::<_, i32>(0))
        };
        let application = pragma("application_id").map_err(self.error())?;
        let found = pragma("user_version").map_err(self.error())?;
        if application != APPLICATION_ID {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB);
            let reason = "it is not a history of kamap".to_owned();
            return Err(self.error()(rusqlite::Error::SqliteFailure(
                code,
                Some(reason),
            )));
        }
        match found {
            VERSION => Ok(()),
            found => Err(Error::OtherVersion {
                path: self.path.clone(),
                found,
                known: VERSION,
            }),
        }
    }

    /// Names this file in an error.
    pub(crate) fn error(&self) -> impl FnOnce(rusqlite::Error) -> Error {
        let path = self.path.clone();
        move |source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Error::NoRoom { path },
            _ if is_full(&source) => Error::NoRoom { path },
            _ => Error::Sqlite { path, source },
        }
    }

    /// Writes all of `batch`, or nothing.
    pub(crate) fn write(&self, batch: &Batch) -> Result<()> {
        let write = || -> rusqlite::Result<()> {
            let transaction = self.connection.unchecked_transaction()?;
            insert(&transaction, batch)?;
            transaction.commit()
        };
        write().map_err(self.error())
    }

    /// Makes it one file that anybody can read who may, also on a file system that is read-only.
    pub(crate) fn close(self) -> Result<()> {
        let delete = self
            .connection
            .pragma_update(None, "journal_mode", "DELETE");
        match delete {
            // Somebody reads it, and it can be read as it is.
            Err(err) if err.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
                Ok(())
            }
            deleted => deleted.map_err(self.error()),
        }
    }
}

/// Whether this is how SQLite reports that the file beside the database cannot grow.
fn is_full(err: &rusqlite::Error) -> bool {
    let code = err.sqlite_error().map(|err| err.extended_code);
    code == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}

fn insert(to: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let mut clocks = to.prepare_cached("INSERT OR REPLACE INTO clocks VALUES (?, ?)")?;
    for (since, boot_time) in &batch.clocks {
        clocks.execute(params![since, boot_time])?;
    }
    let mut strings = to.prepare_cached("INSERT INTO strings VALUES (?, ?)")?;
    for (id, text) in &batch.strings {
        strings.execute(params![id, text])?;
    }
    let mut commands = to.prepare_cached("INSERT INTO commands VALUES (?, ?, ?, ?, ?, ?)")?;
    for row in &batch.commands {
        commands.execute(params![
            row.id,
            row.exe,
            row.file,
            row.args,
            row.cut,
            row.redacted
        ])?;
    }
    let mut cgroups = to.prepare_cached(
        // One that has vanished keeps the path that it had.
        "INSERT INTO cgroups VALUES (?, ?) ON CONFLICT DO UPDATE SET path = coalesce(excluded.path, path)",
    )?;
    for (id, path) in &batch.cgroups {
        cgroups.execute(params![id, path])?;
    }
    let mut lives = to.prepare_cached(
        "INSERT OR REPLACE INTO lives VALUES \
         (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    )?;
    for row in &batch.lives {
        let (first, last) = (&row.first, &row.last);
        let exit = row.end.and_then(|end| end.exit);
        lives.execute(params![
            row.id,
            row.pid,
            row.start,
            row.seen,
            row.parent,
            row.last_parent,
            row.origin,
            row.kernel_thread,
            row.execs,
            first.command.filter(|_| first.command != last.command),
            (first.comm != last.comm).then_some(first.comm),
            (first.uid != last.uid).then_some(first.uid),
            (first.gid != last.gid).then_some(first.gid),
            (first.cgroup != last.cgroup).then_some(first.cgroup),
            last.command,
            last.comm,
            last.uid,
            last.gid,
            last.cgroup,
            row.end.map(|end| end.time),
            exit.map(|(status, ..)| status),
            exit.map(|(_, cpu, _)| cpu),
            exit.map(|(.., rss)| rss),
        ])?;
    }
    let mut execs =
        to.prepare_cached("INSERT OR REPLACE INTO execs VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?;
    for ExecRow {
        life,
        time,
        number,
        facts,
    } in &batch.execs
    {
        execs.execute(params![
            life,
            time,
            number,
            facts.command,
            facts.comm,
            facts.uid,
            facts.gid,
            facts.cgroup
        ])?;
    }
    let mut changes =
        to.prepare_cached("INSERT OR REPLACE INTO changes VALUES (?, ?, ?, ?, ?, ?, ?)")?;
    for ChangeRow {
        life,
        time,
        parent,
        facts,
    } in &batch.changes
    {
        changes.execute(params![
            life,
            time,
            parent,
            facts.comm,
            facts.uid,
            facts.gid,
            facts.cgroup
        ])?;
    }
    let mut failed =
        to.prepare_cached("INSERT OR REPLACE INTO failed_execs VALUES (?, ?, ?, ?)")?;
    for row in &batch.failed_execs {
        failed.execute(params![row.life, row.time, row.errno, row.command])?;
    }
    let mut losses = to.prepare_cached("INSERT INTO losses VALUES (?, ?, ?, ?)")?;
    for row in &batch.losses {
        losses.execute(params![row.since, row.time, row.cause, row.count])?;
    }
    let mut spans = to.prepare_cached("INSERT OR REPLACE INTO spans VALUES (?, ?)")?;
    for span in &batch.spans {
        spans.execute(params![span.since, span.until])?;
    }
    if let Some(position) = batch.position {
        to.prepare_cached("DELETE FROM position")?.execute([])?;
        to.prepare_cached("INSERT INTO position VALUES (?, ?)")?
            .execute(params![position.stream, position.next_seq.cast_signed()])?;
    }
    Ok(())
}
