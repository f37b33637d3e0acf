//! The programs of `src/bin/`, by the paths that Cargo reports to this suite alone, and the two
//! commands that most tests start. What does something with them is in `kamap_tests`.

use std::process::Command;

/// Runs until its standard input is closed.
pub(crate) const HELD: &str = env!("CARGO_BIN_EXE_held");

/// Forks without exec.
pub(crate) const FORKED: &str = env!("CARGO_BIN_EXE_forked");

/// Starts a child in ways of its own.
pub(crate) const STARTS: &str = env!("CARGO_BIN_EXE_starts");

/// Execs in ways of its own.
pub(crate) const EXECS: &str = env!("CARGO_BIN_EXE_execs");

/// Fails to exec.
pub(crate) const FAILS: &str = env!("CARGO_BIN_EXE_fails");

/// Aborts.
pub(crate) const ABORTS: &str = env!("CARGO_BIN_EXE_aborts");

/// Traces another process and all that it starts.
pub(crate) const TRACES: &str = env!("CARGO_BIN_EXE_traces");

/// Traces a child, and holds it.
pub(crate) const HOLDS: &str = env!("CARGO_BIN_EXE_holds");

/// Has many children that end or exec at one moment.
pub(crate) const CROWD: &str = env!("CARGO_BIN_EXE_crowd");

/// Has one child after the other, all with the same PID.
pub(crate) const SUCCESSORS: &str = env!("CARGO_BIN_EXE_successors");

/// Starts a tracker and drops it.
pub(crate) const DROPPED: &str = env!("CARGO_BIN_EXE_dropped");

/// Has threads that leave or exec.
pub(crate) const THREADS: &str = env!("CARGO_BIN_EXE_threads");

/// Changes its name, its user and its parent.
pub(crate) const BECOMES: &str = env!("CARGO_BIN_EXE_becomes");

/// Has children that use the CPU.
pub(crate) const SPINS: &str = env!("CARGO_BIN_EXE_spins");

/// Gives itself a name.
pub(crate) const NAMED: &str = env!("CARGO_BIN_EXE_named");

/// Does something to its own arguments.
pub(crate) const ARGUMENTS: &str = env!("CARGO_BIN_EXE_arguments");

/// The command `kamap`.
pub(crate) const KAMAP: &str = env!("CARGO_BIN_EXE_kamap-under-test");

pub(crate) fn held() -> Command {
    Command::new(HELD)
}

pub(crate) fn kamap(arguments: &[&str]) -> Command {
    let mut command = Command::new(KAMAP);
    command.args(arguments);
    command
}
