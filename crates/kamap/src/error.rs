//! What can go wrong with the tracker.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::kernel_version::{self, OLDEST_KERNEL};
use crate::limits::BYTES_PER_ENTRY;
use crate::{Kinds, maps};

/// The result of an operation of the tracker.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with the tracker. Each says what is wrong and, where it
/// lies with the user, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The process has not the capabilities that it takes.
    #[error(
        "not permitted: {} missing; run it as root (`sudo`), or give it CAP_BPF and CAP_PERFMON",
        missing.join(" and ")
    )]
    MissingCapabilities {
        /// Which are missing.
        missing: Vec<&'static str>,
    },
    /// The kernel refuses although the capabilities are there.
    #[error(
        "the kernel does not permit BPF here, although the capabilities are there; run it \
         outside of the container or user namespace, and see that no security module or \
         lockdown mode forbids BPF"
    )]
    Denied {
        /// What libbpf said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The kernel was built without a description of its types.
    #[error(
        "this kernel has no BTF (`{path}` does not exist); use a kernel built with \
         CONFIG_DEBUG_INFO_BTF=y"
    )]
    NoBtf {
        /// Where it should be.
        path: &'static str,
    },
    /// The process is in a namespace from which not all can be seen.
    #[error(
        "this is a {namespace} namespace of its own, from which not every process can be seen \
         exactly; run it outside, or a container with the host's (`--pid=host`)"
    )]
    Namespace {
        /// Which kind: `pid` or `time`.
        namespace: &'static str,
    },
    /// The kernel lacks something, and is older than what is supported.
    #[error(
        "kernel {release} is too old: kamap needs {}.{} or newer ({reason})",
        OLDEST_KERNEL.0,
        OLDEST_KERNEL.1
    )]
    KernelTooOld {
        /// The kernel's release, as `uname -r` shows it.
        release: String,
        /// What failed.
        reason: String,
        /// All that libbpf and the kernel's verifier said.
        log: String,
    },
    /// The kernel's verifier rejected a program.
    #[error(
        "this kernel's verifier rejected the program `{program}`: {reason}; this is a defect \
         of kamap, please report it with the whole log"
    )]
    Rejected {
        /// Name of the program.
        program: String,
        /// The verifier's last word.
        reason: String,
        /// All that libbpf and the verifier said.
        log: String,
    },
    /// The kernel refused a table of this size.
    #[error(
        "the kernel refused a table of {max_entries} entries, about {mebibytes} MiB: {reason}; \
         ask for a smaller one"
    )]
    TableRefused {
        /// The size asked for.
        max_entries: u32,
        /// Kernel memory that it would take.
        mebibytes: u64,
        /// What the kernel said.
        reason: String,
    },
    /// The BPF object could not be opened, loaded or attached.
    #[error("failed to {action}: {source}")]
    Libbpf {
        /// What was tried.
        action: &'static str,
        /// What libbpf said.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// All that libbpf printed.
        log: String,
    },
    /// A map could not be read.
    #[error(transparent)]
    Map(#[from] maps::Error),
    /// A list of the filter of events has too many values.
    #[error("the filter of events has too many values of one sort: {most} at most")]
    FilterTooLong {
        /// How many a list can have.
        most: usize,
    },
    /// The ring of events cannot be of this size.
    #[error(
        "the ring of events cannot have {bytes} bytes: it takes a power of two, {least} at least"
    )]
    RingSize {
        /// The size asked for.
        bytes: u32,
        /// The smallest size: a page.
        least: u32,
    },
    /// A record of the ring of events is none of kamap's, or of another version.
    #[error("the ring of events has a record of {len} bytes that is none of this version")]
    Record {
        /// Its length in bytes.
        len: usize,
    },
    /// An event is of a process that contradicts what is known of its PID.
    #[error(
        "an event is of a process {pid} that started {start_time:?} after boot, but the one that \
         started {known:?} after boot has not ended"
    )]
    UnknownProcess {
        /// Its PID.
        pid: u32,
        /// When it started: since boot.
        start_time: Duration,
        /// When the process of this PID started that is known.
        known: Duration,
    },
    /// Nothing is attached.
    #[error("nothing is attached in `{}`; attach it with `kamap attach`", dir.display())]
    NotAttached {
        /// The folder.
        dir: PathBuf,
    },
    /// Something is attached already.
    #[error(
        "kamap {version} is attached in `{}` already; replace it with `kamap attach --replace`",
        dir.display()
    )]
    AlreadyAttached {
        /// The folder.
        dir: PathBuf,
        /// Version of the kamap that has attached it.
        version: String,
        /// When: since boot.
        since: Duration,
    },
    /// What was read has been detached meanwhile, or replaced by another tracker.
    #[error("what was attached in `{}` has been detached", dir.display())]
    Detached {
        /// The folder.
        dir: PathBuf,
    },
    /// Something of what was attached is missing.
    #[error(
        "what is attached in `{}` is damaged: {} is missing; run `kamap detach` and `kamap attach`",
        dir.display(),
        missing.join(", ")
    )]
    Damaged {
        /// The folder.
        dir: PathBuf,
        /// Names of the pins.
        missing: Vec<String>,
    },
    /// Another version of kamap has attached something that this one would misread.
    #[error(
        "what is attached in `{}` is of another version of kamap, with another layout; use that \
         version, or run `kamap detach` and `kamap attach`",
        dir.display()
    )]
    OtherLayout {
        /// The folder.
        dir: PathBuf,
    },
    /// What is attached may not be read.
    #[error(
        "failed to read what is attached in `{}`: {source}; run it as root, or as a member of the group \
         that was named to `kamap attach --group`",
        dir.display()
    )]
    NotReadable {
        /// The folder.
        dir: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The group that is to read what is attached cannot get there.
    #[error(
        "members of group {gid} cannot enter `{}`, which is on the way to the pins; let them (`chmod o+x`), or name \
         a folder elsewhere (docs/pinned.md)",
        path.display()
    )]
    GroupShutOut {
        /// The group.
        gid: u32,
        /// The folder that it cannot enter.
        path: PathBuf,
    },
    /// A folder cannot have pins.
    #[error(
        "`{}` is not on a BPF file system, or is the root of one; mount one there (`mount -t bpf bpf DIR`), or name a folder below \
         /sys/fs/bpf",
        dir.display()
    )]
    NotBpffs {
        /// The folder.
        dir: PathBuf,
    },
    /// The file system of the pins is read-only: nothing can be attached, replaced or detached there, and of what is
    /// attached only the table and the counters can be read.
    #[error(
        "the BPF file system of `{}` is mounted read-only; make it writable (`mount -o remount,rw`)",
        dir.display()
    )]
    ReadOnly {
        /// The folder.
        dir: PathBuf,
    },
    /// A folder of pins cannot have this name.
    #[error("`{}` cannot be a folder of pins: its name {reason}; choose another one", dir.display())]
    BadName {
        /// The folder.
        dir: PathBuf,
        /// What is wrong with its name.
        reason: String,
    },
    /// Somebody else reads the events that are attached.
    #[error(
        "process {pid} (`{command}`) reads the events that are attached; end it, or take over with `--steal`"
    )]
    RingHeld {
        /// Its PID.
        pid: u32,
        /// Its arguments.
        command: String,
    },
    /// Another reader has taken over the events that are attached.
    #[error("another reader has taken over the events that are attached in `{}`", dir.display())]
    TakenOver {
        /// The folder.
        dir: PathBuf,
    },
    /// No events are attached, or not all of the kinds that are wanted.
    #[error(
        "what is attached in `{}` does not record these events, or not so many ancestors, or cannot tell by \
         cgroup; attach it with `kamap attach --events`, or use `--own`",
        dir.display()
    )]
    NoEvents {
        /// The folder.
        dir: PathBuf,
    },
    /// What is attached does not serve to follow a command.
    #[error(
        "what is attached in `{}` does not record {} of every process; attach it with `kamap attach --events --kind \
         {}`, or run the command without `--dir`",
        dir.display(),
        kinds.names().collect::<Vec<_>>().join(", "),
        kinds.names().collect::<Vec<_>>().join(",")
    )]
    NotEveryProcess {
        /// The folder.
        dir: PathBuf,
        /// The kinds of events that are needed.
        kinds: Kinds,
    },
    /// A tracker can take over another one's maps only as they are.
    #[error(
        "what is attached in `{}` has a table or a ring of another size, or another number of ancestors, which \
         cannot change while it is attached; run `kamap detach` first",
        dir.display()
    )]
    OtherSizes {
        /// The folder.
        dir: PathBuf,
    },
    /// Something could not be pinned or unpinned.
    #[error("failed to pin or unpin `{}`: {source}", path.display())]
    NotPinned {
        /// What.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A command could not be started.
    #[error("failed to run `{program}`: {source}")]
    Spawn {
        /// Its program, as it was asked for.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A system call failed.
    #[error("failed to {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Error {
    /// The whole log of libbpf and the kernel's verifier, where there is one.
    pub fn log(&self) -> Option<&str> {
        match self {
            Self::KernelTooOld { log, .. }
            | Self::Rejected { log, .. }
            | Self::Libbpf { log, .. } => Some(log),
            _ => None,
        }
    }

    /// Why libbpf failed to `action`, which would have taken a table of
    /// `max_entries`, as far as what it printed tells.
    pub(crate) fn from_libbpf(
        action: &'static str,
        source: libbpf_rs::Error,
        log: String,
        max_entries: u32,
    ) -> Self {
        if source.kind() == libbpf_rs::ErrorKind::PermissionDenied && rejected(&log).is_none() {
            return Self::Denied {
                source: source.into(),
            };
        }
        if let Some(reason) = refused_map(&log, "processes") {
            return Self::TableRefused {
                max_entries,
                mebibytes: (u64::from(max_entries) * BYTES_PER_ENTRY) >> 20,
                reason,
            };
        }
        let rejected = rejected(&log);
        if let Some(release) = kernel_version::too_old() {
            let reason = match rejected {
                Some((program, reason)) => format!("program `{program}`: {reason}"),
                None => format!("{source:#}"),
            };
            return Self::KernelTooOld {
                release,
                reason,
                log,
            };
        }
        match rejected {
            Some((program, reason)) => Self::Rejected {
                program,
                reason,
                log,
            },
            None => Self::Libbpf {
                action,
                source: source.into(),
                log,
            },
        }
    }
}

/// The program that the verifier rejected, and the verifier's last word on it.
fn rejected(log: &str) -> Option<(String, String)> {
    let (_, from) = log.split_once("libbpf: prog '")?;
    let (program, _) = from.split_once('\'')?;
    let (_, verifier) = log.split_once("-- BEGIN PROG LOAD LOG --")?;
    let (verifier, _) = verifier.split_once("-- END PROG LOAD LOG --")?;
    let reason = verifier
        .lines()
        .map(str::trim)
        .rfind(|line| {
            // Statistics come last, and source lines in between.
            !line.is_empty() && !line.starts_with("processed ") && !line.starts_with(';')
        })
        .unwrap_or("it gave no reason");
    Some((program.to_owned(), reason.to_owned()))
}

/// Why the kernel refused the map `name`, if it did.
fn refused_map(log: &str, name: &str) -> Option<String> {
    let (_, reason) = log.split_once(&format!("libbpf: map '{name}': failed to create: "))?;
    reason.lines().next().map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    const REJECTED: &str = "\
libbpf: prog 'on_exec': BPF program load failed: -EACCES
libbpf: prog 'on_exec': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
; u32 pid = task->tgid; @ kamap.bpf.c:12
0: (79) r6 = *(u64 *)(r1 +0)
1: (61) r2 = *(u32 *)(r6 +99999)
access beyond struct task_struct at off 99999 size 4
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0
-- END PROG LOAD LOG --
libbpf: prog 'on_exec': failed to load: -EACCES
libbpf: failed to load object 'kamap_bpf'
";

    #[test]
    fn the_verifiers_reason_is_found() {
        let (program, reason) = rejected(REJECTED).expect("it is in the log");
        assert_eq!(program, "on_exec");
        assert_eq!(
            reason,
            "access beyond struct task_struct at off 99999 size 4"
        );
        assert_eq!(rejected("libbpf: failed to find valid kernel BTF\n"), None);
    }

    #[test]
    fn a_refused_map_is_found() {
        let log = "libbpf: map 'processes': failed to create: -E2BIG\nlibbpf: failed to load\n";
        assert_eq!(refused_map(log, "processes").as_deref(), Some("-E2BIG"));
        assert_eq!(refused_map(log, "counters"), None);
    }

    #[test]
    fn a_rejection_keeps_its_log() {
        let source = libbpf_rs::Error::from_raw_os_error(13);
        let error = Error::from_libbpf("load", source, REJECTED.to_owned(), 1);
        assert!(
            error
                .to_string()
                .contains("rejected the program `on_exec`: access beyond")
        );
        assert_eq!(error.log(), Some(REJECTED));
    }

    #[test]
    fn eperm_without_a_verifiers_log_is_a_denial() {
        let source = libbpf_rs::Error::from_raw_os_error(1);
        let error = Error::from_libbpf("load", source, String::new(), 1);
        assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    }
}
