//! `kamap map`, and bpftool on the same maps.

use std::collections::BTreeMap;
use std::fs;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kamap_bpf::{AnyMap, MapSpec, MapType, UpdateMode};
use kamap_bpf::{Probe, Support};
use kamap_tests::{BpfFs, Congestion, Program, possible_cpus, typed};
use rstest::rstest;
use serde_json::{Value, json};

use crate::programs::KAMAP;

/// Runs a program to its end; returns its exit status, standard output and standard error.
#[track_caller]
fn run(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("it is UTF-8");
    let code = status.code().expect("it exits");
    (code, text(stdout), text(stderr))
}

/// Runs `kamap map`, which must succeed without output on standard error.
#[track_caller]
fn kamap(arguments: &[&str]) -> String {
    let (code, stdout, stderr) = run(Command::new(KAMAP).arg("map").args(arguments));
    assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}");
    stdout
}

/// Runs `kamap map`, which must fail with one line; returns it without `kamap: `.
#[track_caller]
fn refused(arguments: &[&str]) -> String {
    let (code, stdout, stderr) = run(Command::new(KAMAP).arg("map").args(arguments));
    assert_eq!((code, stdout.as_str()), (1, ""), "{arguments:?}: {stderr}");
    let line = stderr
        .strip_prefix("kamap: ")
        .and_then(|line| line.strip_suffix('\n'));
    let line = line.unwrap_or_else(|| panic!("one line: {stderr}"));
    assert!(!line.contains('\n'), "{line}");
    line.to_owned()
}

/// Runs `bpftool map`, which must succeed. Its arguments are separated by spaces.
#[track_caller]
fn bpftool(arguments: &str) -> Value {
    let mut command = Command::new(kamap_tests::bpftool());
    let (code, stdout, stderr) = run(command.args(["-j", "map"]).args(arguments.split(' ')));
    assert_eq!(code, 0, "{arguments}: {stdout}{stderr}");
    serde_json::from_str(&stdout).unwrap_or(Value::Null)
}

/// Bytes as bpftool prints them: `["0x01", "0xff"]`.
#[track_caller]
fn bytes(value: &Value) -> Vec<u8> {
    let bytes = value.as_array().expect("it is a list");
    let byte = |byte: &Value| {
        let digits = byte.as_str().and_then(|byte| byte.strip_prefix("0x"));
        u8::from_str_radix(digits.expect("it is hexadecimal"), 16).expect("it is a byte")
    };
    bytes.iter().map(byte).collect()
}

/// Bytes as kamap prints them: `{"hex": "01ff"}`. Numbers have 4 bytes here.
#[track_caller]
fn hex(value: &Value) -> Vec<u8> {
    if let Some(number) = value.as_u64() {
        return u32::try_from(number)
            .expect("it fits")
            .to_ne_bytes()
            .to_vec();
    }
    let digits = value["hex"].as_str().expect("it is hexadecimal");
    let digits = digits.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).expect("it is ASCII"), 16);
    digits
        .map(|pair| byte(pair).expect("it is a byte"))
        .collect()
}

/// Values by key; for a per-CPU map one for each CPU.
type Contents = BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

#[track_caller]
fn by_bpftool(path: &str) -> Contents {
    let entries = bpftool(&format!("dump pinned {path}"));
    let entries = entries.as_array().expect("it is a list").iter();
    // If there is no value, it prints an error instead.
    let entries = entries.filter(|entry| entry["value"].get("error").is_none());
    let entry = |entry: &Value| {
        let values = match entry["values"].as_array() {
            Some(cpus) => cpus.iter().map(|cpu| bytes(&cpu["value"])).collect(),
            None => vec![bytes(&entry["value"])],
        };
        (bytes(&entry["key"]), values)
    };
    entries.map(entry).collect()
}

#[track_caller]
fn by_kamap(path: &str) -> Contents {
    let lines = kamap(&["dump", path, "--json"]);
    let entry = |line| {
        let entry: Value = serde_json::from_str(line).expect("it is JSON");
        assert_eq!((&entry["v"], &entry["type"]), (&json!(1), &json!("entry")));
        let values = match entry["value"].get("cpu0") {
            Some(_) => {
                let cpus = entry["value"].as_object().expect("it has CPUs");
                let cpu = |i| &entry["value"][format!("cpu{i}")];
                (0..cpus.len()).map(|i| hex(cpu(i))).collect()
            }
            None => vec![hex(&entry["value"])],
        };
        (hex(&entry["key"]), values)
    };
    lines.lines().map(entry).collect()
}

/// A map type that both create, with sizes and flags.
struct Made {
    kind: &'static str,
    key: u32,
    value: u32,
    entries: u32,
    flags: u32,
}

impl Made {
    #[track_caller]
    fn by_kamap(&self, path: &Path, inner: Option<&str>) {
        assert_eq!(kamap(&words(&self.arguments(path, inner))), "");
    }

    /// The arguments with which `kamap map` creates it.
    fn arguments(&self, path: &Path, inner: Option<&str>) -> Vec<String> {
        let path = path.to_str().expect("it is UTF-8");
        let [key, value, entries, flags] =
            [self.key, self.value, self.entries, self.flags].map(|number| number.to_string());
        let mut arguments = vec!["create", path, "--type", self.kind, "--key", &key];
        arguments.extend(["--value", &value, "--entries", &entries, "--flags", &flags]);
        arguments.extend(inner.map(|inner| ["--inner", inner]).into_iter().flatten());
        arguments.into_iter().map(str::to_owned).collect()
    }

