//! What a process has loaded into the kernel.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use libbpf_rs::query::{LinkInfoIter, MapInfoIter, ProgInfoIter};

/// The BPF objects behind a process's file descriptors.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// IDs of its programs.
    pub programs: Vec<u32>,
    /// IDs of its maps.
    pub maps: Vec<u32>,
    /// IDs of its links, which attach programs.
    pub links: Vec<u32>,
}

impl Loaded {
    /// How many links an attached tracker has: for exit, exec and fork, and for two iterators.
    pub const LINKS: usize = 5;

    /// The objects of the process `pid`, from `/proc/PID/fdinfo`.
    ///
    /// # Panics
    ///
    /// If there is no such process.
    #[track_caller]
    pub fn by(pid: u32) -> Self {
        let folder = format!("/proc/{pid}/fdinfo");
        Self::behind(fs::read_dir(folder).expect("the process is there"))
    }

    fn behind(descriptors: fs::ReadDir) -> Self {
        let mut loaded = Self::default();
        for entry in descriptors {
            // A descriptor can be closed meanwhile.
            let Ok(info) = entry.and_then(|entry| fs::read_to_string(entry.path())) else {
                continue;
            };
            let id = |key: &str| {
                info.lines().find_map(|line| {
                    line.strip_prefix(key)?
                        .strip_prefix(':')?
                        .trim()
                        .parse()
                        .ok()
                })
            };
            // A link also reports its program.
            match (id("link_id"), id("map_id"), id("prog_id")) {
                (Some(link), _, _) => loaded.links.push(link),
                (_, Some(map), _) => loaded.maps.push(map),
                (_, _, Some(program)) => loaded.programs.push(program),
                _ => {}
            }
        }
        // Several descriptors can refer to the same object.
        for ids in [&mut loaded.programs, &mut loaded.maps, &mut loaded.links] {
            ids.sort_unstable();
            ids.dedup();
        }
        loaded
    }

    /// IDs of kamap's programs that the kernel has and no process holds. There must be none, except
    /// for a moment after a kamap has ended.
    ///
    /// # Panics
    ///
    /// If /proc cannot be read.
    #[track_caller]
    pub fn orphans() -> Vec<u32> {
        // By name, because other software keeps programs attached on purpose.
        let of_kamap = |name: &[u8]| [&b"on_fork"[..], b"on_exec", b"on_exit"].contains(&name);
        let mut orphans: Vec<u32> = ProgInfoIter::default()
            .filter(|info| of_kamap(info.name.as_bytes()))
            .map(|info| info.id)
            .collect();
        for entry in fs::read_dir("/proc").expect("it can be read").flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // The process can end meanwhile.
            if let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) {
                let held = Self::behind(entries).programs;
                orphans.retain(|id| !held.contains(id));
            }
        }
        orphans
    }

    /// Whether the kernel has freed all of them.
    pub fn is_gone(&self) -> bool {
        !ProgInfoIter::default().any(|info| self.programs.contains(&info.id))
            && !MapInfoIter::default().any(|info| self.maps.contains(&info.id))
            && !LinkInfoIter::default().any(|info| self.links.contains(&info.id))
    }
}
