//! What is the same for every command: exit codes, error messages, memory limits, signals and standard
//! output, each in one file.

pub(crate) mod errors;
pub(crate) mod exit;
pub(crate) mod memory;
pub(crate) mod signals;
pub(crate) mod stdout;
