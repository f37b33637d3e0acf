//! The integration suite. It needs root; see `ci/as-root`.

mod any_map;
mod attach;
mod cases;
mod command;
mod command_events;
mod command_map;
mod command_probe;
mod command_record;
mod command_run;
mod command_screen;
mod command_top;
mod cookbook;
mod errors;
mod examples;
mod faults;
mod hostile;
mod maps;
mod programs;
mod rings;
mod selection;
mod stalls;
mod verify;
mod wakeups;
