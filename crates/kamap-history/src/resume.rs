//! What a recorder needs to go on in a file.

use rusqlite::{OptionalExtension, Row};

use crate::Result;
use crate::alive::{Life, MOST_ENDED};
use crate::rows::{LIFE_COLUMNS, LifeRow, Position, Span};
use crate::store::Store;
use crate::texts::Texts;
use crate::time::from_nanos;

#[derive(Debug)]
pub(crate) struct Resume {
    pub(crate) boot_id: String,
    pub(crate) boot_time: Option<i64>,
    pub(crate) last_id: Option<i64>,
    pub(crate) last_string: i64,
    pub(crate) last_command: i64,
    /// The processes that had not ended.
    pub(crate) lives: Vec<Life>,
    /// The last ones that had, by PID and start, the first one first.
    pub(crate) ended: Vec<((u32, i64), i64)>,
    pub(crate) span: Option<Span>,
    pub(crate) position: Option<Position>,
}

impl Resume {
    pub(crate) fn read(store: &Store) -> Result<Self> {
        read(store).map_err(store.error())
    }
}

fn read(store: &Store) -> rusqlite::Result<Resume> {
    let connection = &store.connection;
    let number = |query: &str| connection.query_row(query, [], |row| row.get::<_, Option<i64>>(0));
    let boot_id = connection.query_row("SELECT boot_id FROM boots", [], |row| row.get(0))?;
    let span = "SELECT since, until FROM spans ORDER BY since DESC LIMIT 1";
    let span = connection.query_row(span, [], |row| {
        Ok(Span {
            since: row.get(0)?,
            until: row.get(1)?,
        })
    });
    let position = connection.query_row("SELECT stream, next_seq FROM position", [], |row| {
        Ok(Position {
            stream: row.get(0)?,
            next_seq: row.get::<_, i64>(1)?.cast_unsigned(),
        })
    });
    let clock = "SELECT boot_time FROM clocks ORDER BY since DESC LIMIT 1";
    Ok(Resume {
        boot_id,
        boot_time: connection
            .query_row(clock, [], |row| row.get(0))
            .optional()?,
        last_id: number("SELECT max(id) FROM lives")?,
        last_string: number("SELECT max(id) FROM strings")?.unwrap_or_default(),
        last_command: number("SELECT max(id) FROM commands")?.unwrap_or_default(),
        lives: lives(store)?,
        ended: ended(store)?,
        span: span.optional()?,
        position: position.optional()?,
    })
}

fn ended(store: &Store) -> rusqlite::Result<Vec<((u32, i64), i64)>> {
    let query = "SELECT pid, start, id FROM lives WHERE end IS NOT NULL ORDER BY end DESC LIMIT ?";
    let mut query = store.connection.prepare(query)?;
    let ended = query.query_map([MOST_ENDED as i64], |row| {
        Ok(((row.get(0)?, row.get(1)?), row.get(2)?))
    })?;
    let mut ended = ended.collect::<rusqlite::Result<Vec<_>>>()?;
    ended.reverse();
    Ok(ended)
}

fn lives(store: &Store) -> rusqlite::Result<Vec<Life>> {
    let mut texts = Texts::new(store);
    let query = format!("SELECT {LIFE_COLUMNS} FROM lives WHERE end IS NULL");
    let mut query = store.connection.prepare(&query)?;
    let columns = query.query_map([], LifeRow::read)?;
    let columns = columns.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut parent = store
        .connection
        .prepare("SELECT pid, start FROM lives WHERE id = ?")?;
    let mut last_exec = store
        .connection
        .prepare("SELECT max(time) FROM execs WHERE life = ?")?;
    let mut lives = Vec::with_capacity(columns.len());
    for life in columns {
        let mut process = texts.process(&life, &life.last)?;
        let identity = |row: &Row<'_>| Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?));
        if let Some(id) = life.last_parent.or(life.parent)
            && let Some((pid, start)) = parent.query_row([id], identity).optional()?
        {
            process.ppid = pid;
            process.parent_start_time = Some(from_nanos(start));
        }
        let time: Option<i64> = last_exec.query_row([life.id], |row| row.get(0))?;
        process.last_exec_time = time.map(from_nanos);
        lives.push(Life {
            id: life.id,
            redacted: texts.is_redacted(life.last.command)?,
            seen: life.seen,
            parent: life.parent,
            last_parent: life.last_parent,
            is_only_parent: life.origin.is_none(),
            first: life.first,
            last: life.last,
            process,
        });
    }
    Ok(lives)
}
