//! What this machine must offer, and in which words its lack is told.

use std::path::Path;

use crate::{Error, Result};
use kamap_bpf::capabilities::{self, BPF, PERFMON};

/// The oldest kernel that is supported: major and minor version.
pub(crate) const OLDEST_KERNEL: (u32, u32) = (5, 15);

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

/// The release of the running kernel, if it is older than what is supported.
///
/// Asked only after something has failed: distributions carry what is needed
/// back to kernels with older numbers.
pub(crate) fn too_old() -> Option<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let release = release.trim();
    (version(release)? < OLDEST_KERNEL).then(|| release.to_owned())
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases_are_read() {
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("5.14.0-503.el9.x86_64"), Some((5, 14)));
        assert_eq!(version("6.1"), Some((6, 1)));
        assert_eq!(version("linux"), None);
        assert!((5, 4) < OLDEST_KERNEL && (6, 0) > OLDEST_KERNEL);
    }
}
