//! What can go wrong with a map.

use std::io;
use std::path::PathBuf;

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
    /// A literal does not fit the type.
    #[error("{path}: expected {expected}, found {found}")]
    BadLiteral {
        /// What was to be read, such as `value.ports[3]`.
        path: String,
        /// What could be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// There is no such map or program.
    #[error("there is no {what}")]
    NotFound {
        /// What was looked for, such as "map with ID 7".
        what: String,
    },
    /// Several maps have the name.
    #[error("several maps are named `{map}`: use an ID ({})", list(ids))]
    Ambiguous {
        /// The name.
        map: String,
        /// Their IDs.
        ids: Vec<u32>,
    },
    /// A map or program could not be opened.
    #[error("failed to open the {what}: {source}{}", hint(source))]
    Open {
        /// What was to be opened, such as "map with ID 7".
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A pin could not be made or removed.
    #[error("failed to pin map `{map}` at {}, or to unpin it: {source}", path.display())]
    Pin {
        /// Name of the map.
        map: String,
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A key or value has another length than those of the map.
    #[error("a {part} of map `{map}` has {expected} bytes, not {found}")]
    WrongLength {
        /// Name of the map.
        map: String,
        /// "key" or "value".
        part: &'static str,
        /// Bytes that were given.
        found: usize,
        /// Bytes that the map has.
        expected: usize,
    },
    /// Maps of this kind cannot do this.
    #[error("map `{map}` is of kind {kind}, which cannot {operation}")]
    Unsupported {
        /// Name of the map.
        map: String,
        /// What was tried.
        operation: &'static str,
        /// Its kind, such as `lru_hash`.
        kind: String,
    },
    /// The map may not be read or written so.
    #[error("not allowed to {operation} in map `{map}`: {}", denied(*frozen))]
    Denied {
        /// Name of the map.
        map: String,
        /// What was tried.
        operation: &'static str,
        /// Whether it has been frozen, which is why it cannot be written.
        frozen: bool,
    },
    /// An array has no such index.
    #[error("map `{map}` has the indices 0 to {} only", max_entries.saturating_sub(1))]
    OutOfRange {
        /// Name of the map.
        map: String,
        /// How many there are.
        max_entries: u32,
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

fn list(ids: &[u32]) -> String {
    let ids: Vec<_> = ids.iter().map(u32::to_string).collect();
    ids.join(", ")
}

fn hint(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EPERM) => " (an ID or a name takes CAP_SYS_ADMIN, a path CAP_BPF)",
        _ => "",
    }
}

fn denied(frozen: bool) -> &'static str {
    if frozen {
        "it is frozen"
    } else {
        "it is not readable or writable so, by its flags or for this process"
    }
}
