//! A cgroup, and what its path says about who runs in it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

mod containers;
mod units;

/// A cgroup of the v2 hierarchy: its path, and the names that systemd, container runtimes and
/// Kubernetes put into it.
///
/// Nothing but the path is read, so the names are as exact as the convention by which their owner
/// makes paths. [`Process::cgroup`](crate::Process::cgroup) has the cgroup of a process;
/// [`Cgroups`](crate::Cgroups) finds one by its ID.
///
/// ```
/// use kamap::Cgroup;
///
/// let nginx = Cgroup::new("/system.slice/nginx.service");
/// assert_eq!(nginx.unit(), Some("nginx.service"));
/// assert_eq!(nginx.container(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
    unit: Option<String>,
    user_unit: Option<String>,
    container: Option<Container>,
    pod_uid: Option<String>,
}

impl Cgroup {
    /// The cgroup with this path, from the root of the hierarchy: `/system.slice/nginx.service`, as
    /// `/proc/PID/cgroup` has it in the line that begins with `0::`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let names = || {
            let names = path.as_os_str().as_bytes().split(|byte| *byte == b'/');
            // systemd, the runtimes and Kubernetes use ASCII.
            names.filter_map(|name| str::from_utf8(name).ok().filter(|name| !name.is_empty()))
        };
        let (unit, user_unit) = units::of(names());
        let (container, pod_uid) = containers::of(names());
        Self {
            unit: unit.map(str::to_owned),
            user_unit: user_unit.map(str::to_owned),
            container,
            pod_uid,
            path,
        }
    }

    /// The path from the root of the hierarchy. It can have any bytes but NUL: escape it before it goes
    /// to a terminal.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of its folder. `None` for the root.
    pub fn name(&self) -> Option<&OsStr> {
        self.path.file_name()
    }

    /// The unit of the system's systemd, as `systemctl` and `ps -o unit` name it: a service, a scope, or
    /// another unit that has processes, but not a slice. For a user's service it is the manager of that
    /// user, `user@1000.service`. A container that is a unit of its own is one here, too:
    /// `docker-….scope`. `None` outside of any unit.
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// The unit of a user's systemd, as `systemctl --user` and `ps -o uunit` name it. `None` if it is not
    /// below the manager of a user.
    pub fn user_unit(&self) -> Option<&str> {
        self.user_unit.as_deref()
    }

    /// The innermost container. `None` outside of containers, and for the processes by which a runtime
    /// watches a container (`conmon`, `systemd-nspawn` itself).
    pub fn container(&self) -> Option<&Container> {
        self.container.as_ref()
    }

    /// The UID of the innermost Kubernetes pod: with dashes, as `kubectl` shows it. For a static pod
    /// it is the hash of its configuration.
    pub fn pod_uid(&self) -> Option<&str> {
        self.pod_uid.as_deref()
    }
}

/// A container, see [`Cgroup::container`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Container {
    /// Its ID, in full: 64 hexadecimal digits. For systemd-nspawn it is the name of the machine.
    pub id: String,
    /// What runs it. `None` if the path does not say: without systemd, Kubernetes gives the
    /// containers of each runtime the same paths, and any of them can be told to use a path.
    pub runtime: Option<Runtime>,
}

/// What runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Runtime {
    /// Docker.
    Docker,
    /// containerd, for Kubernetes or nerdctl.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman.
    Podman,
    /// systemd-nspawn.
    Nspawn,
}

impl Runtime {
    /// Its name: `docker`, `containerd`, `cri-o`, `podman` or `systemd-nspawn`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::Nspawn => "systemd-nspawn",
        }
    }
}

#[cfg(test)]
mod tests;
