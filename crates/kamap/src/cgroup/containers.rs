//! Containers and Kubernetes pods in the path of a cgroup.

use super::{Container, Runtime};

/// What runtimes put before the ID of a container, in the name of a scope or, without systemd, of a
/// folder. The names of their monitors (`crio-conmon-…`, `libpod-conmon-…`) have no ID after it.
const PREFIXES: [(&str, Runtime); 6] = [
    ("docker", Runtime::Docker),
    ("cri-containerd", Runtime::Containerd),
    ("nerdctl", Runtime::Containerd),
    ("crio", Runtime::CriO),
    ("libpod", Runtime::Podman),
    // One that shares the cgroup of the service that has started it.
    ("libpod-payload", Runtime::Podman),
];

/// The innermost container, and the UID of the innermost pod, in a path of these names.
pub(super) fn of<'a>(names: impl Iterator<Item = &'a str>) -> (Option<Container>, Option<String>) {
    let (mut container, mut pod) = (None, None);
    let mut in_kubernetes = false;
    let mut parent = "";
    for name in names {
        if let Some(found) = container_of(name, parent) {
            container = Some(found);
        }
        in_kubernetes |= name.contains("kubepods");
        if in_kubernetes && let Some(uid) = pod_of(name) {
            pod = Some(uid);
        }
        parent = name;
    }
    (container, pod)
}

/// The container whose cgroup has this name, below a cgroup with the name `parent`.
fn container_of(name: &str, parent: &str) -> Option<Container> {
    let found = |id: &str, runtime| {
        let id = id.to_owned();
        Some(Container { id, runtime })
    };
    if name == "payload" {
        let machine = machine(parent)?;
        return found(&machine, Some(Runtime::Nspawn));
    }
    if is_id(name) {
        return match parent {
            "docker" => found(name, Some(Runtime::Docker)),
            // A pod of Podman's, which is no container.
            "libpod_parent" => None,
            _ => found(name, None),
        };
    }
    // A scope that was meant for systemd, made by a runtime that does not use it: `….slice:docker:ID`.
    let mut parts = name.rsplitn(3, ':');
    if let (Some(id), Some(prefix), Some(_)) = (parts.next(), parts.next(), parts.next()) {
        let runtime = runtime(prefix)?;
        return is_id(id).then(|| found(id, Some(runtime)))?;
    }
    let (prefix, id) = name
        .strip_suffix(".scope")
        .unwrap_or(name)
        .rsplit_once('-')?;
    let runtime = runtime(prefix)?;
    is_id(id).then(|| found(id, Some(runtime)))?
}

fn runtime(prefix: &str) -> Option<Runtime> {
    let known = PREFIXES.iter().find(|known| known.0 == prefix);
    known.map(|known| known.1)
}

/// Whether it is an ID as all of these runtimes make them: 256 bits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_hex)
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The machine that systemd-nspawn runs in the unit with this name. Of other units that begin in the
/// same way, such as those of virtual machines, none has a cgroup `payload`.
fn machine(unit: &str) -> Option<String> {
    if let Some(name) = unit.strip_prefix("systemd-nspawn@") {
        return name.strip_suffix(".service").map(str::to_owned);
    }
    let name = unit.strip_prefix("machine-")?.strip_suffix(".scope")?;
    // The only character of a machine's name that systemd escapes.
    Some(name.replace("\\x2d", "-"))
}

/// The UID of the pod whose cgroup has this name: `pod…`, or `…-pod….slice` with systemd.
fn pod_of(name: &str) -> Option<String> {
    let uid = match name.split_once(".slice") {
        Some((slice, _)) => slice.rsplit_once("-pod")?.1,
        None => name.strip_prefix("pod")?,
    };
    // systemd would take a dash for the end of another slice's name.
    let uid = uid.replace('_', "-");
    let mut parts = uid.split('-').map(str::len);
    let is_uuid = parts.clone().eq([8, 4, 4, 4, 12]);
    let is_hash = parts.next() == Some(32) && parts.next().is_none();
    let is_hex = uid.bytes().all(|byte| byte == b'-' || is_hex(byte));
    ((is_uuid || is_hash) && is_hex).then_some(uid)
}
