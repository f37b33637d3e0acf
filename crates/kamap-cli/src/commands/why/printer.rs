//! A chain of ancestors, as text or as JSON.

use std::io::{self, Write};
use std::time::Duration;

use kamap::json::Lines;
use kamap::{Event, EventKind, Process, ProcessAt};
use kamap_history::{End, Life, Link};
use serde_json::{Value, json};

use crate::render::{
    Cells, Charset, Column, VERSION, columns, date_and_time, duration, json_line, status,
};

/// How many execs of a process are shown; of more, the last ones.
const EXECS: usize = 5;

/// Prints a paragraph for each process.
pub(super) fn text(out: &mut impl Write, chain: &[Link]) -> io::Result<()> {
    let printer = Printer {
        cells: Cells::new(Charset::of_output()),
        columns: columns(["user", "command"]),
    };
    for (at, link) in chain.iter().enumerate() {
        printer.link(out, link, at == 0)?;
        let is_last = at + 1 == chain.len();
        if is_last && let Some((pid, _)) = link.life.started_by.filter(|&(pid, _)| pid != 0) {
            writeln!(out, "started by PID {pid}, of which nothing more is known")?;
        }
    }
    Ok(())
}

struct Printer {
    cells: Cells,
    columns: [Column; 2],
}

impl Printer {
    fn link(&self, out: &mut impl Write, link: &Link, is_first: bool) -> io::Result<()> {
        let life = &link.life;
        let process = &life.process;
        let by = if is_first { "" } else { "started by " };
        let comm = self.cells.name(&process.comm());
        let [user, command] = self.cells(process);
        let place = match process
            .cgroup()
            .and_then(|cgroup| cgroup.user_unit().or(cgroup.unit()))
        {
            Some(unit) => format!(", unit {}", self.cells.name(unit)),
            None => String::new(),
        };
        writeln!(
            out,
            "{by}PID {} ({comm}), user {user}{place}: {}",
            process.pid,
            self.end(life)
        )?;
        let started = time_of(life, process.start_time);
        match life.first_seen {
            None => writeln!(out, "    {started}  forked")?,
            Some(_) => writeln!(out, "    {started}  started, before it was recorded")?,
        }
        let hidden = link.execs.len().saturating_sub(EXECS);
        if hidden > 0 {
            writeln!(out, "    {hidden} execs, then")?;
        }
        for (at, process) in &link.execs[hidden..] {
            let [user, command] = self.cells(process);
            let time = time_of(life, *at);
            writeln!(out, "    {time}  executed, as {user}: {command}")?;
        }
        if link.execs.is_empty() {
            writeln!(out, "    runs {command}")?;
        }
        let parent = process.parent_start_time.map(|start| (process.ppid, start));
        if life.started_by.is_some() && parent != life.started_by && parent.is_some() {
            writeln!(out, "    adopted by PID {}", process.ppid)?;
        }
        Ok(())
    }

    fn cells(&self, process: &Process) -> [String; 2] {
        let at = ProcessAt::alive(process, process.start_time);
        self.columns.map(|column| self.cells.text(column, &at))
    }

    fn end(&self, life: &Life) -> String {
        let lived = |end: Duration| duration(end.saturating_sub(life.process.start_time));
        match &life.end {
            End::Exit(time, exit) => format!(
                "ended {} after {}, status {}",
                time_of(life, *time),
                lived(*time),
                status(exit)
            ),
            End::Unknown(time) => format!("ended by {}, how is not known", time_of(life, *time)),
            _ => "running".to_owned(),
        }
    }
}

fn time_of(life: &Life, since_boot: Duration) -> String {
    date_and_time(life.clock.system_time(since_boot))
}

/// Prints one object.
pub(super) fn json(out: &mut impl Write, chain: &[Link]) -> io::Result<()> {
    let links = chain
        .iter()
        .map(link_object)
        .collect::<io::Result<Vec<_>>>()?;
    json_line(out, &json!({"v": VERSION, "type": "why", "chain": links}))
}

fn link_object(link: &Link) -> io::Result<Value> {
    let life = &link.life;
    let lines = Lines::new(life.clock, &*life.boot_id);
    let end = match &life.end {
        End::Exit(time, exit) => Some((*time, Some(exit))),
        End::Unknown(time) => Some((*time, None)),
        _ => None,
    };
    let mut object = serde_json::to_value(lines.life(&life.process, end))?;
    let execs = link.execs.iter().map(|(time, process)| {
        let event = Event::new(0, *time, process.clone(), EventKind::Exec);
        let mut exec = serde_json::to_value(lines.event(&event))?;
        // Who was the parent then is not recorded.
        without(
            &mut exec,
            &[
                "v",
                "type",
                "seq",
                "pid",
                "start_time",
                "start_boottime_ns",
                "ppid",
                "parent",
            ],
        );
        Ok(exec)
    });
    let execs = execs.collect::<io::Result<Vec<_>>>()?;
    without(&mut object, &["v", "type"]);
    if let Value::Object(object) = &mut object {
        object.insert("execs".to_owned(), execs.into());
        object.insert("fork_seen".to_owned(), life.first_seen.is_none().into());
        let starter = life
            .started_by
            .map(|(pid, start)| json!({"pid": pid, "start_boottime_ns": start.as_nanos() as u64}));
        object.insert("started_by".to_owned(), starter.into());
    }
    Ok(object)
}

fn without(object: &mut Value, names: &[&str]) {
    if let Value::Object(object) = object {
        for name in names {
            object.remove(*name);
        }
    }
}
