//! A file of a history that is read: its times, and the lives in it.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{SystemTime, UNIX_EPOCH};

use kamap::{Clock, Process};
use rusqlite::{OptionalExtension, Params, Row};

use crate::rows::{ChangeRow, ExecRow, Facts, LIFE_COLUMNS, LifeRow, Span};
use crate::store::Store;
use crate::texts::Texts;
use crate::time::{from_nanos, nanos};
use crate::{Error, Result};

/// By how much the times of processes that were seen one after the other can be out of order: they are
/// seen a moment after they began to start.
const DISORDER: i64 = 1_000_000_000;

#[derive(Debug)]
pub(crate) struct File {
    pub(crate) store: Store,
    pub(crate) boot_id: String,
    /// When it began.
    pub(crate) since: i64,
    /// By the clock as it was set from when on the machine has booted when.
    clocks: Vec<(i64, i64)>,
    pub(crate) spans: Vec<Span>,
    /// Why it cannot be read any further, if that was noticed.
    pub(crate) damage: OnceCell<Error>,
}

impl File {
    /// `None` if there is nothing in it yet.
    pub(crate) fn open(store: Store) -> Result<Option<Self>> {
        match describe(&store).map_err(store.error())? {
            Some((boot_id, since, clocks, spans)) => Ok(Some(Self {
                store,
                boot_id,
                since,
                clocks,
                spans,
                damage: OnceCell::new(),
            })),
            None => Ok(None),
        }
    }

    /// What was read; `None` if the file turned out to be damaged, which is noted.
    pub(crate) fn unless_damaged<T>(&self, read: Result<T>) -> Result<Option<T>> {
        match read {
            Err(err) if err.is_damage() => {
                let _ = self.damage.set(err);
                Ok(None)
            }
            read => read.map(Some),
        }
    }

