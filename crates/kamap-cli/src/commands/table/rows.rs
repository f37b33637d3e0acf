//! The rows of a table, in their order.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

use kamap::{FieldValue, Process, ProcessAt};

use super::look::{Look, SortKey};
use super::view::View;
use crate::render::{Cells, Charset, Column, tree_lines};

/// How deep a tree is drawn; what is deeper stands at this depth.
const MAX_DEPTH: usize = 32;

/// Identifies a process: PID and start time.
pub(super) type Id = (u32, Duration);

pub(super) fn id(process: &Process) -> Id {
    (process.pid, process.start_time)
}

fn parent(process: &Process) -> Option<Id> {
    Some((process.ppid, process.parent_start_time?))
}

/// What is known of a process beside its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Alive,
    /// It has come since the table before.
    New,
    /// It has ended, and its parent has not waited for it.
    Ended,
    /// It was in the table before.
    Gone,
}

/// A row of a table.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) at: ProcessAt<'a>,
    pub(super) state: State,
    /// Of a tree: the lines that lead to it.
    pub(super) lines: String,
    pub(super) totals: Totals,
}

/// What a process and all that descend from it make together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) descendants: u64,
    pub(super) execs: u64,
}

/// Who descends from whom, of all processes at one time.
#[derive(Debug, Default)]
pub(crate) struct Kin {
    parents: HashMap<Id, Id>,
    totals: HashMap<Id, Totals>,
}

impl Kin {
    pub(super) fn of(processes: &[Process]) -> Self {
        let parents = processes
            .iter()
            .filter_map(|process| Some((id(process), parent(process)?)));
        let own = |process: &Process| Totals {
            descendants: 0,
            execs: process.execs.into(),
        };
        let mut kin = Self {
            parents: parents.collect(),
            totals: processes
                .iter()
                .map(|process| (id(process), own(process)))
                .collect(),
        };
        // The youngest first: a child is younger than its parent.
        let mut ids: Vec<Id> = processes.iter().map(id).collect();
        ids.sort_unstable_by_key(|&(pid, start)| (start, pid));
        for child in ids.into_iter().rev() {
            let of_child = kin.totals[&child];
            if let Some(parent) = kin.older_parent(child)
                && let Some(totals) = kin.totals.get_mut(&parent)
            {
                totals.descendants += 1 + of_child.descendants;
                totals.execs += of_child.execs;
            }
        }
        kin
    }

    /// The parent, unless it is not older, which would make a circle possible.
    fn older_parent(&self, child: Id) -> Option<Id> {
        let parent = self.parents.get(&child).copied();
        parent.filter(|parent| parent.1 < child.1)
    }
}

/// The rows of `view`, those that have `gone` included, each with the time when it was last seen.
pub(super) fn rows<'a>(
    view: &'a View,
    look: &Look,
    cells: &Cells,
    gone: &'a [(Process, Duration)],
    is_new: impl Fn(Id) -> bool,
) -> Vec<Row<'a>> {
    let row = |process: &'a Process, time, state| Row {
        at: ProcessAt::alive(process, time),
        state,
        lines: String::new(),
        totals: view
            .kin
            .totals
            .get(&id(process))
            .copied()
            .unwrap_or_default(),
    };
    let alive = view.processes.iter().map(|process| {
        let state = if is_new(id(process)) {
            State::New
        } else {
            State::Alive
        };
        row(process, view.time, state)
    });
    let ended = view
        .unreaped
        .iter()
        .map(|process| row(process, view.time, State::Ended));
    let gone = gone
        .iter()
        .map(|(process, time)| row(process, *time, State::Gone));
    let mut rows: Vec<_> = alive.chain(ended).chain(gone).collect();
    if !look.filter.is_empty() {
        let columns = look.columns();
        rows.retain(|row| has_text(row, &columns, cells, &look.filter));
    }
    rows.sort_by_key(|row| (row.at.process.start_time, row.at.process.pid));
    for key in look.sort.iter().rev() {
        sort(&mut rows, *key, cells);
    }
    match look.tree {
        true => in_tree(rows, &view.kin, cells.charset()),
        false => rows,
    }
}

