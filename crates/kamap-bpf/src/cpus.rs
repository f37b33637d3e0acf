//! Lists of CPUs in sysfs.

use std::fs;
use std::io;
use std::sync::OnceLock;

use crate::{Error, Result};

/// Distance in bytes between the values of two CPUs in a per-CPU map.
pub(crate) fn stride(value_size: usize) -> usize {
    value_size.next_multiple_of(8)
}

/// Numbers of all possible CPUs, in order: per-CPU maps have a value for each of them. They do not
/// change while the machine runs, so they are read once.
pub(crate) fn possible() -> Result<&'static [u32]> {
    static POSSIBLE: OnceLock<Vec<u32>> = OnceLock::new();
    if let Some(cpus) = POSSIBLE.get() {
        return Ok(cpus);
    }
    let cpus = read("possible").map_err(|source| Error::PossibleCpus { source })?;
    Ok(POSSIBLE.get_or_init(|| cpus))
}

/// Numbers of the CPUs that are online now.
pub(crate) fn online() -> io::Result<Vec<u32>> {
    read("online")
}

fn read(which: &str) -> io::Result<Vec<u32>> {
    let list = fs::read_to_string(format!("/sys/devices/system/cpu/{which}"))?;
    parse(&list).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a list of CPUs"))
}

/// Parses a list such as `0-3,8`.
fn parse(list: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cpus.extend(first.parse::<u32>().ok()?..=last.parse().ok()?);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_ranges_and_gaps() {
        assert_eq!(parse("0\n"), Some(vec![0]));
        assert_eq!(parse("0-2,8,10-11\n"), Some(vec![0, 1, 2, 8, 10, 11]));
        assert_eq!(parse("\n"), None);
        assert_eq!(parse("0-"), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "calls libbpf")]
    fn libbpf_counts_the_same() {
        // SAFETY: reads a file.
        let count = unsafe { libbpf_sys::libbpf_num_possible_cpus() };
        assert_eq!(
            possible().map(<[u32]>::len).ok(),
            usize::try_from(count).ok()
        );
    }
}
