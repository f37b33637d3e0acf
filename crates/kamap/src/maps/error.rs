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
    /// The map's BTF does not tell the type of its keys or values.
    #[error("the BTF of map `{map}` does not tell the type of its {part}s: {reason}")]
    BadBtf {
        /// Name of the map.
        map: String,
        /// "key" or "value".
        part: &'static str,
        /// What is wrong with it.
        reason: String,
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
