//! Capabilities of this process.

use std::io;

/// A capability: its name and its number (linux/capability.h).
pub type Capability = (&'static str, u32);

/// Needed to create maps and load programs (Linux 5.8).
pub const BPF: Capability = ("CAP_BPF", 39);
/// Needed to load programs that read kernel memory, and to open perf events (Linux 5.8).
pub const PERFMON: Capability = ("CAP_PERFMON", 38);
/// Needed to load programs that see network traffic.
pub const NET_ADMIN: Capability = ("CAP_NET_ADMIN", 12);

/// `CAP_SYS_ADMIN` includes the others, as far as BPF is concerned.
const SYS_ADMIN: u32 = 21;

/// Names of the capabilities in `wanted` that this process lacks. `CAP_SYS_ADMIN` includes all of
/// them.
///
/// # Errors
///
/// If `/proc/self/status` cannot be read.
pub fn missing(wanted: &[Capability]) -> io::Result<Vec<&'static str>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    Ok(missing_by(&status, wanted))
}

/// The same for a process with this content of `/proc/PID/status`.
fn missing_by(status: &str, wanted: &[Capability]) -> Vec<&'static str> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    let has = |bit: u32| effective & (1 << bit) != 0;
    wanted
        .iter()
        .filter(|(_, bit)| !has(*bit) && !has(SYS_ADMIN))
        .map(|(name, _)| *name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        let status = |mask: &str| format!("Name:\tkamap\nCapEff:\t{mask}\nCapBnd:\t0\n");
        let missing = |mask| missing_by(&status(mask), &[BPF, PERFMON]);
        assert_eq!(missing("0000000000000000"), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing("0000008000000000"), ["CAP_PERFMON"]);
        assert_eq!(missing("0000004000000000"), ["CAP_BPF"]);
        assert!(missing("000000c000000000").is_empty());
        assert!(missing("0000000000200000").is_empty());
        assert!(missing("000001ffffffffff").is_empty());
        assert_eq!(
            missing_by(&status("000000c000000000"), &[NET_ADMIN]),
            ["CAP_NET_ADMIN"]
        );
    }
}