    #[track_caller]
    fn by_bpftool(&self, path: &Path, inner: Option<&str>) {
        let Self {
            kind,
            key,
            value,
            entries,
            flags,
        } = self;
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("it has a name");
        let path = path.display();
        let inner = inner.map_or(String::new(), |inner| format!(" inner_map pinned {inner}"));
        bpftool(&format!(
            "create {path} type {kind} key {key} value {value} entries {entries} name {name} \
             flags {flags}{inner}"
        ));
    }
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// Compares how both describe the map that is pinned there.
#[track_caller]
fn compare_descriptions(path: &str, made: &Made) {
    let theirs = bpftool(&format!("show pinned {path}"));
    let ours = kamap(&["show", path, "--json"]);
    let ours: Value = serde_json::from_str(&ours).expect("it is JSON");
    assert_eq!(ours["kind"], made.kind);
    // The kernel can add flags.
    let flags = theirs["flags"].as_u64().expect("it is a number") as u32;
    assert_eq!(flags & made.flags, made.flags);
    assert_eq!(ours["flags"], json!(kamap_bpf::flags::names(flags)));
    for (mine, other) in [
        ("id", "id"),
        ("kind", "type"),
        ("name", "name"),
        ("key_size", "bytes_key"),
        ("value_size", "bytes_value"),
        ("max_entries", "max_entries"),
        ("memory", "bytes_memlock"),
    ] {
        assert_eq!(ours[mine], theirs[other], "{mine}: {ours} {theirs}");
    }
    assert_eq!(ours["frozen"], theirs["frozen"] == 1);
}

#[rstest]
#[case::hash("hash", 4, 8, 0)]
#[case::lru_hash("lru_hash", 6, 3, 0)]
#[case::percpu_hash("percpu_hash", 5, 12, 1)]
#[case::lru_percpu_hash("lru_percpu_hash", 1, 8, 0)]
#[case::array("array", 4, 5, 0)]
#[case::percpu_array("percpu_array", 4, 8, 0)]
#[case::lpm_trie("lpm_trie", 8, 4, 1)]
#[case::devmap("devmap", 4, 8, 0)]
#[case::devmap_hash("devmap_hash", 4, 4, 0)]
#[case::cpumap("cpumap", 4, 4, 0)]
fn what_one_writes_the_other_reads(
    #[case] kind: &'static str,
    #[case] key: u32,
    #[case] value: u32,
    #[case] flags: u32,
) {
    let made = Made {
        kind,
        key,
        value,
        entries: 2,
        flags,
    };
    let folder = BpfFs::mount();
    let [ours, theirs] = ["ours", "theirs"].map(|name| folder.at(name));
    made.by_kamap(&ours, None);
    made.by_bpftool(&theirs, None);
    let [ours, theirs] = [&ours, &theirs].map(|path| path.to_str().expect("it is UTF-8"));
    compare_descriptions(ours, &made);
    compare_descriptions(theirs, &made);

    // Every machine has a loopback device and a first CPU. An index, and the length of a prefix, is
    // in the byte order of the machine.
    let (first, second) = (0, if kind == "cpumap" { 0 } else { 1 });
    let data: Vec<u8> = match kind {
        "devmap_hash" | "cpumap" => 1_u32.to_ne_bytes().to_vec(),
        // Devices without a program.
        "devmap" => [1_u32, 0].map(u32::to_ne_bytes).concat(),
        _ => (1..=value as u8).collect(),
    };
    let mut entries = Contents::new();
    let cpus = if kind.contains("percpu") {
        possible_cpus()
    } else {
        1
    };
    for path in [ours, theirs] {
        for number in [first, second] {
            let mut bytes = u32::to_ne_bytes(number).to_vec();
            bytes.resize(key as usize, 0);
            let text = |separator| {
                let hex = |bytes: &[u8]| -> Vec<String> {
                    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
                };
                [hex(&bytes).join(separator), hex(&data).join(separator)]
            };
            let [key, value] = text(" ");
            if path == ours {
                kamap(&[
                    "update",
                    path,
                    &format!("hex: {key}"),
                    &format!("hex: {value}"),
                ]);
            } else {
                bpftool(&format!(
                    "update pinned {path} key hex {key} value hex {value}"
                ));
            }
            entries.insert(bytes, vec![data.clone(); cpus]);
        }
        let mut found = [by_bpftool(path), by_kamap(path)];
        // An array also has elements that were never written.
        for found in &mut found {
            found.retain(|key, _| entries.contains_key(key));
        }
        assert_eq!(found[0], entries, "by bpftool, {path}");
        assert_eq!(found[1], entries, "by kamap, {path}");
    }
}

#[rstest]
#[case::prog_array("prog_array", 4, 4, 4)]
#[case::perf_event_array("perf_event_array", 4, 4, 4)]
#[case::cgroup_array("cgroup_array", 4, 4, 4)]
#[case::stack_trace("stack_trace", 4, 80, 4)]
#[case::sockmap("sockmap", 4, 8, 4)]
#[case::sockhash("sockhash", 4, 4, 4)]
#[case::xskmap("xskmap", 4, 4, 4)]
#[case::reuseport_sockarray("reuseport_sockarray", 4, 8, 4)]
#[case::cgroup_storage("cgroup_storage", 16, 8, 0)]
#[case::percpu_cgroup_storage("percpu_cgroup_storage", 16, 8, 0)]
#[case::bloom_filter("bloom_filter", 0, 4, 4)]
#[case::ringbuf("ringbuf", 0, 0, 4096)]
#[case::user_ringbuf("user_ringbuf", 0, 0, 4096)]
fn what_one_makes_the_other_knows(
    #[case] kind: &'static str,
    #[case] key: u32,
    #[case] value: u32,
    #[case] entries: u32,
) {
    let made = Made {
        kind,
        key,
        value,
        entries,
        flags: 0,
    };
    let folder = BpfFs::mount();
    let [ours, theirs] = ["ours", "theirs"].map(|name| folder.at(name));
    let known = MapType::from_name(kind).expect("there is such a type");
    if Probe::new().map_type(known) == Support::Absent {
        // The kernel is too old, or was built without this type.
        let error = refused(&words(&made.arguments(&ours, None)));
        assert!(
            error.starts_with("the kernel refused map `ours`"),
            "{error}"
        );
        return;
    }
    made.by_kamap(&ours, None);
    made.by_bpftool(&theirs, None);
    for path in [&ours, &theirs] {
        compare_descriptions(path.to_str().expect("it is UTF-8"), &made);
    }
}

#[rstest]
#[case::queue("queue", ["01", "02"])]
#[case::stack("stack", ["02", "01"])]
fn values_without_keys_come_in_the_order_of_the_kind(
    #[case] kind: &'static str,
    #[case] order: [&str; 2],
) {
    let made = Made {
        kind,
        key: 0,
        value: 1,
        entries: 2,
        flags: 0,
    };
    let folder = BpfFs::mount();
    let [ours, theirs] = ["ours", "theirs"].map(|name| folder.at(name));
    made.by_kamap(&ours, None);
    made.by_bpftool(&theirs, None);
    let [ours, theirs] = [&ours, &theirs].map(|path| path.to_str().expect("it is UTF-8"));
    compare_descriptions(ours, &made);
    compare_descriptions(theirs, &made);
    for number in ["1", "2"] {
        kamap(&["update", ours, number]);
        bpftool(&format!("push pinned {theirs} value {number}"));
    }
    let next = bpftool(&format!("peek pinned {ours}"));
    assert_eq!(next["value"], json!([format!("0x{}", order[0])]));
    assert_eq!(kamap(&["lookup", theirs]), format!("hex: {}\n", order[0]));
    for value in order {
        let theirs_of_ours = bpftool(&format!("dequeue pinned {ours}"));
        assert_eq!(theirs_of_ours["value"], json!([format!("0x{value}")]));
        assert_eq!(kamap(&["take", theirs]), format!("hex: {value}\n"));
    }
    assert_eq!(refused(&["take", theirs]), "map `theirs` is empty");
    let error = refused(&["dump", ours]);
    assert_eq!(
        error,
        format!("map `ours` is of type `{kind}`, which cannot walk")
    );
    let of_kind = format!("map `ours` is of type `{kind}`");
    assert_eq!(
        refused(&["update", ours, "1", "--if-absent"]),
        format!("{of_kind}, which has no keys to be absent or present")
    );
    assert_eq!(
        refused(&["update", ours, "1", "2"]),
        format!("{of_kind}, which has no keys")
    );
}

#[rstest]
#[case::array_of_maps("array_of_maps")]
#[case::hash_of_maps("hash_of_maps")]
fn maps_of_maps_are_filled_with_maps_and_tell_their_ids(#[case] kind: &'static str) {
    let folder = BpfFs::mount();
    let inner = folder.at("inner");
    let array = Made {
        kind: "array",
        key: 4,
        value: 4,
        entries: 1,
        flags: 0,
    };
    array.by_kamap(&inner, None);
    let inner = inner.to_str().expect("it is UTF-8");
    let id = AnyMap::open_pinned(inner).expect("it is there").info().id;
    let made = Made {
        kind,
        key: 4,
        value: 4,
        entries: 2,
        flags: 0,
    };
    let [ours, theirs] = ["ours", "theirs"].map(|name| folder.at(name));
    made.by_kamap(&ours, Some(inner));
    made.by_bpftool(&theirs, Some(inner));
    let [ours, theirs] = [&ours, &theirs].map(|path| path.to_str().expect("it is UTF-8"));
    compare_descriptions(ours, &made);
    compare_descriptions(theirs, &made);
    kamap(&["update", ours, "1", inner]);
    bpftool(&format!(
        "update pinned {theirs} key 1 0 0 0 value pinned {inner}"
    ));
    let id_of = vec![id.to_ne_bytes().to_vec()];
    let expected = Contents::from([(1_u32.to_ne_bytes().to_vec(), id_of)]);
    for path in [ours, theirs] {
        let mut by_bpftool = by_bpftool(path);
        by_bpftool.retain(|key, _| key[0] == 1);
        assert_eq!(by_bpftool, expected);
        assert_eq!(by_kamap(path), expected);
        assert_eq!(kamap(&["lookup", path, "1"]), format!("{id}\n"));
    }
    kamap(&["delete", ours, "1"]);
    assert_eq!(kamap(&["dump", ours]), "");
    let error = refused(&["update", ours, "1", ours]);
    assert!(
        error.starts_with("failed to insert a file in map `ours`"),
        "{error}"
    );
}

#[test]
fn a_bloom_filter_tells_what_it_surely_has_not() {
    let folder = BpfFs::mount();
    let path = folder.at("filter");
    let path = path.to_str().expect("it is UTF-8");
    kamap(&[
        "create",
        path,
        "--type",
        "bloom_filter",
        "--value",
        "4",
        "--entries",
        "100",
    ]);
    kamap(&["update", path, "7"]);
    assert_eq!(kamap(&["lookup", path, "7"]), "hex: 07 00 00 00\n");
    bpftool(&format!("push pinned {path} value 8 0 0 0"));
    assert_eq!(kamap(&["lookup", path, "8"]), "hex: 08 00 00 00\n");
    // At most 1 in 1,000 absent values may seem present, not all of them.
    let absent = (100..110).find(|number: &i32| {
        let mut command = Command::new(KAMAP);
        run(command.args(["map", "lookup", path, &number.to_string()])).0 == 1
    });
    let absent = absent.expect("not all are there").to_string();
    assert_eq!(
        refused(&["lookup", path, &absent]),
        "map `filter` does not have this value"
    );
}

/// A pinned map with BTF.
struct Typed {
    _folder: BpfFs,
    path: PathBuf,
}

impl Typed {
    #[track_caller]
    fn new(kind: &str, locked: bool) -> Self {
        Self::pin(&typed::processes(kind, locked))
    }

