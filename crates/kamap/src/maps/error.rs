//! What can go wrong with a map.

use std::io;

/// The result of a map operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a map. Each error names the map.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file descriptor is not that of a BPF map.
    #[error("the file descriptor is not that of a BPF map")]
    NotAMap {
        /// What the kernel said.
        source: io::Error,
    },
    /// The map is of another kind.
    #[error("map `{map}` is of type {found}, expected {expected} (numbers of `enum bpf_map_type`)")]
    WrongKind {
        /// Name of the map.
        map: String,
        /// The kernel's `enum bpf_map_type`.
        found: u32,
        /// The one that was asked for.
        expected: u32,
    },
    /// Keys or values have another size in the kernel than in Rust.
    #[error("the {part}s of map `{map}` have {found} bytes, those of the Rust type {expected}")]
    WrongSize {
        /// Name of the map.
        map: String,
        /// "key" or "value".
        part: &'static str,
        /// Bytes in the kernel.
        found: u32,
        /// Bytes of the Rust type.
        expected: usize,
    },
    /// There is no room for another key.
    #[error("map `{map}` is full ({max_entries} entries)")]
    Full {
        /// Name of the map.
        map: String,
        /// How many entries it holds.
        max_entries: u32,
    },
    /// The kernel would not create the map.
    #[error("the kernel refused map `{map}` of {max_entries} entries: {source}")]
    Refused {
        /// Name of the map.
        map: String,
        /// The number of entries asked for.
        max_entries: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// Reading the whole map took more steps than any map of its size can need.
    #[error("map `{map}` could not be read to its end")]
    Unstable {
        /// Name of the map.
        map: String,
    },
    /// A record has another size than its Rust type. It has been passed over.
    #[error("a record in map `{map}` has {found} bytes, the Rust type {expected}")]
    RecordSize {
        /// Name of the map.
        map: String,
        /// Bytes of the record; in a perf event array with its padding.
        found: usize,
        /// Bytes of the Rust type.
        expected: usize,
    },
    /// What lies in a ring cannot be records.
    #[error("what map `{map}` has at byte {position} of its stream is no record")]
    NoRecord {
        /// Name of the map.
        map: String,
        /// How many bytes the ring has taken before, in all.
        position: u64,
    },
    /// Somebody else reads the same ring buffer.
    #[error("map `{map}` has another reader; the records of a ring buffer go to one")]
    AnotherReader {
        /// Name of the map.
        map: String,
    },
    /// The buffers of a perf event array cannot be of this size.
    #[error(
        "the buffers of map `{map}` cannot have {bytes} bytes: it takes a power of two, \
         {least} at least"
    )]
    BufferSize {
        /// Name of the map.
        map: String,
        /// The size asked for.
        bytes: usize,
        /// The smallest size: a page.
        least: usize,
    },
    /// Another error of the kernel.
    #[error("failed to {operation} in map `{map}`: {source}")]
    Kernel {
        /// Name of the map.
        map: String,
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}
