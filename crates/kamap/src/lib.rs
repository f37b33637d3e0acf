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
//! # What can be made of it
//!
//! [`ProcessTree`] puts lives together from events, and [`TreeSummary`] sums them up. The module `json`
//! (feature `serde`) makes the lines that `kamap --json` prints; [`ProcessField`] lists the fields of a
//! process for other formats. Code that uses processes and events can be tested without a kernel:
//! [`Process::new`], [`Event::new`] and [`Snapshot::new`] construct them.
//!
//! # What it needs
//!
//! Linux 5.15 or newer with BTF (`CONFIG_DEBUG_INFO_BTF`), and root or
//! `CAP_BPF` with `CAP_PERFMON`. [`Builder::start`] tells which of them is
//! missing.
//!
mod attached;
mod bpffs;
mod builder;
mod cgroup;
mod cgroups;
mod claim;
mod clock;
mod cmdline;
mod counts;
mod detach;
mod error;
mod event;
mod events;
mod fields;
mod filter;
mod follow;
mod follow_switch;
mod iterator;
#[cfg(feature = "serde")]
pub mod json;
mod kernel_types;
mod kernel_version;
mod kinds;
mod leftovers;
mod libbpf_log;
mod limits;
mod load;
mod lock;
mod losses;
mod names;
mod options;
mod pin;
mod pin_names;
mod pinned;
mod place;
mod process;
mod process_tree;
mod program;
mod programs;
mod reader;
mod requirements;
mod rows;
mod seed;
mod signals;
mod skel;
mod snapshot;
mod sources;
mod table;
mod tasks;
mod tracker;
mod tree_summary;
mod verify;
mod wakeups;

pub use builder::{AttachOptions, Builder};
pub use cgroup::{Cgroup, Container, Runtime};
pub use cgroups::Cgroups;
pub use clock::Clock;
pub use detach::detach;
pub use error::{Error, Result};
pub use event::{Ancestor, Event, EventKind, Exit, Item, Replaced};
pub use events::Events;
pub use fields::{FieldGroup, FieldType, FieldValue, ProcessAt, ProcessField};
pub use filter::Filter;
pub use follow::{Follow, Follower};
pub use kamap_bpf as maps;
pub use kinds::Kinds;
pub use leftovers::leftovers;
pub use losses::{Cause, Losses, Lost, Seen};
pub use names::{errno_name, signal_name};
pub use pinned::{DEFAULT_DIR, Description, Pinned, ProgramCost, Status};
pub use process::{Origin, Process};
pub use process_tree::{Branch, Life, ProcessTree};
pub use reader::Reader;
pub use snapshot::Snapshot;
pub use table::Table;
pub use tracker::Tracker;
pub use tree_summary::TreeSummary;
pub use verify::{Field, Mismatch, Suspect, Verification};
