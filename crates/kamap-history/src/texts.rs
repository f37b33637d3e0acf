//! Reading texts, and the processes that have them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kamap::{Cgroup, Origin, Process};
use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension, Row};

use crate::intern::{ARGS_CUT, EXE_CUT, FILE_CUT, decode_args};
use crate::store::{Facts, Store, Text};

/// The columns of `lives` that [`LifeColumns::read`] expects.
pub(crate) const LIFE_COLUMNS: &str = "id, pid, start, seen, parent, last_parent, origin, \
     kernel_thread, execs, first_command, first_comm, first_uid, first_gid, first_cgroup, command, \
     comm, uid, gid, cgroup, end, status, cpu, rss";

/// A row of `lives`.
#[derive(Clone, Debug)]
pub(crate) struct LifeColumns {
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

impl LifeColumns {
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

/// A row of `commands`.
#[derive(Clone, Debug, Default)]
struct Command {
    exe: Option<Vec<u8>>,
    file: Option<Vec<u8>>,
    args: Vec<Vec<u8>>,
    cut: i64,
    redacted: bool,
}

/// The texts of a file, each read once.
#[derive(Debug)]
pub(crate) struct Texts<'a> {
    store: &'a Store,
    strings: HashMap<i64, Vec<u8>>,
    commands: HashMap<i64, Command>,
    cgroups: HashMap<i64, Option<Arc<Cgroup>>>,
}

impl<'a> Texts<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self {
            store,
            strings: HashMap::new(),
            commands: HashMap::new(),
            cgroups: HashMap::new(),
        }
    }

    pub(crate) fn string(&mut self, id: i64) -> rusqlite::Result<&[u8]> {
        if !self.strings.contains_key(&id) {
            let mut query = self
                .store
                .connection
                .prepare_cached("SELECT text FROM strings WHERE id = ?")?;
            let text = query
                .query_row([id], |row| Ok(bytes(row.get_ref(0)?)))
                .optional()?;
            self.strings.insert(id, text.flatten().unwrap_or_default());
        }
        Ok(&self.strings[&id])
    }

    fn command(&mut self, id: i64) -> rusqlite::Result<&Command> {
        if !self.commands.contains_key(&id) {
            let mut query = self.store.connection.prepare_cached(
                "SELECT exe, file, args, cut, redacted FROM commands WHERE id = ?",
            )?;
            let command = query.query_row([id], |row| {
                let args = match row.get_ref(2)? {
                    ValueRef::Text(json) => Text::Utf8(String::from_utf8_lossy(json).into_owned()),
                    ValueRef::Blob(bytes) => Text::Bytes(bytes.to_vec()),
                    _ => Text::Utf8(String::new()),
                };
                Ok(Command {
                    exe: bytes(row.get_ref(0)?),
                    file: bytes(row.get_ref(1)?),
                    args: decode_args(&args),
                    cut: row.get(3)?,
                    redacted: row.get(4)?,
                })
            });
            self.commands
                .insert(id, command.optional()?.unwrap_or_default());
        }
        Ok(&self.commands[&id])
    }

    fn cgroup(&mut self, id: i64) -> rusqlite::Result<Option<Arc<Cgroup>>> {
        if let Some(known) = self.cgroups.get(&id) {
            return Ok(known.clone());
        }
        let mut query = self
            .store
            .connection
            .prepare_cached("SELECT path FROM cgroups WHERE id = ?")?;
        let path = query
            .query_row([id], |row| Ok(bytes(row.get_ref(0)?)))
            .optional()?;
        let path = path.flatten().map(OsString::from_vec);
        let cgroup = path.map(|path| Arc::new(Cgroup::new(path)));
        self.cgroups.insert(id, cgroup.clone());
        Ok(cgroup)
    }

    /// Whether something was left out of the arguments of a command.
    pub(crate) fn is_redacted(&mut self, command: Option<i64>) -> rusqlite::Result<bool> {
        command.map_or(Ok(false), |id| Ok(self.command(id)?.redacted))
    }

    /// The process of a life with these facts, but for its parent.
    pub(crate) fn process(
        &mut self,
        life: &LifeColumns,
        facts: &Facts,
    ) -> rusqlite::Result<Process> {
        let mut process = Process::new(life.pid, from_nanos(life.start));
        if let Some(id) = facts.command {
            let command = self.command(id)?;
            let path = |bytes: &Vec<u8>| PathBuf::from(OsString::from_vec(bytes.clone()));
            if let Some(exe) = &command.exe {
                process = process.with_exe(path(exe));
            }
            if let Some(file) = &command.file {
                process = process.with_file(path(file));
                // The file is known of programs only that were executed while somebody watched.
                process.program_seen = true;
            }
            let args = command
                .args
                .iter()
                .map(|arg| OsString::from_vec(arg.clone()));
            process = process.with_args(args);
            process.exe_cut = command.cut & EXE_CUT != 0;
            process.file_cut = command.cut & FILE_CUT != 0;
            process.args_cut = command.cut & ARGS_CUT != 0;
        }
        let mut process = process.with_comm(self.string(facts.comm)?);
        if let Some(cgroup) = self.cgroup(facts.cgroup)? {
            process = process.with_cgroup(cgroup);
        }
        process.uid = facts.uid;
        process.gid = facts.gid;
        process.cgroup_id = facts.cgroup.cast_unsigned();
        process.kernel_thread = life.kernel_thread;
        process.execs = life.execs;
        process.origin = match life.origin {
            Some(1) => Origin::Fork,
            Some(2) => Origin::Exec,
            _ => Origin::Seed,
        };
        Ok(process)
    }
}

/// Text or a blob; `None` if it is NULL.
pub(crate) fn bytes(value: ValueRef<'_>) -> Option<Vec<u8>> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
        _ => None,
    }
}

pub(crate) fn from_nanos(time: i64) -> Duration {
    Duration::from_nanos(time.max(0).cast_unsigned())
}
