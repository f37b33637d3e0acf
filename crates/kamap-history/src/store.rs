//! A file of a history: opening it, and writing what was recorded.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, params};

use crate::folder::system;
use crate::rows::{Batch, Boot, ChangeRow, ExecRow};
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

    /// Opens a file to read it as it is now, whatever is added later.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let store = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let begun = store.connection.execute_batch("BEGIN");
        begun.map_err(store.error())?;
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
            row.end,
            row.exit.map(|(status, ..)| status),
            row.exit.map(|(_, cpu, _)| cpu),
            row.exit.map(|(.., rss)| rss),
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
