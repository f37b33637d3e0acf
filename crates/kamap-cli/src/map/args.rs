//! The command line of `kamap map`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use kamap_bpf::{AnyMap, MapType, UpdateMode, flags};

/// Show and change any BPF map of this machine
///
/// Keys and values are shown and given as literals of their type, which the map's BTF tells: `{pid:
/// 7, name: "x"}`. Without BTF they are bytes.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Maps:
  7, id:7            by ID
  /sys/fs/bpf/x, pin:x
                     by the path where it is pinned
  counts, name:counts
                     by name, if only one map has it

Literals:
  -7  0x1f  2.5      numbers
  true  RUNNING      booleans, names of an enum
  \"a\\n\\x00\"          text, for an array of bytes; the rest of the array is zero
  [1, 2]  [1, ..]    arrays; `..` at the end: the rest is zero
  {a: 1, b: 2}  {a: 1, ..}
                     structs, in any order. Of a union one member is enough
  {counter#1: 1, counter#2: 2}
                     members that share a name, in the order of the type
  {cpu0: 1, cpu1: 2}
                     values of a per-CPU map; any other literal is written for every CPU
  hex: 01 02 ff      bytes, for anything

  Without BTF, what has 1, 2, 4, 8 or 16 bytes can be given as a number too. What a map of maps or a \
program array refers to is shown as ID, and given as a map (see above), or as ID or path of a \
program; for a cgroup array as the folder of a cgroup.

JSON:
  One object per line, with \"v\":1 and \"type\": \"map\", \"key\" or \"entry\". Keys and values are \
numbers, booleans, strings, arrays and objects; an enum is its name, bytes and text that is not UTF-8 \
are {\"hex\":\"0102\"}. What is printed so can be given in place of a literal.

Exit status:
  0  fine
  1  failure, or there is no such key, or there is one in spite of --if-absent; one line on \
standard error says what is wrong
  2  wrong usage

Examples:
  kamap map list
  kamap map create /sys/fs/bpf/counts --type hash --key 4 --value 8 --entries 1024
  kamap map update counts 7 1 --if-absent
  kamap map update prog.bss 0 --set limit=10 --set 'ports[1]=443'
  kamap map lookup flows '{port: 80, proto: TCP}'
  kamap map dump /sys/fs/bpf/counts --json | jq .value")]
pub(crate) struct MapArgs {
    #[command(subcommand)]
    pub(super) command: MapCommand,
}

/// What to do with maps.
#[derive(Debug, Subcommand)]
pub(super) enum MapCommand {
    /// List all maps
    List {
        /// Print JSON, one object per line
        #[arg(long)]
        json: bool,
    },
    /// Show what the kernel knows of a map
    Show {
        #[command(flatten)]
        map: Target,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Create(CreateArgs),
    Update(UpdateArgs),
    /// Print the value of a key; of a queue or stack the next value
    ///
    /// Of a bloom filter it tells whether a value may have been added (exit status 0) or surely has
    /// not (1).
    Lookup {
        #[command(flatten)]
        map: Target,
        /// The key; none for a queue or stack, and for a bloom filter the value
        #[arg(allow_negative_numbers = true)]
        key: Option<String>,
        #[command(flatten)]
        shown: Shown,
        /// Hold the value's bpf_spin_lock meanwhile
        #[arg(long)]
        locked: bool,
    },
    /// Remove a key and print its value, in one step; of a queue or stack the next value
    Take {
        #[command(flatten)]
        map: Target,
        /// The key; none for a queue or stack
        #[arg(allow_negative_numbers = true)]
        key: Option<String>,
        #[command(flatten)]
        shown: Shown,
        /// Hold the value's bpf_spin_lock meanwhile
        #[arg(long)]
        locked: bool,
    },
    /// Remove a key
    Delete {
        #[command(flatten)]
        map: Target,
        /// The key
        #[arg(allow_negative_numbers = true)]
        key: String,
    },
    /// Print the key after a key, or the first one
    ///
    /// The exit status is 1 after the last key. After a key that is not there, most maps begin anew:
    /// to see all of a map that changes use `kamap map dump`.
    Next {
        #[command(flatten)]
        map: Target,
        /// The key before it
        #[arg(allow_negative_numbers = true)]
        key: Option<String>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Print all entries
    ///
    /// While others write to the map: of a hash map of any kind, a key that is there all the time
    /// comes exactly once, no key comes twice, and no value is torn by whole updates. An array comes in
    /// order, each index once, but a value can be torn. Of an LPM trie and the other types no key comes
    /// twice, but one that is replaced meanwhile can be missed (of a trie this is too rare to have been
    /// seen); their values can be torn. It is never a picture of one moment: of keys that come and go
    /// meanwhile, some are seen and some are not.
    ///
    /// If so many keys go that the end cannot be reached, that is an error.
    Dump {
        #[command(flatten)]
        map: Target,
        #[command(flatten)]
        shown: Shown,
    },
    /// Pin a map at a path in a BPF file system, where it stays until it is unpinned
    Pin {
        #[command(flatten)]
        map: Target,
        /// Where; the folder must be there
        path: PathBuf,
    },
    /// Remove a pin; the map stays as long as anybody else has it
    Unpin {
        /// Where it is pinned
        path: PathBuf,
    },
    /// Let nobody change a map from user space any more, for ever
    Freeze {
        #[command(flatten)]
        map: Target,
    },
}

/// Which map.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// The map: ID, name or path (see `kamap map --help`)
    #[arg(value_name = "MAP", value_parser = which)]
    which: Which,
}

impl Target {
    pub(super) fn open(&self) -> kamap_bpf::Result<AnyMap> {
        self.which.open()
    }
}

/// How entries are shown.
#[derive(Debug, clap::Args)]
pub(super) struct Shown {
    /// Print JSON, one object per line
    #[arg(long)]
    pub(super) json: bool,

    /// Take and show all as bytes, whatever the BTF says
    #[arg(long)]
    pub(super) hex: bool,
}

/// Make a new map, and pin it at a path in a BPF file system
///
/// It has no BTF: keys and values are bytes.
#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    /// Where it is pinned; the folder must be there
    pub(super) path: PathBuf,

    /// Its type, such as hash, lru_hash, percpu_array or lpm_trie
    #[arg(short, long, value_name = "TYPE", value_parser = map_type)]
    pub(super) r#type: MapType,

    /// Bytes of a key
    #[arg(short, long, value_name = "BYTES", default_value_t = 0)]
    pub(super) key: u32,

    /// Bytes of a value
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub(super) value: u32,

    /// The most entries that it can hold; of a ring buffer its bytes
    #[arg(short, long, value_name = "N")]
    pub(super) entries: u32,

    /// Its name, of which the kernel keeps 15 bytes: letters, digits, `_` and `.`
    ///
    /// By default the name of the file, with `_` for other characters.
    #[arg(short, long)]
    name: Option<String>,

    /// Flags, as in linux/bpf.h without `BPF_F_`, or a number (separated by commas)
    ///
    /// An LPM trie needs no_prealloc.
    #[arg(short, long, value_delimiter = ',', value_parser = flag)]
    flags: Vec<u32>,

    /// The number `map_extra`; of a bloom filter how many hashes it has
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(super) extra: u64,

    /// For a map of maps: a map that is like those that it will hold
    #[arg(long, value_name = "MAP", value_parser = which)]
    inner: Option<Which>,

    /// Print JSON: what `kamap map show` prints
    #[arg(long)]
    pub(super) json: bool,
}

impl CreateArgs {
    pub(super) fn name(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let file = self.path.file_name().unwrap_or(OsStr::new(""));
        let may_be = |c: char| c.is_ascii_alphanumeric() || c == '.';
        file.to_string_lossy().replace(|c| !may_be(c), "_")
    }

    pub(super) fn flags(&self) -> u32 {
        self.flags.iter().fold(0, |all, flag| all | flag)
    }

    pub(super) fn inner(&self) -> kamap_bpf::Result<Option<AnyMap>> {
        self.inner.as_ref().map(Which::open).transpose()
    }
}

/// Write a value for a key, or parts of it; add a value to a queue, stack or bloom filter
#[derive(Debug, clap::Args)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    pub(super) map: Target,

    /// The key; for a map without keys the value
    #[arg(allow_negative_numbers = true)]
    pub(super) key: String,

    /// The value
    #[arg(allow_negative_numbers = true)]
    pub(super) value: Option<String>,

    /// Change only this part of the value that is there, such as `state=RUNNING` (repeatable)
    ///
    /// PART is members and indices: `peer.ports[1]=443`. Of a per-CPU map it is a part of the value
    /// of each CPU, or of one: `cpu0.hits=0`. All else keeps its bytes. Several are applied in their
    /// order, all of them or none.
    ///
    /// It is not atomic: the value is read, changed and written as a whole, so that what a program
    /// or another process writes to it in between is lost, to its other members as well. With
    /// --locked neither reading nor writing is torn, but the lock is not held from one to the other.
    /// The key must be there, and still be there when it is written.
    #[arg(long, value_name = "PART=LITERAL", conflicts_with_all = ["value", "if_absent"])]
    pub(super) set: Vec<String>,

    /// Only if the key is not there
    #[arg(long, conflicts_with = "if_present")]
    if_absent: bool,

    /// Only if the key is there
    #[arg(long)]
    if_present: bool,

    /// Hold the value's bpf_spin_lock meanwhile
    #[arg(long)]
    pub(super) locked: bool,
}

