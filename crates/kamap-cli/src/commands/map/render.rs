//! Maps and entries, as text and as JSON.

use std::ffi::OsStr;
use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use kamap_bpf::btf::Value;
use kamap_bpf::{EntryTypes, Info, TypeSource, flags};
use serde::Serialize;

use crate::render::{VERSION, escape};

/// Writes entries, each on a line.
pub(super) struct Entries<'a, W: Write> {
    pub(super) out: W,
    pub(super) types: &'a EntryTypes,
    pub(super) json: bool,
}

impl<W: Write> Entries<'_, W> {
    /// A value alone; as JSON with its key, if there is one.
    pub(super) fn value(&mut self, key: Option<&[u8]>, value: &[u8]) -> io::Result<()> {
        if self.json {
            return self.json(key, Some(value));
        }
        let value = shown(self.types.value.read(value));
        writeln!(self.out, "{value}")
    }

    pub(super) fn key(&mut self, key: &[u8]) -> io::Result<()> {
        if self.json {
            return self.json(Some(key), None);
        }
        writeln!(self.out, "{}", shown(self.types.key.read(key)))
    }

    pub(super) fn entry(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if self.json {
            return self.json(Some(key), Some(value));
        }
        let key = shown(self.types.key.read(key));
        let value = shown(self.types.value.read(value));
        writeln!(self.out, "{key} => {value}")
    }

    fn json(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> io::Result<()> {
        let line = EntryLine {
            v: VERSION,
            r#type: if value.is_some() { "entry" } else { "key" },
            key: key.map(|key| self.types.key.read(key)),
            value: value.map(|value| self.types.value.read(value)),
        };
        serde_json::to_writer(&mut self.out, &line)?;
        self.out.write_all(b"\n")
    }
}

/// On one line, and harmless.
fn shown(value: Value<'_>) -> String {
    escape(OsStr::new(&value.to_string()))
}

#[derive(Serialize)]
struct EntryLine<'a> {
    v: u32,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Value<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value<'a>>,
}

/// A line for each map.
pub(super) fn table(maps: &[Info]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header([
            "ID", "TYPE", "NAME", "KEY", "VALUE", "ENTRIES", "MEMORY", "BTF", "FLAGS",
        ]);
    for map in maps {
        table.add_row([
            map.id.to_string(),
            map.kind.to_string(),
            escape(OsStr::new(&map.name)),
            map.key_size.to_string(),
            map.value_size.to_string(),
            map.max_entries.to_string(),
            or_unknown(map.memory),
            if map.btf_id.is_none() { "no" } else { "yes" }.to_owned(),
            flag_names(map),
        ]);
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if matches!(i, 0 | 3..=6) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// All that is known of one map, a line each.
pub(super) fn details(map: &Info, types: TypeSource) -> String {
    let types = match types {
        TypeSource::Btf => "from its BTF",
        TypeSource::NoBtf => "unknown, it has no BTF",
        TypeSource::KernelBtf => "from the kernel's BTF; functions are the IDs of programs",
        TypeSource::NoKernelBtf => "unknown, /sys/kernel/btf/vmlinux does not have them",
        TypeSource::NotPermitted => "unknown, reading its BTF needs CAP_SYS_ADMIN",
        _ => "unknown",
    };
    let rows = [
        ("id", map.id.to_string()),
        ("type", map.kind.to_string()),
        ("name", escape(OsStr::new(&map.name))),
        ("key", format!("{} bytes", map.key_size)),
        (
            "value",
            match map.kind.is_per_cpu() {
                true => format!("{} bytes for each CPU", map.value_size),
                false => format!("{} bytes", map.value_size),
            },
        ),
        ("entries", format!("{} at most", map.max_entries)),
        ("memory", format!("{} bytes", or_unknown(map.memory))),
        ("flags", flag_names(map)),
        ("extra", map.extra.to_string()),
        ("types", types.to_owned()),
        (
            "frozen",
            match map.frozen {
                true => "yes: user space cannot write it".to_owned(),
                false => "no".to_owned(),
            },
        ),
    ];
    let lines: Vec<_> = rows
        .iter()
        .map(|(name, value)| format!("{name:8} {value}"))
        .collect();
    lines.join("\n")
}

fn or_unknown(number: Option<u64>) -> String {
    number.map_or_else(|| "?".to_owned(), |number| number.to_string())
}

fn flag_names(map: &Info) -> String {
    match flags::names(map.flags) {
        none if none.is_empty() => "-".to_owned(),
        names => names.join(","),
    }
}

/// A map as JSON, on one line.
pub(super) fn json(map: &Info) -> String {
    let line = MapLine {
        v: VERSION,
        r#type: "map",
        id: map.id,
        kind: map.kind.to_string(),
        name: &map.name,
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: map.max_entries,
        flags: flags::names(map.flags),
        extra: map.extra,
        btf_id: map.btf_id,
        frozen: map.frozen,
        memory: map.memory,
    };
    serde_json::to_string(&line).expect("it has text keys only")
}

#[derive(Serialize)]
struct MapLine<'a> {
    v: u32,
    r#type: &'static str,
    id: u32,
    kind: String,
    name: &'a str,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: Vec<String>,
    extra: u64,
    btf_id: Option<u32>,
    frozen: bool,
    memory: Option<u64>,
}
