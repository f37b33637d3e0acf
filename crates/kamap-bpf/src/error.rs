//! What can go wrong with a map.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::map_type::MapType;

/// The result of a map operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A difference between a map's BTF and the Rust types.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The field, such as `value.flow.port`.
    pub path: String,
    /// What it is in the BTF.
    pub btf: String,
    /// What it is in Rust.
    pub rust: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} in BTF, {} in Rust",
            self.path, self.btf, self.rust
        )
    }
}

/// Only some of the entries were written, or some of the keys removed: those before the first that
/// failed.
#[derive(Debug, thiserror::Error)]
#[error("after {done}: {source}")]
#[non_exhaustive]
pub struct Partial {
    /// How many were done.
    pub done: u64,
    /// Why the next one failed.
    pub source: Error,
}

/// What can go wrong with a map. Errors name the map, if there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not a BPF map.
    #[error("{what} is {}", NotAMap(*found))]
    NotAMap {
        /// The object: "the file descriptor", or what is pinned at a path.
        what: String,
        /// What it is, such as "a BPF program", if that is known.
        found: Option<&'static str>,
        /// The kernel's error.
        source: io::Error,
    },
    /// The path is not a pin, so it can be opened neither as a map nor as a program.
    #[error("cannot open `{}` as a pin: it is {found}", path.display())]
    NotAPin {
        /// The path.
        path: PathBuf,
        /// What it is, such as "a directory".
        found: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
    /// There is no such map or program.
    #[error("there is no {what}")]
    NotFound {
        /// What was looked for, such as "map with ID 7".
        what: String,
    },
    /// There is more than one map of this name.
    #[error("there are {} maps with the name `{name}`; open one by its ID: {ids:?}", ids.len())]
    Ambiguous {
        /// The name.
        name: String,
        /// Their ids.
        ids: Vec<u32>,
    },
    /// There may be such a map or program, but it cannot be opened.
    #[error("failed to open the {what}: {source}{}", needed(source))]
    NotOpened {
        /// What was looked for, such as "map with ID 7".
        what: String,
        /// The kernel's error.
        source: io::Error,
    },
    /// The map has another type.
    #[error("map `{map}` is of type {}, expected {}", Kind(*found), Kind(*expected))]
    WrongKind {
        /// Name of the map.
        map: String,
        /// Its type.
        found: MapType,
        /// The type that was asked for.
        expected: MapType,
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
    /// Keys or values have another layout than the Rust types.
    #[error(
        "the layout of map `{map}` differs from that of the Rust types: {}",
        Listed(differences)
    )]
    LayoutDiffers {
        /// Name of the map.
        map: String,
        /// All differences.
        differences: Vec<Difference>,
    },
    /// The map has no BTF to compare the layout with.
    #[error(
        "map `{map}` has no BTF that describes its keys and values; open it with \
         `Check::LayoutOrSizes` if their sizes are enough"
    )]
    NoBtf {
        /// Name of the map.
        map: String,
    },
    /// The map has BTF, but this process may not read it.
    #[error(
        "the BTF of map `{map}` may not be read without CAP_SYS_ADMIN; open it with \
         `Check::LayoutOrSizes` if the sizes of keys and values are enough"
    )]
    BtfNotPermitted {
        /// Name of the map.
        map: String,
    },
    /// The file descriptor does not allow what the handle needs.
    #[error(
        "the file descriptor of map `{map}` is {}, expected {expected}",
        if *read_only { "read-only" } else { "write-only" }
    )]
    WrongAccess {
        /// Name of the map.
        map: String,
        /// Whether it is read-only; otherwise it is write-only.
        read_only: bool,
        /// What the handle needs.
        expected: &'static str,
    },
    /// The map is full.
    #[error("map `{map}` is full ({max_entries} entries)")]
    Full {
        /// Name of the map.
        map: String,
        /// How many entries it holds.
        max_entries: u32,
    },
    /// An array has no such index.
    #[error("index {index} is beyond the end of map `{map}` ({max_entries} entries)")]
    IndexOutOfRange {
        /// Name of the map.
        map: String,
        /// The index.
        index: u32,
        /// How many entries the map has.
        max_entries: u32,
    },
    /// A prefix has more bits than the keys of the trie.
    #[error("a prefix of {len} bits is too long for the keys of map `{map}` ({bits} bits)")]
    PrefixTooLong {
        /// Name of the map.
        map: String,
        /// Bits of the prefix.
        len: u32,
        /// Bits that a key has.
        bits: usize,
    },
    /// The number of values differs from the number of possible CPUs.
    #[error("{found} values for {expected} possible CPUs; give one for each")]
    WrongCpuCount {
        /// How many values were given.
        found: usize,
        /// How many possible CPUs there are.
        expected: usize,
    },
    /// The number of possible CPUs is unknown.
    #[error("failed to read the number of possible CPUs: {source}")]
    PossibleCpus {
        /// The kernel's error.
        source: io::Error,
    },
    /// The map's values have no lock.
    #[error("the values of map `{map}` have no `struct bpf_spin_lock` in their BTF")]
    NoSpinLock {
        /// Name of the map.
        map: String,
    },
    /// A map does not match those for which a map of maps was created.
    #[error("map `{inner}` does not match the maps that map `{map}` was created for")]
    WrongInner {
        /// Name of the map of maps.
        map: String,
        /// Name of the other one.
        inner: String,
    },
    /// The map is frozen.
    #[error("map `{map}` is frozen: only BPF programs can write it")]
    Frozen {
        /// Name of the map.
        map: String,
    },
    /// The map is being written, or its memory is mapped for writing.
    #[error("map `{map}` cannot be frozen while it is written or its memory is mapped for writing")]
    Busy {
        /// Name of the map.
        map: String,
    },
    /// The kernel does not permit it.
    #[error("not permitted to {operation} in map `{map}`: {source}")]
    Denied {
        /// Name of the map.
        map: String,
        /// The operation.
        operation: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
    /// This kernel does not have the operation for this map type.
    #[error(
        "this kernel cannot {operation} in map `{map}` of type {}; Linux {since} can",
        Kind(*kind)
    )]
    Unsupported {
        /// Name of the map.
        map: String,
        /// Its type.
        kind: MapType,
        /// The operation.
        operation: &'static str,
        /// The first version of Linux that has it.
        since: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
    /// The map cannot be pinned or unpinned.
    #[error("failed to pin or unpin map `{map}` at `{}`: {source}{}", path.display(), place(source))]
    Pin {
        /// Name of the map.
        map: String,
        /// The place.
        path: PathBuf,
        /// The kernel's error.
        source: io::Error,
    },
    /// Something else is pinned there.
    #[error("what is pinned at `{}` is not map `{map}`", path.display())]
    PinnedOther {
        /// Name of the map.
        map: String,
        /// The place.
        path: PathBuf,
    },
    /// The existing map differs from the one that would be created.
    #[error("map `{map}` has {what} {found}, expected {expected}")]
    WrongSpec {
        /// Name of the map.
        map: String,
        /// "max_entries" or "flags".
        what: &'static str,
        /// What the map has.
        found: u32,
        /// What the new one would have.
        expected: u32,
    },
    /// The kernel did not create the map.
    #[error("the kernel refused map `{map}` of {max_entries} entries: {}", Cause(*cause, source))]
    Refused {
        /// Name of the map.
        map: String,
        /// The number of entries asked for.
        max_entries: u32,
        /// The cause, if it is certain.
        cause: Option<&'static str>,
        /// The kernel's error.
        source: io::Error,
    },
    /// Reading the whole map took more steps than a map of this size can need.
    #[error("map `{map}` could not be read to its end")]
    Unstable {
        /// Name of the map.
        map: String,
    },
    /// The map's BTF does not describe its keys or values.
    #[error("the BTF of map `{map}` does not describe the type of its {part}s: {reason}")]
    BadBtf {
        /// Name of the map.
        map: String,
        /// "key" or "value".
        part: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A record has another size than its Rust type. It has been skipped.
    #[error("a record in map `{map}` has {found} bytes, the Rust type {expected}")]
    RecordSize {
        /// Name of the map.
        map: String,
        /// Bytes of the record; in a perf event array with its padding.
        found: usize,
        /// Bytes of the Rust type.
        expected: usize,
    },
    /// A ring contains something that is not a record.
    #[error("map `{map}` has no valid record at byte {position} of its stream")]
    NoRecord {
        /// Name of the map.
        map: String,
        /// Its position: how many bytes were written to the ring before it.
        position: u64,
    },
    /// Another reader uses the same ring buffer.
    #[error("map `{map}` has another reader; a ring buffer can have only one")]
    AnotherReader {
        /// Name of the map.
        map: String,
    },
    /// The buffers of a perf event array cannot have this size.
    #[error(
        "the buffers of map `{map}` cannot have {bytes} bytes: the size must be a power of two \
         and at least {least}"
    )]
    BufferSize {
        /// Name of the map.
        map: String,
        /// The size asked for.
        bytes: usize,
        /// The smallest size: a page.
        least: usize,
    },
    /// A literal does not fit the type.
    #[error("{path}: expected {expected}, found {found}")]
    BadLiteral {
        /// The position in the type, such as `value.ports[3]`.
        path: String,
        /// What would be valid.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The length of a key or value differs from that of the map's.
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
    /// Maps of this type do not have the operation.
    #[error("map `{map}` is of type {}, which cannot {operation}", Kind(*kind))]
    NotOfKind {
        /// Name of the map.
        map: String,
        /// The operation.
        operation: &'static str,
        /// Its type.
        kind: MapType,
    },
    /// Another error of the kernel.
    #[error("failed to {operation} in map `{map}`: {source}")]
    Kernel {
        /// Name of the map.
        map: String,
        /// The operation.
        operation: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
}

impl Error {
    pub(super) fn not_a_map(source: io::Error) -> Self {
        Self::NotAMap {
            what: "the file descriptor".to_owned(),
            found: None,
            source,
        }
    }
}

fn needed(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EPERM) => " (opening by ID or name needs CAP_SYS_ADMIN, by path CAP_BPF)",
        _ => "",
    }
}

fn place(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        // The folder does not exist, or is in another file system.
        Some(libc::EPERM | libc::ENOENT) => {
            " (the folder must be in a BPF file system, and the name must have no dots)"
        }
        _ => "",
    }
}

/// The type of a map, in quotes if it has a name.
struct Kind(MapType);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.name() {
            Some(name) => write!(f, "`{name}`"),
            None => write!(f, "{} (of `enum bpf_map_type`)", self.0.0),
        }
    }
}

/// What an object is instead of a map.
struct NotAMap(Option<&'static str>);

impl fmt::Display for NotAMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(found) => write!(f, "{found}, not a map"),
            None => f.write_str("not a BPF map"),
        }
    }
}

/// Why a map was refused.
struct Cause<'a>(Option<&'static str>, &'a io::Error);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(cause) => f.write_str(cause),
            None => self.1.fmt(f),
        }
    }
}

struct Listed<'a>(&'a [Difference]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, difference) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{difference}")?;
        }
        Ok(())
    }
}