impl UpdateArgs {
    pub(super) fn put(&self) -> UpdateMode {
        match (self.if_absent, self.if_present) {
            (true, _) => UpdateMode::IfAbsent,
            (_, true) => UpdateMode::IfPresent,
            _ => UpdateMode::Any,
        }
    }
}

/// Which map, or which program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Id(u32),
    Name(String),
    Pin(PathBuf),
}

impl Which {
    pub(super) fn open(&self) -> kamap_bpf::Result<AnyMap> {
        match self {
            Self::Id(id) => AnyMap::open_id(*id),
            Self::Name(name) => AnyMap::open_name(name),
            Self::Pin(path) => AnyMap::open_pinned(path),
        }
    }
}

pub(super) fn which(text: &str) -> Result<Which, String> {
    let id = |text: &str| text.parse().map_err(|_| "an ID is a number".to_owned());
    if let Some(text) = text.strip_prefix("id:") {
        Ok(Which::Id(id(text)?))
    } else if let Some(name) = text.strip_prefix("name:") {
        Ok(Which::Name(name.to_owned()))
    } else if let Some(path) = text.strip_prefix("pin:") {
        Ok(Which::Pin(Path::new(path).to_owned()))
    } else if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) {
        Ok(Which::Id(id(text)?))
    } else if text.contains('/') {
        Ok(Which::Pin(Path::new(text).to_owned()))
    } else {
        Ok(Which::Name(text.to_owned()))
    }
}

