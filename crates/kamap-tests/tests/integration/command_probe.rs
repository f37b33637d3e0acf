//! `kamap probe`.

use std::process::Command;

use kamap_tests::command::{json, output};
use serde_json::Value;

use crate::programs::KAMAP;

/// Runs `kamap probe` after `before`; returns its lines.
#[track_caller]
fn probe(before: &[&str]) -> Vec<Value> {
    let mut words = before
        .iter()
        .copied()
        .chain([KAMAP, "probe", "--json", "--program", "kprobe"]);
    let mut command = Command::new(words.next().expect("there is one"));
    command.args(words);
    json(&output(command))
}

#[track_caller]
fn line<'a>(lines: &'a [Value], r#type: &str, name: &str) -> &'a Value {
    let is = |line: &&Value| line["type"] == r#type && line["name"] == name;
    let found = lines.iter().find(is);
    found.unwrap_or_else(|| panic!("no {type} {name}: {lines:?}"))
}

#[test]
fn what_kamap_itself_uses_is_offered() {
    let lines = probe(&[]);
    for (r#type, name) in [
        ("kamap", "kamap"),
        ("map_type", "hash"),
        ("map_type", "percpu_array"),
        ("map_type", "ringbuf"),
        ("program_type", "raw_tracepoint"),
        ("program_type", "kprobe"),
    ] {
        let line = line(&lines, r#type, name);
        assert_eq!(
            (&line["v"], &line["offered"]),
            (&1.into(), &true.into()),
            "{line}"
        );
        assert_eq!(line.get("reason"), None, "{line}");
    }
    let kprobe = line(&lines, "program_type", "kprobe");
    let helpers = kprobe["helpers"].as_array().expect("they are listed");
    for (helper, offered) in [
        ("map_lookup_elem", true),
        ("probe_read_kernel", true),
        ("redirect_map", false),
    ] {
        assert_eq!(
            helpers.contains(&helper.into()),
            offered,
            "{helper}: {helpers:?}"
        );
    }
    // They were not requested.
    assert_eq!(
        line(&lines, "program_type", "raw_tracepoint").get("helpers"),
        None
    );
}

#[test]
fn what_a_lack_of_capabilities_hides_is_unknown() {
    let lines = probe(&["setpriv", "--bounding-set=-all", "--inh-caps=-all"]);
    let kamap = line(&lines, "kamap", "kamap");
    assert_eq!(kamap["offered"], false);
    let reason = kamap["reason"].as_str().expect("there is one");
    assert!(
        reason.contains("CAP_BPF and CAP_PERFMON missing"),
        "{reason}"
    );
    let kprobe = line(&lines, "program_type", "kprobe");
    assert_eq!(kprobe["offered"], Value::Null);
    assert_eq!(
        kprobe["reason"],
        "needs CAP_BPF and CAP_PERFMON and CAP_NET_ADMIN"
    );
    assert_eq!(kprobe.get("helpers"), None);
    assert!(lines.len() > 60, "{}", lines.len());
    let absent = lines.iter().skip(1).find(|line| line["offered"] == false);
    assert_eq!(absent, None, "nothing can be known to be absent");
}

#[test]
fn a_user_namespace_hides_it_as_well() {
    let lines = probe(&["unshare", "--user", "--map-root-user"]);
    let kprobe = line(&lines, "program_type", "kprobe");
    assert_eq!(kprobe["reason"], "this is a user namespace of its own");
}