    #[track_caller]
    fn pin(map: &AnyMap) -> Self {
        let folder = BpfFs::mount();
        let path = folder.at("typed");
        map.pin(&path).expect("it can be pinned");
        let _folder = folder;
        Self { _folder, path }
    }

    fn path(&self) -> &str {
        self.path.to_str().expect("it is UTF-8")
    }
}

const PROCESS: &str =
    r#"{pid: 7, name: "a\u{1b}", state: DEAD, ports: [80, 443], alive: true, nice: 19}"#;

#[test]
fn values_are_given_and_shown_as_their_btf_says() {
    let map = Typed::new("hash", false);
    let path = map.path();
    kamap(&["update", path, "1", PROCESS]);
    assert_eq!(kamap(&["lookup", path, "1"]), format!("{PROCESS}\n"));
    assert_eq!(kamap(&["dump", path]), format!("1 => {PROCESS}\n"));
    assert_eq!(kamap(&["next", path]), "1\n");
    let line: Value = serde_json::from_str(&kamap(&["lookup", path, "1", "--json"])).expect("JSON");
    assert_eq!(
        line,
        json!({"v": 1, "type": "entry", "key": 1, "value": {
            "pid": 7, "name": "a\u{1b}", "state": "DEAD", "ports": [80, 443], "alive": true,
            "nice": 19,
        }})
    );
    kamap(&["update", path, "2", r#"{name: "\xff", ..}"#]);
    let line: Value = serde_json::from_str(&kamap(&["take", path, "2", "--json"])).expect("JSON");
    assert_eq!(line["value"]["name"], json!({"hex": "ff"}));
    let next = kamap(&["next", path, "--json"]);
    assert_eq!(next, "{\"v\":1,\"type\":\"key\",\"key\":1}\n");
    let hex = kamap(&["lookup", path, "1", "--hex"]);
    assert!(hex.starts_with("hex: 07 00 00 00 61 1b 00"), "{hex}");

    // bpftool reads the same values, and kamap reads what bpftool writes.
    let theirs = &bpftool(&format!("dump pinned {path}"))[0]["formatted"];
    assert_eq!(
        (&theirs["key"], &theirs["value"]["pid"]),
        (&json!(1), &json!(7))
    );
    assert_eq!(theirs["value"]["state"], "DEAD");
    assert_eq!(theirs["value"]["ports"], json!([80, 443]));
    bpftool(&format!(
        "update pinned {path} key 2 0 0 0 value 9 0 0 0 98 0 0 0 0 0 0 0 1 0 0 0 1 0 2 0 2 0 0 0"
    ));
    let shown = r#"{pid: 9, name: "b", state: RUNNING, ports: [1, 2], alive: false, nice: 1}"#;
    assert_eq!(kamap(&["take", path, "2"]), format!("{shown}\n"));
    assert_eq!(refused(&["take", path, "2"]), "map `typed` has no such key");
    assert_eq!(
        refused(&["lookup", path, "2"]),
        "map `typed` has no such key"
    );
    assert_eq!(
        refused(&["delete", path, "2"]),
        "map `typed` has no such key"
    );
    assert_eq!(
        refused(&["next", path, "1"]),
        "map `typed` has no more keys"
    );
}

#[test]
fn variables_of_one_name_are_told_apart_and_written_back() {
    let map = Typed::pin(&typed::variables());
    let path = map.path();
    let value = "{counter#1: 1, position: {x: 2, y: 3, z: 4}, counter#2: 5, f.counter: 6}";
    kamap(&["update", path, "0", value]);
    assert_eq!(kamap(&["dump", path]), format!("0 => {value}\n"));
    let bytes = "01 00 00 00 02 03 00 00 04 00 00 00 05 00 00 00 06 00 00 00";
    assert_eq!(
        kamap(&["lookup", path, "0", "--hex"]),
        format!("hex: {bytes}\n")
    );
    let json = r#"{"counter#1":1,"position":{"x":2,"y":3,"z":4},"counter#2":5,"f.counter":6}"#;
    let line = format!("{{\"v\":1,\"type\":\"entry\",\"key\":0,\"value\":{json}}}\n");
    assert_eq!(kamap(&["lookup", path, "0", "--json"]), line);
    kamap(&["update", path, "0", "{..}"]);
    kamap(&["update", path, "0", json]);
    assert_eq!(kamap(&["dump", path]), format!("0 => {value}\n"));
    assert_eq!(
        refused(&["update", path, "0", "{counter: 7, ..}"]),
        "value: expected one of several members (`counter#1`, `counter#2`), found `counter`"
    );
}

#[test]
fn members_of_two_structs_without_a_name_are_told_apart_and_written_back() {
    let map = Typed::pin(&typed::of_twins());
    let path = map.path();
    let value = "{x#1: 1, y#1: 2, x#2: 3, y#2: 4}";
    kamap(&["update", path, "7", value]);
    assert_eq!(kamap(&["lookup", path, "7"]), format!("{value}\n"));
    let line: Value = serde_json::from_str(&kamap(&["lookup", path, "7", "--json"])).expect("JSON");
    assert_eq!(
        line["value"],
        json!({"x#1": 1, "y#1": 2, "x#2": 3, "y#2": 4})
    );
}

#[rstest]
#[case::hash("hash")]
#[case::percpu_hash("percpu_hash")]
fn json_that_is_printed_can_be_given(#[case] kind: &str) {
    let map = Typed::new(kind, false);
    let path = map.path();
    let entry = |key: &str| -> Value {
        serde_json::from_str(&kamap(&["lookup", path, key, "--json"])).expect("JSON")
    };
    kamap(&["update", path, "1", PROCESS]);
    let printed = entry("1");
    kamap(&["update", path, "2", &printed["value"].to_string()]);
    assert_eq!(entry("2")["value"], printed["value"]);

    // Text that is not UTF-8.
    kamap(&["update", path, "3", r#"{"name": "\xff", ..}"#]);
    let printed = entry("3");
    assert!(printed.to_string().contains(r#"{"hex":"ff"}"#), "{printed}");
    kamap(&["update", path, "4", &printed["value"].to_string()]);
    assert_eq!(entry("4")["value"], printed["value"]);
}

#[test]
fn bytes_that_are_printed_as_json_can_be_given() {
    let folder = BpfFs::mount();
    let path = folder.at("plain");
    let made = Made {
        kind: "hash",
        key: 3,
        value: 5,
        entries: 1,
        flags: 0,
    };
    made.by_kamap(&path, None);
    let path = path.to_str().expect("it is UTF-8");
    let [key, value] = [r#"{"hex":"0102ff"}"#, r#"{"hex":"00aabbccdd"}"#];
    kamap(&["update", path, key, value]);
    let line = format!("{{\"v\":1,\"type\":\"entry\",\"key\":{key},\"value\":{value}}}\n");
    assert_eq!(kamap(&["lookup", path, key, "--json"]), line);
    kamap(&["delete", path, key]);
    assert_eq!(kamap(&["dump", path]), "");
}

#[test]
fn a_member_is_set_without_zeroing_the_others() {
    let map = Typed::new("hash", false);
    let path = map.path();
    kamap(&["update", path, "1", PROCESS]);
    kamap(&["update", path, "1", "--set", "state=RUNNING"]);
    let expected = PROCESS.replace("DEAD", "RUNNING");
    assert_eq!(kamap(&["dump", path]), format!("1 => {expected}\n"));
    let sets = ["--set", "ports[1]=1", "--set", "nice=3"];
    kamap(&[&["update", path, "1", "--if-present"], &sets[..]].concat());
    let expected = expected.replace("443", "1").replace("nice: 19", "nice: 3");
    assert_eq!(kamap(&["dump", path]), format!("1 => {expected}\n"));

    let refused = |arguments: &[&str]| refused(&[&["update", path], arguments].concat());
    // If one of several assignments is wrong, none is applied.
    assert_eq!(
        refused(&["1", "--set", "pid=9", "--set", "nice=32"]),
        "value.nice: expected a whole number from 0 to 31, found `32`"
    );
    assert_eq!(
        refused(&["2", "--set", "pid=9"]),
        "map `typed` has no such key"
    );
    assert_eq!(kamap(&["dump", path]), format!("1 => {expected}\n"));
    for arguments in [&["{..}"][..], &["--if-absent"]] {
        let mut command = Command::new(KAMAP);
        command.args(["map", "update", path, "1", "--set", "pid=9"]);
        let (code, _, stderr) = run(command.args(arguments));
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("cannot be used with"), "{stderr}");
    }
}

#[test]
fn a_variable_is_set_without_changing_padding_or_the_others() {
    let typed = typed::variables();
    let map = Typed::pin(&typed);
    let path = map.path();
    let mut bytes: Vec<u8> = (1..=20).collect();
    let key = 0_u32.to_ne_bytes();
    assert!(
        typed
            .insert(&key, &bytes, UpdateMode::Any, false)
            .expect("it can be written")
    );
    let sets = ["counter#2=0", "position.y=0", "f.counter=0"];
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    kamap(
        &["update", path, "0"]
            .into_iter()
            .chain(sets)
            .collect::<Vec<_>>(),
    );
    bytes[12..].fill(0);
    bytes[5] = 0;
    assert_eq!(typed.get(&key, false).expect("it can be read"), Some(bytes));
    assert_eq!(
        refused(&["update", path, "0", "--set", "counter=7"]),
        "value: expected one of several members (`counter#1`, `counter#2`), found `counter`"
    );
    kamap(&["freeze", path]);
    assert_eq!(
        refused(&["update", path, "0", "--set", "f.counter=7"]),
        "map `typed` is frozen: only BPF programs can write it"
    );
}

#[test]
fn a_member_is_set_for_each_cpu_or_for_one() {
    let map = Typed::new("percpu_array", false);
    let path = map.path();
    let value = || -> Value {
        let line: Value =
            serde_json::from_str(&kamap(&["lookup", path, "3", "--json"])).expect("JSON");
        line["value"].clone()
    };
    kamap(&["update", path, "3", PROCESS]);
    let mut expected = value();
    kamap(&[
        "update",
        path,
        "3",
        "--set",
        "ports[0]=1",
        "--set",
        "cpu0.pid=9",
    ]);
    for cpu in 0..possible_cpus() {
        expected[format!("cpu{cpu}")]["ports"][0] = json!(1);
    }
    expected["cpu0"]["pid"] = json!(9);
    assert_eq!(value(), expected);
}

#[test]
fn a_member_of_a_value_with_a_lock_is_set_holding_it() {
    let map = Typed::new("array", true);
    let path = map.path();
    kamap(&["update", path, "3", "{pid: 5, ..}", "--locked"]);
    kamap(&["update", path, "3", "--set", "name=\"x\"", "--locked"]);
    let value = kamap(&["lookup", path, "3", "--locked"]);
    assert!(value.starts_with("{pid: 5, name: \"x\","), "{value}");
}

#[test]
fn what_has_no_parts_cannot_be_set() {
    let folder = BpfFs::mount();
    for (kind, key, reason) in [
        ("queue", 0, "which has no keys"),
        ("prog_array", 4, "whose values have no parts"),
    ] {
        let path = folder.at(kind);
        let made = Made {
            kind,
            key,
            value: 4,
            entries: 1,
            flags: 0,
        };
        made.by_kamap(&path, None);
        let path = path.to_str().expect("it is UTF-8");
        assert_eq!(
            refused(&["update", path, "0", "--set", "x=1"]),
            format!("map `{kind}` is of type `{kind}`, {reason}")
        );
    }
}

#[test]
fn a_literal_that_does_not_fit_is_refused_with_the_name_of_the_field() {
    let map = Typed::new("hash", false);
    let refused = |key: &str, value: &str| refused(&["update", map.path(), key, value]);
    assert_eq!(
        refused("1", "{ports: [1, 65536], ..}"),
        "value.ports[1]: expected a whole number from 0 to 65535, found `65536`"
    );
    assert_eq!(
        refused("1", "{nice: 32, ..}"),
        "value.nice: expected a whole number from 0 to 31, found `32`"
    );
    assert_eq!(
        refused("one", "{..}"),
        "key: expected a whole number from 0 to 4294967295, found `one`"
    );
    assert_eq!(kamap(&["dump", map.path()]), "");
}

#[test]
fn conditions_decide_whether_a_key_is_written() {
    let map = Typed::new("hash", false);
    let path = map.path();
    let missing = refused(&["update", path, "1", "{pid: 1, ..}", "--if-present"]);
    assert_eq!(missing, "map `typed` has no such key");
    kamap(&["update", path, "1", "{pid: 2, ..}", "--if-absent"]);
    let there = refused(&["update", path, "1", "{pid: 3, ..}", "--if-absent"]);
    assert_eq!(there, "map `typed` has this key already");
    let pid = || kamap(&["lookup", path, "1"]);
    let shown = pid();
    assert!(shown.starts_with("{pid: 2,"), "{shown}");
    kamap(&["update", path, "1", "{pid: 4, ..}", "--if-present"]);
    let shown = pid();
    assert!(shown.starts_with("{pid: 4,"), "{shown}");
    // These values have no lock.
    for (arguments, operation) in [
        (&["update", path, "1", "{..}", "--locked"][..], "insert"),
        (&["lookup", path, "1", "--locked"], "look up"),
        (&["take", path, "1", "--locked"], "take"),
    ] {
        assert_eq!(
            refused(arguments),
            format!("failed to {operation} in map `typed`: Invalid argument (os error 22)")
        );
    }
    let opened = AnyMap::open_pinned(path).expect("it is there");
    for key in 2..=16_u32 {
        let value = vec![0; opened.value_len()];
        let inserted = opened.insert(&key.to_ne_bytes(), &value, UpdateMode::IfAbsent, false);
        assert!(inserted.expect("there is room"));
    }
    assert_eq!(
        refused(&["update", path, "17", "{..}"]),
        "map `typed` is full (16 entries)"
    );
    kamap(&["freeze", path]);
    let error = refused(&["update", path, "2", "{..}"]);
    assert_eq!(
        error,
        "map `typed` is frozen: only BPF programs can write it"
    );
    assert!(kamap(&["show", path]).contains("\nfrozen   yes"));
}

#[test]
fn a_value_with_a_lock_can_be_written_holding_it() {
    let map = Typed::new("array", true);
    let path = map.path();
    kamap(&["update", path, "3", "{pid: 5, ..}", "--locked"]);
    let value = kamap(&["lookup", path, "3", "--locked"]);
    assert!(
        value.starts_with("{pid: 5, name: \"\", state: IDLE,"),
        "{value}"
    );
    assert_eq!(kamap(&["dump", path]).lines().count(), 16);
    assert_eq!(
        refused(&["update", path, "16", "{..}"]),
        "index 16 is beyond the end of map `typed` (16 entries)"
    );
    assert_eq!(
        refused(&["delete", path, "3"]),
        "map `typed` is of type `array`, which cannot remove"
    );
}

#[test]
fn each_cpu_has_its_value() {
    let map = Typed::new("percpu_hash", false);
    let path = map.path();
    let members = |value: &dyn Fn(usize) -> String| {
        let cpus: Vec<_> = (0..possible_cpus())
            .map(|cpu| format!("cpu{cpu}: {}", value(cpu)))
            .collect();
        format!("{{{}}}", cpus.join(", "))
    };
    kamap(&["update", path, "1", PROCESS]);
    let same = members(&|_| PROCESS.to_owned());
    assert_eq!(kamap(&["lookup", path, "1"]), format!("{same}\n"));
    let other = members(&|cpu| PROCESS.replace("pid: 7", &format!("pid: {cpu}")));
    kamap(&["update", path, "1", &other, "--if-present"]);
    assert_eq!(kamap(&["dump", path]), format!("1 => {other}\n"));
    let error = refused(&["update", path, "1", "{cpu0: {nice: 99, ..}, ..}"]);
    assert_eq!(
        error,
        "value.cpu0.nice: expected a whole number from 0 to 31, found `99`"
    );
    assert_eq!(kamap(&["dump", path]), format!("1 => {other}\n"));
}

#[test]
fn a_pin_opens_where_its_btf_may_not_be_read() {
    let map = Typed::new("hash", false);
    kamap(&["update", map.path(), "1", PROCESS]);
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all,+bpf", "--inh-caps=-all", KAMAP]);
    let (code, stdout, stderr) = run(command.args(["map", "dump", map.path()]));
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stdout.starts_with("hex: 01 00 00 00 => hex: 07 00 00 00 61"),
        "{stdout}"
    );
    assert_eq!(
        stderr,
        "kamap: reading the BTF of map `typed` needs CAP_SYS_ADMIN: its types are unknown\n"
    );
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all,+bpf", "--inh-caps=-all", KAMAP]);
    let (code, _, stderr) = run(command.args(["map", "list"]));
    assert_eq!(code, 1);
    assert!(stderr.contains("CAP_SYS_ADMIN"), "{stderr}");
}

#[test]
fn a_map_is_found_by_id_name_and_path_unless_several_have_the_name() {
    let folder = BpfFs::mount();
    let name = format!("found{}", std::process::id());
    let make = || {
        let kind = MapType::from_name("array").expect("there is such a type");
        AnyMap::create(kind, (4, 4), &MapSpec::new(&name, 1)).expect("it can be made")
    };
    let one = make();
    let id = one.info().id.to_string();
    let path = folder.at("pin");
    let path = path.to_str().expect("it is UTF-8");
    kamap(&["pin", &name, path]);
    let failed = format!("failed to pin or unpin map `{name}` at");
    assert_eq!(
        refused(&["pin", &name, path]),
        format!("{failed} `{path}`: File exists (os error 17)")
    );
    let outside = std::env::temp_dir().join(&name);
    for (place, reason) in [
        (outside.as_path(), "Operation not permitted (os error 1)"),
        (
            &folder.at("absent/pin"),
            "No such file or directory (os error 2)",
        ),
    ] {
        let place = place.to_str().expect("it is UTF-8");
        assert_eq!(
            refused(&["pin", &name, place]),
            format!(
                "{failed} `{place}`: {reason} (the folder must be in a BPF file system, and the name must \
                 have no dots)"
            )
        );
    }
    kamap(&["update", &id, "0", "5"]);
    for map in [
        &id,
        &name,
        path,
        &format!("id:{id}"),
        &format!("name:{name}"),
    ] {
        assert_eq!(kamap(&["lookup", map, "0"]), "hex: 05 00 00 00\n");
    }
    let list = kamap(&["list"]);
    assert_eq!(
        list.lines().filter(|line| line.contains(&name)).count(),
        1,
        "{list}"
    );
    assert!(
        list.starts_with("  ID TYPE") || list.contains("ID TYPE"),
        "{list}"
    );
    let listed = kamap(&["list", "--json"]);
    let listed = listed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    assert_eq!(listed.filter(|map| map["id"] == one.info().id).count(), 1);

    let two = make();
    let error = refused(&["show", &name]);
    let ids = format!("{id}, {}", two.info().id);
    assert_eq!(
        error,
        format!("there are 2 maps with the name `{name}`; open one by its ID: [{ids}]")
    );
    drop((one, two));
    assert_eq!(kamap(&["lookup", path, "0"]), "hex: 05 00 00 00\n");
    kamap(&["unpin", path]);
    assert_eq!(
        refused(&["unpin", path]),
        format!("there is no map pinned at `{path}`")
    );
    let gone = refused(&["show", "name:no such map"]);
    assert_eq!(gone, "there is no map with the name `no such map`");
}

#[test]
fn a_struct_ops_map_is_shown_by_the_types_of_the_kernel() {
    let mut storage = MaybeUninit::uninit();
    let mut congestion = Congestion::new(&mut storage);
    let id = congestion.map.info().id.to_string();
    let [ssthresh, cong_avoid, undo_cwnd] = congestion.programs();
    let shown = kamap(&["show", &id]);
    assert!(
        shown.contains("\ntypes    from the kernel's BTF; functions are the IDs of programs\n"),
        "{shown}"
    );
    let lookup = kamap(&["lookup", &id, "0", "--json"]);
    let line: Value = serde_json::from_str(&lookup).expect("JSON");
    let value = &line["value"];
    let data = &value["data"];
    for (member, expected) in [
        ("ssthresh", json!(ssthresh)),
        ("cong_avoid", json!(cong_avoid)),
        ("undo_cwnd", json!(undo_cwnd)),
        ("cong_control", json!(0)),
        ("name", json!(congestion.name)),
    ] {
        assert_eq!(data[member], expected, "{member}: {value}");
    }
    assert!(
        value
            .to_string()
            .contains(r#""BPF_STRUCT_OPS_STATE_INUSE""#),
        "{value}"
    );
    let dumped = kamap(&["dump", &id]);
    assert!(dumped.starts_with("0 => {"), "{dumped}");
    assert!(
        dumped.contains(&format!("ssthresh: {ssthresh}, ")),
        "{dumped}"
    );
    let hex = kamap(&["lookup", &id, "0", "--hex"]);
    assert!(hex.starts_with("hex: "), "{hex}");

    // Reading returns IDs of programs, but writing would need their file descriptors.
    let error = "map `congestion` is of type `struct_ops`, which cannot insert plain data";
    let value = value.to_string();
    for arguments in [&["{..}"][..], &[&value], &["--set", "data.ssthresh=0"]] {
        let arguments = [&["update", &id, "0"], arguments].concat();
        assert_eq!(refused(&arguments), error);
    }
    let is_available = || {
        let names = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control");
        let names = names.expect("it is there");
        names.split_whitespace().any(|name| name == congestion.name)
    };
    assert!(is_available());
    kamap(&["delete", &id, "0"]);
    assert!(!is_available());
    congestion.disconnect();
}

#[test]
fn programs_and_cgroups_are_put_in_by_what_users_have_of_them() {
    let folder = BpfFs::mount();
    let [programs, cgroups] = ["prog_array", "cgroup_array"].map(|kind| {
        let path = folder.at(kind);
        let made = Made {
            kind,
            key: 4,
            value: 4,
            entries: 2,
            flags: 0,
        };
        made.by_kamap(&path, None);
        path.to_str().expect("it is UTF-8").to_owned()
    });
    let program = Program::load();
    let id = program.id.to_string();
    let pin = folder.at("program");
    program.pin(&pin);
    kamap(&["update", &programs, "0", &id]);
    kamap(&["update", &programs, "1", pin.to_str().expect("it is UTF-8")]);
    assert_eq!(
        kamap(&["dump", &programs]),
        format!("0 => {id}\n1 => {id}\n")
    );
    let [first, second] = [0_u32, 1].map(|index| index.to_ne_bytes().to_vec());
    let id_of = vec![program.id.to_ne_bytes().to_vec()];
    let both = Contents::from([(first, id_of.clone()), (second.clone(), id_of.clone())]);
    assert_eq!(by_bpftool(&programs), both);
    kamap(&["delete", &programs, "0"]);
    assert_eq!(by_bpftool(&programs), Contents::from([(second, id_of)]));
    assert_eq!(kamap(&["dump", &programs]), format!("1 => {id}\n"));
    bpftool(&format!(
        "update pinned {programs} key 0 0 0 0 value id {id}"
    ));
    assert_eq!(by_kamap(&programs), both);
    kamap(&["delete", &programs, "0"]);
    let pin = pin.to_str().expect("it is UTF-8");
    assert_eq!(
        refused(&["show", pin]),
        format!(
            "what is pinned at `{pin}` is a BPF program, not a map: Invalid argument (os error 22)"
        )
    );
    let error = refused(&["update", &programs, "0", "name"]);
    assert_eq!(
        error,
        "value: expected the ID or path of a program, found `name`"
    );

    let error = refused(&["update", &cgroups, "0", "/no/such/folder"]);
    assert!(
        error.starts_with("value: no folder of a cgroup: `/no/such/folder`"),
        "{error}"
    );
    let error = refused(&["update", &cgroups, "0", "/proc"]);
    assert!(
        error.starts_with("failed to insert a file in map `cgroup_array`"),
        "{error}"
    );
    let error = refused(&["dump", &cgroups]);
    assert_eq!(
        error,
        "map `cgroup_array` is of type `cgroup_array`, which cannot read values"
    );
}
