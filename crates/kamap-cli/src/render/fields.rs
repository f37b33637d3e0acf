//! The fields of a process in JSON, the same in each line that has one.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use kamap::{Ancestor, Clock, Process};
use serde::Serialize;

use super::json::rfc3339;

/// A process: who it is, whose, and what it runs.
#[derive(Debug, Serialize)]
pub(super) struct ProcessFields {
    pub(super) pid: u32,
    start_time: String,
    start_boottime_ns: u64,
    ppid: u32,
    parent: Option<Identity>,
    uid: u32,
    gid: u32,
    #[serde(flatten)]
    comm: Comm,
    cgroup_id: u64,
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_hex: Option<String>,
    file_cut: bool,
    exe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exe_hex: Option<String>,
    exe_cut: bool,
    args: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args_hex: Option<Vec<String>>,
    args_cut: bool,
    execs: u32,
}

impl ProcessFields {
    pub(super) fn new(process: &Process, clock: &Clock) -> Self {
        let bytes = |path: Option<&Path>| path.map(|path| path.as_os_str().as_bytes().to_vec());
        let (file, exe) = (bytes(process.file()), bytes(process.exe()));
        let args: Vec<_> = process.args().map(OsStr::as_bytes).collect();
        let parent = process.parent_start_time.map(|start_time| Identity {
            pid: process.ppid,
            start_boottime_ns: nanos(start_time),
        });
        Self {
            pid: process.pid,
            start_time: rfc3339(clock.system_time(process.start_time)),
            start_boottime_ns: nanos(process.start_time),
            ppid: process.ppid,
            parent,
            uid: process.uid,
            gid: process.gid,
            comm: Comm::new(process.comm_bytes()),
            cgroup_id: process.cgroup_id,
            file_hex: file.as_deref().and_then(hex_if_replaced),
            file: file.as_deref().map(text),
            file_cut: process.file_cut,
            exe_hex: exe.as_deref().and_then(hex_if_replaced),
            exe: exe.as_deref().map(text),
            exe_cut: process.exe_cut,
            args_hex: args_hex(&args),
            args: args.into_iter().map(text).collect(),
            args_cut: process.args_cut,
            execs: process.execs,
        }
    }
}

/// Which process: its PID alone is used again.
#[derive(Debug, Serialize)]
struct Identity {
    pid: u32,
    start_boottime_ns: u64,
}

/// A name that the kernel has.
#[derive(Debug, Serialize)]
pub(super) struct Comm {
    comm: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    comm_hex: Option<String>,
}

impl Comm {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self {
            comm: text(bytes),
            comm_hex: hex_if_replaced(bytes),
        }
    }
}

/// A process from which another descends.
#[derive(Debug, Serialize)]
pub(super) struct AncestorObject {
    #[serde(flatten)]
    identity: Identity,
    #[serde(flatten)]
    comm: Comm,
}

impl From<&Ancestor> for AncestorObject {
    fn from(ancestor: &Ancestor) -> Self {
        Self {
            identity: Identity {
                pid: ancestor.pid,
                start_boottime_ns: nanos(ancestor.start_time),
            },
            comm: Comm::new(ancestor.comm_bytes()),
        }
    }
}

pub(super) fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}

/// Bytes that are no UTF-8 are replaced.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The exact bytes, where some are replaced in the text.
fn hex_if_replaced(bytes: &[u8]) -> Option<String> {
    str::from_utf8(bytes).is_err().then(|| hex(bytes))
}

/// The exact bytes of all arguments, where some are replaced in one.
fn args_hex(args: &[&[u8]]) -> Option<Vec<String>> {
    let replaced = args.iter().any(|arg| str::from_utf8(arg).is_err());
    replaced.then(|| args.iter().map(|arg| hex(arg)).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        // A string takes all that is written to it.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::super::escape::tests::{any_name, config};
    use super::*;

    prop_compose! {
        pub(in super::super) fn any_fields()(
            numbers in any::<[u32; 5]>(),
            wide in any::<[u64; 3]>(),
            flags in any::<[bool; 3]>(),
            comm in any_name(),
            [file, exe] in [option::of(any_name()), option::of(any_name())],
            args in vec(any_name(), 0..4),
        ) -> ProcessFields {
            let [pid, ppid, uid, gid, execs] = numbers;
            let [start_boottime_ns, parent, cgroup_id] = wide;
            let [file_cut, exe_cut, args_cut] = flags;
            let args: Vec<_> = args.iter().map(|arg| &arg[..]).collect();
            ProcessFields {
                pid, start_time: String::new(), start_boottime_ns, ppid,
                parent: Some(Identity { pid: ppid, start_boottime_ns: parent }),
                uid, gid, comm: Comm::new(&comm), cgroup_id,
                file_hex: file.as_deref().and_then(hex_if_replaced),
                file: file.as_deref().map(text), file_cut,
                exe_hex: exe.as_deref().and_then(hex_if_replaced),
                exe: exe.as_deref().map(text), exe_cut,
                args_hex: args_hex(&args),
                args: args.into_iter().map(text).collect(), args_cut, execs,
            }
        }
    }

    fn bytes(digits: &str) -> Vec<u8> {
        let digit = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
        (0..digits.len()).step_by(2).map(digit).collect()
    }

    proptest! {
        #![proptest_config(config(2048))]

        #[test]
        fn exact_bytes_follow_where_some_were_replaced(name in any_name()) {
            let comm = Comm::new(&name);
            prop_assert_eq!(comm.comm_hex.is_some(), comm.comm.as_bytes() != name);
            let exact = comm.comm_hex.map_or(comm.comm.into_bytes(), |digits| bytes(&digits));
            prop_assert_eq!(exact, name);
        }
    }

    #[test]
    fn all_arguments_are_there_exactly_where_one_was_replaced() {
        assert_eq!(args_hex(&[b"a", "ä".as_bytes()]), None);
        let exact = args_hex(&[b"a", b"\xff", b""]).expect("one was replaced");
        assert_eq!(exact, ["61", "ff", ""]);
    }
}
