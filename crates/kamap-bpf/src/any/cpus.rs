//! The CPUs that a per-CPU map has values for.

use std::io;

/// Bytes from the value of one CPU to that of the next.
pub(super) fn stride(value_size: usize) -> usize {
    value_size.next_multiple_of(8)
}

/// Numbers of all CPUs that there can be, in the order of their values.
pub(super) fn possible() -> io::Result<Vec<u32>> {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/possible")?;
    parse(&list).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a list of CPUs"))
}

/// Reads a list such as `0-3,8`.
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
            possible().map(|cpus| cpus.len()).ok(),
            usize::try_from(count).ok()
        );
    }
}
