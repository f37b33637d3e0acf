//! The version of the running kernel.

/// The oldest kernel that is supported: major and minor version.
pub(crate) const OLDEST_KERNEL: (u32, u32) = (5, 15);

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
