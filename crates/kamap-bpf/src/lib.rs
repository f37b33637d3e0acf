//! Typed access to BPF maps of any origin.
//!
//! A [`Map`] has the types of its keys and values. When an existing map is opened, its kind,
//! the sizes and, with its BTF, the layout of keys and values are compared with them, field by
//! field. A [`Check`] says what to do without BTF.
//!
//! ```no_run
//! use kamap_bpf::{Hash, Map, UpdateMode};
//!
//! let counts = Map::<Hash<u32, u64>>::create("counts", 1024)?;
//! counts.insert(&7, &1, UpdateMode::Any)?;
//! for entry in counts.iter() {
//!     let (key, value) = entry?;
//!     println!("{key}: {value}");
//! }
//! # Ok::<(), kamap_bpf::Error>(())
//! ```
//!
//! Keys and values are [`MapData`]: numbers, IP addresses, arrays, and structs of them. Each
//! kind has the operations that the kernel has for it; others do not compile:
//!
//! | kinds | operations |
//! |---|---|
//! | all with keys | `get`, `next_key`, `iter`, `keys`, `values`, `batches` |
//! | [`Hash`](struct@Hash), [`LruHash`], [`PerCpuHash`], [`LruPerCpuHash`] | `insert`, `remove`, `take`, `contains`, `len`, `is_empty`, `drain`, `clear`, `insert_many`, `remove_many` |
//! | [`Array`], [`PerCpuArray`] | `set`, `insert_many` |
//! | [`LpmTrie`] | `insert`, `remove` |
//! | [`HashOfMaps`], [`ArrayOfMaps`] (their values are IDs) | `get_map`, `insert_map`, `remove_map` |
//! | [`Queue`], [`Stack`] (no keys) | `push`, `push_over`, `pop`, `peek` |
//! | [`BloomFilter`] (no keys) | `insert`, `may_contain` |
//! | [`Hash`](struct@Hash) and [`Array`] of values with a [`SpinLock`] | `locked`: all of theirs, under the lock |
//! | all | `create`, `open_or_create_pinned`, `from_fd`, `from_skeleton`, `open_pinned`, `open_id`, `open_name`, `try_clone`, `pin`, `unpin`, `freeze`, `info` |
//!
//! A per-CPU map has [`PerCpu`] values. A handle is [`ReadWrite`], unless it is opened as
//! [`ReadOnly`] or [`WriteOnly`].
//!
//! [`RingBuf`] and [`PerfEventArray`] read what programs send, record by record. A map whose
//! types are known at run time only is an [`AnyMap`]: its keys and values are bytes, which
//! [`btf`] reads and writes as text.
//!
//! Needs `CAP_BPF` (or root) to create maps, and `CAP_SYS_ADMIN` to open them by ID or name and
//! to read their BTF. Needs Linux 5.6 for everything: the system call that shows whether
//! something is a map at all is not older. What needs a later version says so.
//!
//! # Where things are
//!
//! ```text
//!   typed/ (Map)    any/ (AnyMap)    rings/ (RingBuf, PerfEventArray)
//!       └───────────────┼────────────────┘
//!   data/ (MapData)   raw/ (the core: open, create, pin, operations, batches, walks, errors)
//!   btf/ (types)      map_type  error  cpus  sys (system calls)      probe  capabilities
//! ```

// What `#[derive(MapData)]` expands to names this crate.
extern crate self as kamap_bpf;

mod any;
pub mod btf;
pub mod capabilities;
mod cpus;
mod data;
mod error;
mod map_type;
mod probe;
mod raw;
mod rings;
mod sys;
mod typed;

pub use any::{AnyMap, EntryTypes, TypeSource};
#[doc(hidden)]
pub use data::SkeletonField;
pub use data::{Field, Layout, MapData, Shape, SpinLock};
pub use error::{Difference, Error, Partial, Result};
pub use map_type::{MapType, Refers};
pub use probe::{Helper, Probe, ProgramType, Support};
pub use raw::{Info, MapSpec, UpdateMode, flags, open_program_id, open_program_pinned};
pub use rings::{PerfEventArray, Record, RingBuf, Sample, Stop, open_cpu_clocks, page_size};
pub use typed::{
    Access, Array, ArrayOfMaps, Batch, BatchBuf, Batches, BloomFilter, Check, Checked, Creatable,
    Entries, Hash, HashOfMaps, Hashed, Iter, Kind, Lockable, LpmTrie, LruHash, LruPerCpuHash, Map,
    Nested, PerCpu, PerCpuArray, PerCpuHash, Queue, ReadOnly, ReadWrite, Readable, Sequence, Stack,
    Value, Writable, WriteOnly,
};
