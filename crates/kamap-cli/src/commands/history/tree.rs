//! Lives as a tree.

use std::collections::HashMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use kamap::{Event, EventKind, ProcessTree};
use kamap_history::{End, History, Life};

use super::Args;
use super::printer::LifePrinter;
use crate::policy::errors::OutputError;
use crate::render::tree_lines;

/// Prints each life below the one that started it, if that is among them.
pub(super) fn print(
    args: &Args,
    history: &History,
    (since, until): (SystemTime, SystemTime),
    printer: &mut LifePrinter,
    out: &mut impl Write,
) -> Result<()> {
    let mut boots: Vec<(String, Vec<Life>)> = Vec::new();
    history.lives(since, until, |life| {
        if args.shows(&life) {
            match boots
                .iter_mut()
                .find(|(boot_id, _)| *boot_id == life.boot_id)
            {
                Some((_, lives)) => lives.push(life),
                None => boots.push((life.boot_id.clone(), vec![life])),
            }
        }
        anyhow::Ok(ControlFlow::Continue(()))
    })?;
    printer.header(out).map_err(OutputError)?;
    for (_, lives) in &boots {
        let tree = tree(lives)?;
        let known: HashMap<(u32, Duration), &Life> =
            lives.iter().map(|life| (identity(life), life)).collect();
        let mut lasts = Vec::new();
        for branch in tree.branches() {
            let lines = tree_lines(printer.charset(), &mut lasts, branch.depth, branch.last);
            let process = &branch.life.process;
            if let Some(life) = known.get(&(process.pid, process.start_time)) {
                printer
                    .life_in_tree(out, life, Some(branch.depth), &lines)
                    .map_err(OutputError)?;
            }
        }
    }
    out.flush().map_err(OutputError)?;
    Ok(())
}

fn identity(life: &Life) -> (u32, Duration) {
    (life.process.pid, life.process.start_time)
}

/// The tree of lives of one boot.
fn tree(lives: &[Life]) -> Result<ProcessTree> {
    let mut events = Vec::with_capacity(2 * lives.len());
    for life in lives {
        let mut process = life.process.clone();
        if let Some((pid, start)) = life.started_by {
            (process.ppid, process.parent_start_time) = (pid, Some(start));
        }
        let start = process.start_time;
        if let End::Exit(time, exit) = life.end {
            events.push(Event::new(0, time, process.clone(), EventKind::Exit(exit)));
        }
        events.push(Event::new(0, start, process, EventKind::Fork));
    }
    events.sort_by_key(|event| event.time);
    let mut tree = ProcessTree::default();
    for event in &events {
        tree.add(event)?;
        // Some of the exits were lost.
        tree.note_loss();
    }
    Ok(tree)
}
