//! Maps whose keys and values have Rust types.

mod access;
mod array;
mod batch;
mod bloom;
mod check;
#[cfg(doctest)]
mod compile_fail;
mod hash;
mod iter;
mod kinds;
mod lpm;
mod map;
mod nested;
mod queue;
mod read;
mod value;

pub use access::{Access, ReadOnly, ReadWrite, Readable, Writable, WriteOnly};
pub use batch::{Batch, BatchBuf, Batches};
pub use check::{Check, Checked};
pub use iter::Iter;
pub use kinds::{
    Array, ArrayOfMaps, BloomFilter, Creatable, Entries, Hash, HashOfMaps, Hashed, Kind, Lockable,
    LpmTrie, LruHash, LruPerCpuHash, Nested, PerCpuArray, PerCpuHash, Queue, Sequence, Stack,
};
pub use map::Map;
pub use value::{PerCpu, Value};