/// Whether one of the columns, or the name, contains `text`, in any case.
fn has_text(row: &Row<'_>, columns: &[Column], cells: &Cells, text: &str) -> bool {
    let text = text.to_lowercase();
    let has = |shown: String| shown.to_lowercase().contains(&text);
    columns
        .iter()
        .any(|&column| has(cells.text(column, &row.at)))
        || has(cells.name(&row.at.process.comm()))
}

fn sort(rows: &mut Vec<Row<'_>>, key: SortKey, cells: &Cells) {
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    enum Value {
        Number(u128),
        Text(Vec<u8>),
    }
    let value = |row: &Row<'_>| match key.column {
        Column::Field(field) => match field.value(&row.at) {
            FieldValue::Number(number) => Some(Value::Number(number.into())),
            FieldValue::Flag(flag) => Some(Value::Number(flag.into())),
            FieldValue::Time(time) | FieldValue::Span(time) => Some(Value::Number(time.as_nanos())),
            FieldValue::Process { pid, .. } => Some(Value::Number(pid.into())),
            FieldValue::Text(text) => Some(Value::Text(text.into_owned())),
            FieldValue::Texts(texts) => Some(Value::Text(texts.join(&b' '))),
            _ => None,
        },
        Column::Descendants => Some(Value::Number(row.totals.descendants.into())),
        Column::TreeExecs => Some(Value::Number(row.totals.execs.into())),
        column => Some(Value::Text(cells.text(column, &row.at).into_bytes())),
    };
    let order = |one: &Option<Value>, other: &Option<Value>| match (one, other) {
        (Some(one), Some(other)) if key.descending => other.cmp(one),
        (Some(one), Some(other)) => one.cmp(other),
        (one, other) => match (one.is_none(), other.is_none()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => Ordering::Equal,
        },
    };
    let mut keyed: Vec<_> = rows.drain(..).map(|row| (value(&row), row)).collect();
    keyed.sort_by(|(one, _), (other, _)| order(one, other));
    rows.extend(keyed.into_iter().map(|(_, row)| row));
}

