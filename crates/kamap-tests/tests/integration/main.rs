//! The integration suite. It needs root; see `ci/as-root`.

mod command;
mod errors;
mod maps;
mod programs;
mod table;
