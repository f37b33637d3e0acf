//! What this machine must offer, and in which words its lack is told.

use std::path::Path;

use crate::{Error, Result};
use kamap_bpf::capabilities::{self, BPF, PERFMON};

const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Namespaces that have to be the initial ones, with their fixed inode numbers
/// (`PROC_PID_INIT_INO` and `PROC_TIME_INIT_INO` of linux/proc_ns.h): in another
/// PID namespace the task iterator shows only its processes, in another time
/// namespace the time since boot is not the kernel's.
const NAMESPACES: [(&str, u32); 2] = [("pid", 0xEFFF_FFFC), ("time", 0xEFFF_FFFA)];

/// Fails with the first thing that is missing and can be known beforehand.
pub(crate) fn check() -> Result<()> {
    let missing = capabilities::missing(&[BPF, PERFMON]).map_err(|source| Error::System {
        action: "read /proc/self/status",
        source,
    })?;
    if !missing.is_empty() {
        return Err(Error::MissingCapabilities { missing });
    }
    if !Path::new(KERNEL_BTF).exists() {
        return Err(Error::NoBtf { path: KERNEL_BTF });
    }
    for (namespace, initial) in NAMESPACES {
        // A kernel built without namespaces of this kind has no such file.
        if let Ok(found) = std::fs::read_link(format!("/proc/self/ns/{namespace}"))
            && found.as_os_str() != &*format!("{namespace}:[{initial}]")
        {
            return Err(Error::Namespace { namespace });
        }
    }
    Ok(())
}