/// Each row followed by those of its descendants. One whose parent is not shown follows the nearest
/// ancestor that is.
fn in_tree<'a>(rows: Vec<Row<'a>>, kin: &Kin, charset: Charset) -> Vec<Row<'a>> {
    let places: HashMap<Id, usize> = rows
        .iter()
        .enumerate()
        .map(|(at, row)| (id(row.at.process), at))
        .collect();
    let shown_ancestor = |process: &Process| {
        let own = parent(process).filter(|parent| parent.1 < process.start_time);
        let mut ancestors = std::iter::successors(own, |&ancestor| kin.older_parent(ancestor));
        ancestors.find_map(|ancestor| places.get(&ancestor).copied())
    };
    let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    // The first is taken from the end.
    for (at, row) in rows.iter().enumerate().rev() {
        let above = shown_ancestor(row.at.process);
        children.entry(above).or_default().push(at);
    }
    let mut rows: Vec<_> = rows.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(rows.len());
    let mut open = vec![children.remove(&None).unwrap_or_default()];
    let mut lasts = Vec::new();
    while let Some(siblings) = open.last_mut() {
        let Some(at) = siblings.pop() else {
            open.pop();
            continue;
        };
        let is_last = siblings.is_empty();
        let depth = (open.len() - 1).min(MAX_DEPTH);
        if let Some(mut row) = rows[at].take() {
            row.lines = tree_lines(charset, &mut lasts, depth, is_last);
            ordered.push(row);
        }
        open.push(children.remove(&Some(at)).unwrap_or_default());
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::table::view::tests::view;

    /// PID, PID of the parent, arguments. The start times are the PIDs.
    fn process((pid, ppid, args): (u32, u32, &str)) -> Process {
        let second = |pid: u32| Duration::from_secs(pid.into());
        let mut process = Process::new(pid, second(pid)).with_args(args.split(' '));
        process.ppid = ppid;
        process.parent_start_time = (ppid != 0).then(|| second(ppid));
        process.execs = 1;
        process
    }

    const PROCESSES: [(u32, u32, &str); 6] = [
        (1, 0, "init"),
        (10, 1, "make -j2"),
        (11, 10, "sh -c cc"),
        (12, 11, "cc a.c"),
        (13, 10, "cc b.c"),
        (20, 1, "sleep 9"),
    ];

    fn shown(look: &Look, keep: impl Fn(&Process) -> bool) -> Vec<String> {
        let view = view(PROCESSES.map(process).into(), keep);
        let cells = Cells::new(Charset::Ascii);
        let rows = rows(&view, look, &cells, &[], |_| false);
        let text = |row: &Row<'_>| {
            let Totals { descendants, execs } = row.totals;
            format!("{}{} {descendants} {execs}", row.lines, row.at.process.pid)
        };
        rows.iter().map(text).collect()
    }

    fn look(sort: &str, tree: bool, filter: &str) -> Look {
        let key = |text: &str| {
            let (descending, name) = (text.starts_with('-'), text.trim_start_matches('-'));
            let column = Column::parse(name).expect("there is one");
            SortKey { column, descending }
        };
        Look {
            tree,
            sort: sort
                .split(',')
                .filter(|key| !key.is_empty())
                .map(key)
                .collect(),
            filter: filter.to_owned(),
            ..Look::default()
        }
    }

    #[test]
    fn the_oldest_come_first_unless_something_else_is_asked_for() {
        let pids = |sort| -> Vec<u32> {
            let shown = shown(&look(sort, false, ""), |_| true);
            let pid = |line: &String| line.split(' ').next()?.parse().ok();
            shown.iter().filter_map(pid).collect()
        };
        assert_eq!(pids(""), [1, 10, 11, 12, 13, 20]);
        assert_eq!(pids("age"), [20, 13, 12, 11, 10, 1]);
        assert_eq!(pids("-ppid"), [12, 11, 13, 10, 20, 1]);
        assert_eq!(pids("-desc,-pid"), [1, 10, 11, 20, 13, 12]);
        assert_eq!(pids("args"), [12, 13, 1, 10, 11, 20]);
        assert_eq!(pids("unit"), [1, 10, 11, 12, 13, 20], "none has one");
        assert_eq!(pids("execs,-start"), [20, 13, 12, 11, 10, 1]);
    }

    #[test]
    fn a_tree_has_children_below_their_parents_and_totals() {
        let tree = [
            "1 5 6",
            "|- 10 3 4",
            "|  |- 11 1 2",
            "|  |  `- 12 0 1",
            "|  `- 13 0 1",
            "`- 20 0 1",
        ];
        // Roots have no lines, and neither have their children's lines a column for them.
        assert_eq!(shown(&look("", true, ""), |_| true), tree);
        let sorted = shown(&look("-pid", true, ""), |_| true);
        assert_eq!(sorted[..2], ["1 5 6", "|- 20 0 1"]);
    }

    #[test]
    fn a_row_whose_parent_is_left_out_follows_the_nearest_ancestor() {
        let shown_with = |keep: &[u32]| {
            let keep: Vec<u32> = keep.to_vec();
            shown(&look("", true, ""), move |process| {
                keep.contains(&process.pid)
            })
        };
        assert_eq!(shown_with(&[10, 12, 20]), ["10 3 4", "`- 12 0 1", "20 0 1"]);
        let filtered = shown(&look("", true, "CC"), |_| true);
        assert_eq!(filtered, ["11 1 2", "`- 12 0 1", "13 0 1"]);
    }

    #[test]
    fn a_deep_tree_is_drawn_only_so_far() {
        let chain: Vec<_> = (1..200).map(|pid| process((pid, pid - 1, "x"))).collect();
        let view = view(chain, |_| true);
        let cells = Cells::new(Charset::Utf8);
        let rows = rows(&view, &look("", true, ""), &cells, &[], |_| false);
        assert_eq!(rows.len(), 199);
        assert_eq!(rows[0].totals.descendants, 198);
        let widest = rows.iter().map(|row| row.lines.chars().count()).max();
        assert_eq!(widest, Some(3 * MAX_DEPTH));
    }

    #[test]
    fn processes_that_name_each_other_as_parents_are_roots() {
        let mut circle = [process((5, 6, "a")), process((6, 5, "b"))];
        circle[1].start_time = circle[0].start_time;
        circle[0].parent_start_time = Some(circle[1].start_time);
        let view = view(circle.into(), |_| true);
        let cells = Cells::new(Charset::Utf8);
        let rows = rows(&view, &look("", true, ""), &cells, &[], |_| false);
        assert!(rows.iter().all(|row| row.lines.is_empty()));
        assert_eq!(rows.len(), 2);
    }
}
