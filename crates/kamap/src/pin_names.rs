//! The names of pins.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::path::Path;

use crate::Kinds;

/// The names of all pins that there can be.
pub(crate) const NAMES: [&CStr; 19] = [
    c"on_fork",
    c"on_exec",
    c"on_exit",
    c"on_exec_failed",
    c"on_prepare_exec",
    c"mark",
    c"seed",
    c"tasks",
    c"rows",
    c"table",
    c"status",
    c"processes",
    c"given_args",
    c"counters",
    c"globals",
    c"description",
    c"reader",
    c"events",
    c"failed_execs",
];

/// The links of the programs without which the table is not right.
pub(crate) const TABLE_LINKS: [&str; 3] = ["on_fork", "on_exec", "on_exit"];

/// The links of all programs on tracepoints.
pub(crate) const LINKS: [&str; 5] = [
    "on_fork",
    "on_exec",
    "on_exit",
    "on_exec_failed",
    "on_prepare_exec",
];

/// The pins that are maps.
pub(crate) const MAPS: [&str; 8] = [
    "processes",
    "given_args",
    "counters",
    "globals",
    "description",
    "reader",
    "events",
    "failed_execs",
];

/// Maps of which those that replace a tracker go on with the same.
pub(crate) const TAKEN_OVER: [&str; 7] = [
    "processes",
    "given_args",
    "counters",
    "globals",
    "reader",
    "events",
    "failed_execs",
];

/// Of these names, those that a group may read: iterators, which are plain files.
pub(crate) const READABLE: [&str; 4] = ["tasks", "rows", "table", "status"];

/// Names of the pins of a tracker with events of these kinds, as far as they do not depend on the
/// kernel.
pub(crate) fn expected(events: Kinds) -> Vec<&'static str> {
    let mut names = vec![
        "processes",
        "given_args",
        "counters",
        "globals",
        "description",
        "reader",
        "seed",
        "tasks",
        "rows",
        "table",
        "status",
        "on_exit",
        "on_exec",
        "on_fork",
    ];
    if events != Kinds::default() {
        names.extend(["events", "mark"]);
    }
    if events.contains(Kinds::EXEC_FAILED) {
        names.extend(["on_exec_failed", "failed_execs"]);
    }
    names
}

/// Whether a pin of this name can be of a tracker.
pub(crate) fn is_ours(name: &str) -> bool {
    NAMES
        .iter()
        .any(|known| known.to_bytes() == name.as_bytes())
}

/// The names of all pins in a folder.
pub(crate) fn there_are(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}