fn map_type(text: &str) -> Result<MapType, String> {
    MapType::from_name(text).ok_or_else(|| {
        let names: Vec<_> = MapType::all().filter_map(MapType::name).collect();
        format!("there is {}", names.join(", "))
    })
}

fn flag(text: &str) -> Result<u32, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let flag = number.ok().or_else(|| flags::from_name(text));
    flag.ok_or_else(|| "neither a number nor a flag such as no_prealloc".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_ids_names_or_paths() {
        let name = |name: &str| Ok(Which::Name(name.to_owned()));
        let pin = |path: &str| Ok(Which::Pin(PathBuf::from(path)));
        assert_eq!(which("7"), Ok(Which::Id(7)));
        assert_eq!(which("id:7"), Ok(Which::Id(7)));
        assert_eq!(which("7a"), name("7a"));
        assert_eq!(which("name:7"), name("7"));
        assert_eq!(which("./7"), pin("./7"));
        assert_eq!(which("pin:7"), pin("7"));
        assert!(which("4294967296").is_err() && which("id:").is_err());
    }

    #[test]
    fn flags_are_names_or_numbers() {
        assert_eq!(flag("mmapable"), Ok(1 << 10));
        assert_eq!(flag("0x400"), Ok(1 << 10));
        assert_eq!(flag("1"), Ok(1));
        assert!(flag("fast").is_err());
    }
}
