//! The ancestors of a process that lives.

use anyhow::Result;
use kamap::{Clock, Process, Tracker};
use kamap_history::Link;

use crate::args::{DirArgs, Source};

/// The process with this PID or name, and its ancestors. Those that have ended are not known.
pub(super) fn chain(wanted: &str) -> Result<Vec<Link>> {
    let source = Source::open(&DirArgs::default(), false, Tracker::builder)?;
    let reader = source.reader();
    let table = reader.table().snapshot()?;
    let process = match wanted.parse() {
        Ok(pid) => table.get(pid),
        Err(_) => {
            let named = table.iter().filter(|process| process.comm() == wanted);
            named.max_by_key(|process| process.start_time)
        }
    };
    let (clock, boot_id) = (reader.clock(), Clock::boot_id()?);
    let parent = |process: &Process| {
        let parent = table.get(process.ppid)?;
        (Some(parent.start_time) == process.parent_start_time).then_some(parent)
    };
    let chain = std::iter::successors(process, |process| parent(process));
    Ok(chain
        .map(|process| Link::live(process.clone(), boot_id.clone(), clock))
        .collect())
}