    /// Hands out each row that a query finds; no more where the file turns out to be damaged.
    pub(crate) fn each(
        &self,
        query: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> Result<()> {
        let each = || -> rusqlite::Result<()> {
            let mut query = self.store.connection.prepare_cached(query)?;
            let mut rows = query.query(params)?;
            while let Some(row) = rows.next()? {
                read(row)?;
            }
            Ok(())
        };
        let read = each().map_err(self.store.error());
        self.unless_damaged(read).map(|_| ())
    }

    /// What a query finds, each row read by `read`.
    pub(crate) fn rows<T>(
        &self,
        query: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        self.each(query, params, |row| {
            found.push(read(row)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// The clock by which `time`, since boot, was taken.
    pub(crate) fn clock(&self, time: i64) -> Clock {
        let later = self.clocks.partition_point(|&(since, _)| since <= time);
        let (_, boot_time) = self.clocks[later.saturating_sub(1)];
        Clock::booted_at(UNIX_EPOCH + from_nanos(boot_time))
    }

    /// The time of day at `time`, since boot.
    pub(crate) fn system_time(&self, time: i64) -> SystemTime {
        self.clock(time).system_time(from_nanos(time))
    }

    /// The last moment of this boot, since boot, at which it was `time` or earlier. Before the boot it is
    /// negative.
    pub(crate) fn since_boot(&self, time: SystemTime) -> i64 {
        let time = nanos(time.duration_since(UNIX_EPOCH).unwrap_or_default());
        let mut found = time - self.clocks[0].1;
        for (at, &(since, boot_time)) in self.clocks.iter().enumerate() {
            let moment = time - boot_time;
            let next = self.clocks.get(at + 1).map_or(i64::MAX, |&(next, _)| next);
            if moment >= since {
                found = moment.min(next - 1);
            }
        }
        found
    }

    /// The first moment of this boot, since boot, at which it was `time` or later. Before the boot it is
    /// negative.
    pub(crate) fn first_since_boot(&self, time: SystemTime) -> i64 {
        let time = nanos(time.duration_since(UNIX_EPOCH).unwrap_or_default());
        for (at, &(since, boot_time)) in self.clocks.iter().enumerate() {
            let moment = time - boot_time;
            match self.clocks.get(at + 1) {
                Some(&(next, _)) if moment >= next => {}
                // The clock as it was set first counts for what was before, too.
                _ if at == 0 => return moment,
                _ => return moment.max(since),
            }
        }
        i64::MAX
    }

    /// The last life that was first seen by `time`.
    fn last_seen_by(&self, time: i64) -> Result<i64> {
        // In one query with both, SQLite would read all rows.
        let bounds = "SELECT (SELECT min(id) FROM lives), (SELECT max(id) FROM lives)";
        let bounds = self.rows(bounds, [], |row| {
            Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
        })?;
        let Some(&(Some(first), Some(last))) = bounds.first() else {
            return Ok(0);
        };
        let (mut low, mut high) = (first - 1, last);
        while low < high {
            let middle = low + (high - low + 1) / 2;
            let seen = self.rows(
                "SELECT coalesce(seen, start) FROM lives WHERE id >= ? ORDER BY id LIMIT 1",
                [middle],
                |row| row.get::<_, i64>(0),
            )?;
            match seen.first() {
                Some(&seen) if seen <= time => low = middle,
                _ => high = middle - 1,
            }
        }
        Ok(low)
    }

    /// The lives that ended after `from` and by `to`, in that order.
    pub(crate) fn ended(
        &self,
        from: i64,
        to: i64,
        mut each: impl FnMut(LifeRow) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let query =
            format!("SELECT {LIFE_COLUMNS} FROM lives WHERE end > ? AND end <= ? ORDER BY end, id");
        let query = self.store.connection.prepare_cached(&query);
        let query = query.map_err(self.store.error());
        let Some(mut query) = self.unless_damaged(query)? else {
            return Ok(ControlFlow::Continue(()));
        };
        let mut rows = query.query([from, to]).map_err(self.store.error())?;
        loop {
            let row = rows
                .next()
                .and_then(|row| row.map(LifeRow::read).transpose())
                .map_err(self.store.error());
            let Some(Some(life)) = self.unless_damaged(row)? else {
                return Ok(ControlFlow::Continue(()));
            };
            if each(life)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    /// The lives that had not ended when the file did, of those that began by `to`.
    pub(crate) fn unended(&self, to: i64) -> Result<Vec<LifeRow>> {
        let query = format!(
            "SELECT {LIFE_COLUMNS} FROM lives WHERE end IS NULL AND start <= ? ORDER BY id"
        );
        self.rows(&query, [to], LifeRow::read)
    }

    /// The lives that began after `from` and by `to`, and did not end by then in this file.
    pub(crate) fn begun(&self, from: i64, to: i64) -> Result<Vec<LifeRow>> {
        let first = self.last_seen_by(from.saturating_sub(DISORDER))?;
        let last = self.last_seen_by(to.saturating_add(DISORDER))?;
        // The index of ends would find more.
        let query = format!(
            "SELECT {LIFE_COLUMNS} FROM lives WHERE id > ? AND id <= ? AND start > ? AND start <= ? \
             AND (+end IS NULL OR +end > ?)"
        );
        self.rows(&query, [first, last, from, to, to], LifeRow::read)
    }

    /// The lives that were there at `time`.
    pub(crate) fn alive(&self, time: i64) -> Result<Vec<LifeRow>> {
        // Where something was lost, processes may have been seen later only.
        let last = match self.is_exact(time) {
            true => self.last_seen_by(time.saturating_add(DISORDER))?,
            false => i64::MAX,
        };
        let mut lives = Vec::new();
        for end in ["IS NULL", "> ?1"] {
            let query = format!(
                "SELECT {LIFE_COLUMNS} FROM lives WHERE end {end} AND id <= ?2 AND start <= ?1"
            );
            lives.extend(self.rows(&query, [time, last], LifeRow::read)?);
        }
        Ok(lives)
    }

    /// Whether all was recorded at `time`.
    pub(crate) fn is_exact(&self, time: i64) -> bool {
        let mut spans = self.spans.iter();
        spans.any(|span| (span.since..=span.until).contains(&time))
    }

    pub(crate) fn life(&self, id: i64) -> Result<Option<LifeRow>> {
        let query = format!("SELECT {LIFE_COLUMNS} FROM lives WHERE id = ?");
        Ok(self.rows(&query, [id], LifeRow::read)?.pop())
    }

    /// The lives with this PID, the youngest first.
    pub(crate) fn of_pid(&self, pid: u32) -> Result<Vec<LifeRow>> {
        let query = format!("SELECT {LIFE_COLUMNS} FROM lives WHERE pid = ? ORDER BY id DESC");
        self.rows(&query, [pid], LifeRow::read)
    }

    /// The execs of a life, the first one first.
    pub(crate) fn execs(&self, life: i64) -> Result<Vec<ExecRow>> {
        let query = "SELECT time, number, command, comm, uid, gid, cgroup FROM execs WHERE life = ? \
                     ORDER BY time";
        self.rows(query, [life], |row| {
            Ok(ExecRow {
                life,
                time: row.get(0)?,
                number: row.get(1)?,
                facts: Facts {
                    command: row.get(2)?,
                    comm: row.get(3)?,
                    uid: row.get(4)?,
                    gid: row.get(5)?,
                    cgroup: row.get(6)?,
                },
            })
        })
    }

    /// What changed in a life without an exec. The facts lack the command.
    pub(crate) fn changes(&self, life: i64) -> Result<Vec<ChangeRow>> {
        let query =
            "SELECT time, parent, comm, uid, gid, cgroup FROM changes WHERE life = ? ORDER BY time";
        self.rows(query, [life], |row| {
            let facts = Facts {
                command: None,
                comm: row.get(2)?,
                uid: row.get(3)?,
                gid: row.get(4)?,
                cgroup: row.get(5)?,
            };
            Ok(ChangeRow {
                life,
                time: row.get(0)?,
                parent: row.get(1)?,
                facts,
            })
        })
    }

    /// What was lost after `from` and by `to`: the causes, and how much for each.
    pub(crate) fn losses(&self, from: i64, to: i64) -> Result<Vec<(String, u64)>> {
        let query = "SELECT cause, count FROM losses WHERE since >= ? AND since < ?";
        self.rows(query, [from, to], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
        })
    }

    /// Reads texts, each once.
    pub(crate) fn texts(&self) -> Texts<'_> {
        Texts::new(&self.store)
    }

    /// The process of a life with these facts, but for its parent.
    pub(crate) fn process(
        &self,
        texts: &mut Texts<'_>,
        life: &LifeRow,
        facts: &Facts,
    ) -> Result<Process> {
        texts.process(life, facts).map_err(self.store.error())
    }
}

type Described = (String, i64, Vec<(i64, i64)>, Vec<Span>);

fn describe(store: &Store) -> rusqlite::Result<Option<Described>> {
    let connection = &store.connection;
    let boot = "SELECT boot_id, since FROM boots";
    let boot = connection.query_row(boot, [], |row| Ok((row.get(0)?, row.get(1)?)));
    let Some((boot_id, since)) = boot.optional()? else {
        return Ok(None);
    };
    let mut clocks = connection.prepare("SELECT since, boot_time FROM clocks ORDER BY since")?;
    let clocks = clocks.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let clocks = clocks.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut spans = connection.prepare("SELECT since, until FROM spans ORDER BY since")?;
    let spans = spans.query_map([], |row| {
        Ok(Span {
            since: row.get(0)?,
            until: row.get(1)?,
        })
    })?;
    let spans = spans.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok((!clocks.is_empty()).then_some((boot_id, since, clocks, spans)))
}

/// Looks lives of parents up, each once.
#[derive(Debug, Default)]
pub(crate) struct Parents {
    known: HashMap<i64, Option<(u32, i64)>>,
}

impl Parents {
    /// PID and start of a life, which is in the last of `files` or in one before.
    pub(crate) fn identity(&mut self, files: &[File], id: i64) -> Result<Option<(u32, i64)>> {
        if let Some(known) = self.known.get(&id) {
            return Ok(*known);
        }
        let mut found = None;
        for file in files.iter().rev() {
            found = file.life(id)?.map(|life| (life.pid, life.start));
            if found.is_some() {
                break;
            }
        }
        self.known.insert(id, found);
        Ok(found)
    }

    /// Sets the parent of a process.
    pub(crate) fn set(
        &mut self,
        process: &mut Process,
        files: &[File],
        id: Option<i64>,
    ) -> Result<()> {
        let Some(id) = id else {
            return Ok(());
        };
        if let Some((pid, start)) = self.identity(files, id)? {
            process.ppid = pid;
            process.parent_start_time = Some(from_nanos(start));
        }
        Ok(())
    }
}
