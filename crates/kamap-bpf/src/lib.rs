//! Typed access to BPF maps of any origin.
//!
//! A [`Map`] has the types of its keys and values. When an existing map is opened, its
//! kind, the sizes and, by its BTF, the layout of keys and values are compared with
//! them, field by field; what is to be done without BTF, a [`Check`] says.
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
//! Keys and values are integers, arrays, and structs of them that are
//! [`MapData`]. A kind has the operations that it can have; others do not compile:
//!
//! | kinds | operations |
//! |---|---|
//! | [`Hash`](struct@Hash), [`LruHash`], [`PerCpuHash`], [`LruPerCpuHash`] | `get`, `insert`, `remove`, `take`, `next_key`, `iter`, `keys`, `values`, `batches`, `drain`, `insert_many`, `remove_many` |
//! | [`Array`], [`PerCpuArray`] | `get`, `set`, `next_key`, `iter`, `keys`, `values`, `batches`, `insert_many` |
//! | [`LpmTrie`] | `get`, `insert`, `remove`, `next_key`, `iter` |
//! | [`Queue`], [`Stack`] | `push`, `push_over`, `pop`, `peek` |
//! | [`BloomFilter`] | `insert`, `may_contain` |
//! | [`HashOfMaps`], [`ArrayOfMaps`] | `get` and the iterators (ids), `get_map`, `insert_map`, `remove_map`, `next_key` |
//! | [`Hash`](struct@Hash) and [`Array`] of values with a [`SpinLock`] | `locked`: all of theirs, under the lock |
//! | all | `create`, `from_fd`, `from_skeleton`, `open_pinned`, `open_id`, `open_name`, `try_clone`, `pin`, `unpin`, `freeze`, `info` |
//!
//! A per-CPU kind has [`PerCpu`] values. A handle is [`ReadWrite`], unless it is opened
//! to be [`ReadOnly`] or [`WriteOnly`].
//!
//! What programs send is read by [`RingBuf`] and [`PerfEventArray`], record by record.
//! A map whose types are known at run time only is an [`AnyMap`]: its keys and values
//! are bytes, which [`btf`] reads and writes as text.
//!
//! Needs `CAP_BPF` (or root) to create maps, and `CAP_SYS_ADMIN` to open them by id or
//! name and to read their BTF. Needs Linux 5.6 for everything: that something is a map
//! at all is seen by a system call which is as old. What is younger says so.

// What `#[derive(MapData)]` expands to names this crate.
extern crate self as kamap_bpf;

mod access;
mod any;
mod array;
mod batch;
mod bloom;
pub mod btf;
mod bulk;
pub mod capabilities;
mod check;
#[cfg(doctest)]
mod compile_fail;
mod create;
mod data;
mod encode;
mod error;
mod handle;
mod hash;
mod iter;
mod keys;
mod layout;
mod lock;
mod lpm;
mod map;
mod mmap;
mod nested;
mod open;
mod operation;
mod perf;
mod probe;
mod queue;
mod record;
mod ring;
mod sys;
mod value;

pub use access::{Access, ReadOnly, ReadWrite, Readable, Writable, WriteOnly};
pub use any::{
    AnyMap, EntryTypes, MapType, NewMap, Refers, TypeSource, flags, open_program_id,
    open_program_pinned,
};
pub use array::{Array, Indexed, PerCpuArray};
pub use batch::{Batch, BatchBuf, Batches, Iterable};
pub use bloom::BloomFilter;
pub use bulk::{Bulk, Partial};
pub use check::{Check, Checked, Difference};
pub use create::{Creatable, Spec};
pub use data::{MapData, SpinLock};
pub use error::{Error, Result};
pub use handle::Info;
pub use hash::{Hash, Hashed, LruHash, LruPerCpuHash, PerCpuHash};
pub use iter::{Iter, Keys, Values};
pub use kamap_derive::MapData;
pub use layout::{Field, Layout, Shape};
pub use lock::Lockable;
pub use lpm::{LpmIter, LpmTrie};
pub use map::{Entries, Keyed, Kind, Map, UpdateMode};
pub use mmap::page_size;
pub use nested::{ArrayOfMaps, HashOfMaps, Nested};
pub use perf::open_cpu_clocks;
pub use perf::{PerfEventArray, Sample};
pub use probe::{Helper, Probe, ProgramType, Support};
pub use queue::{Queue, Sequence, Stack};
pub use record::Record;
pub use ring::RingBuf;
pub use value::{PerCpu, Value};
