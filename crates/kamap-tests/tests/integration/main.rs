//! The integration suite. It needs root; see `ci/as-root`.

mod any_map;
mod attach;
mod cases;
mod command;
mod command_events;
mod command_map;
mod command_probe;
mod command_run;
mod congestion;
mod errors;
mod examples;
mod faults;
mod fixtures;
mod hostile;
mod maps;
mod programs;
mod rings;
mod selection;
mod stalls;
mod typed;
mod verify;
mod wakeups;
