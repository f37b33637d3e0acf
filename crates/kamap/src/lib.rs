//! A live, **exact** table of a Linux machine's processes, kept inside the
//! kernel, and typed access to BPF maps.
//!
//! BPF programs on the scheduler's fork, exec and exit tracepoints write a BPF
//! hash map keyed by PID; this library starts them and reads the map. A reader
//! that is slow, stopped or killed loses nothing, because the table is not in
//! the reader.
//!
//! ```text
//!  Tracker::builder()
//!      │ open         the BPF object that is compiled into this library
//!      │ configure    size of the table, what this kernel can do
//!      │ load         the kernel verifies the programs and creates the maps
//!      │ attach       exit, exec, fork: from here on every process is seen
//!      │ seed         the processes that were alive before
//!      ▼
//!  Tracker ── table().snapshot() ──▶ Snapshot of Process     (as often as you like)
//!      │   ── take_events() ───────▶ Events: fork, exec and exit, in order
//!      │      (of a command alone: Builder::follow)
//!      │   ── losses(), seen() ────▶ what could not be recorded, what was seen
//!      │   ── verify() ────────────▶ where the table differs from the kernel's own list
//!      ▼
//!    drop         detaches the programs and frees the maps
//! ```
//!
//! ```no_run
//! let tracker = kamap::Tracker::builder().max_entries(65_536).start()?;
//! for process in tracker.table().snapshot()? {
//!     println!("{} {}", process.pid, process.comm());
//! }
//! # Ok::<(), kamap::Error>(())
//! ```
//!
//! # What it needs
//!
//! Linux 5.15 or newer with BTF (`CONFIG_DEBUG_INFO_BTF`), and root or
//! `CAP_BPF` with `CAP_PERFMON`. [`Builder::start`] tells which of them is
//! missing.
//!
//! # Features
//!
//! `tracker` (default): everything but [`maps`] and [`Probe`]. With
//! `default-features = false` only these are built, without clang and without BPF
//! programs.

// What `#[derive(MapData)]` expands to names this crate.
extern crate self as kamap;

mod capabilities;
#[cfg(feature = "tracker")]
mod clock;
#[cfg(feature = "tracker")]
mod cmdline;
#[cfg(feature = "tracker")]
mod counts;
#[cfg(feature = "tracker")]
mod error;
#[cfg(feature = "tracker")]
mod events;
#[cfg(feature = "tracker")]
mod follow;
#[cfg(feature = "tracker")]
mod libbpf_log;
#[cfg(feature = "tracker")]
mod lives;
#[cfg(feature = "tracker")]
mod losses;
pub mod maps;
mod probe;
#[cfg(feature = "tracker")]
mod requirements;
#[cfg(feature = "tracker")]
mod seed;
#[cfg(feature = "tracker")]
mod signals;
#[cfg(feature = "tracker")]
mod skel;
#[cfg(feature = "tracker")]
mod table;
#[cfg(feature = "tracker")]
mod tasks;
#[cfg(feature = "tracker")]
mod tracker;
#[cfg(feature = "tracker")]
mod verify;

#[cfg(feature = "tracker")]
pub use clock::Clock;
#[cfg(feature = "tracker")]
pub use error::{Error, Result};
#[cfg(feature = "tracker")]
pub use events::{Ancestor, End, Event, EventKind, Events, Filter, Item, Kinds};
#[cfg(feature = "tracker")]
pub use follow::{Follow, Follower};
#[cfg(feature = "tracker")]
pub use lives::{Branch, Life, Lives};
#[cfg(feature = "tracker")]
pub use losses::{Losses, Seen};
pub use probe::{Helper, Probe, ProgramType, Support};
#[cfg(feature = "tracker")]
pub use table::{Origin, Process, Snapshot, Table};
#[cfg(feature = "tracker")]
pub use tracker::{Builder, Tracker};
#[cfg(feature = "tracker")]
pub use verify::{Field, Mismatch, Suspect, Verification};
