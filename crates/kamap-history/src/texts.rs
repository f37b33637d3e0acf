//! Reading texts, and the processes that have them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use kamap::{Cgroup, Origin, Process};
use rusqlite::OptionalExtension;
use rusqlite::types::ValueRef;

use crate::intern::{ARGS_CUT, EXE_CUT, FILE_CUT, decode_args};
use crate::rows::{Facts, LifeRow, Text};
use crate::store::Store;
use crate::time::from_nanos;

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
    pub(crate) fn process(&mut self, life: &LifeRow, facts: &Facts) -> rusqlite::Result<Process> {
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
