//! The programs on the tracepoints, and how many of their runs the kernel has skipped.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::maps::{Array, Check, Map};
use crate::skel::types::kamap_description;
use crate::{Error, Result, bpffs, pin_names, place, program};

/// The programs on the tracepoints, as far as they can be asked.
#[derive(Debug)]
pub(crate) struct Programs {
    current: Mutex<Current>,
    /// Where others can replace them.
    pins: Option<Pins>,
}

#[derive(Debug)]
struct Current {
    programs: Vec<OwnedFd>,
    /// Skipped runs of those that they have replaced.
    missed_before: u64,
    /// The number of the folder in which they are pinned.
    folder: Option<u64>,
}

#[derive(Debug)]
struct Pins {
    dir: PathBuf,
    /// Id of the table that they fill.
    table: u32,
}

impl Programs {
    /// Those of a tracker of one's own.
    pub(crate) fn own(programs: Vec<OwnedFd>) -> Self {
        let current = Current {
            programs,
            missed_before: 0,
            folder: None,
        };
        Self {
            current: Mutex::new(current),
            pins: None,
        }
    }

    /// Those that are pinned in `dir` and fill the table with this id.
    pub(crate) fn pinned(dir: &Path, table: u32) -> Result<Self> {
        Ok(Self {
            current: Mutex::new(Current::open(dir)?),
            pins: Some(Pins {
                dir: dir.to_owned(),
                table,
            }),
        })
    }

    /// How many runs the kernel has skipped: of these, and of those that they have replaced.
    pub(crate) fn missed_runs(&self) -> Result<u64> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newer) = self.pins.as_ref().and_then(|pins| pins.replaced(&current)) {
            *current = newer;
        }
        let mut missed = current.missed_before;
        for program in &current.programs {
            // Since Linux 5.12.
            missed += program::info(program.as_fd())?.recursion_misses;
        }
        Ok(missed)
    }
}

impl Current {
    fn open(dir: &Path) -> Result<Self> {
        let folder = place::inode(dir);
        let description: Map<Array<kamap_description>> =
            Map::open_pinned(dir.join("description"), Check::LayoutOrSizes)?;
        let description = description.get(&0)?.unwrap_or_default();
        Ok(Self {
            programs: open(dir)?,
            missed_before: description.missed_before,
            folder,
        })
    }
}

impl Pins {
    /// Those that have replaced `current`, if others have. What cannot be opened any more has been detached:
    /// then nothing is added to the count.
    fn replaced(&self, current: &Current) -> Option<Current> {
        let folder = place::inode(&self.dir);
        if folder.is_none() || folder == current.folder {
            return None;
        }
        let newer = Current::open(&self.dir).ok()?;
        let is_whole = place::table_id(&self.dir) == Some(self.table)
            && place::inode(&self.dir) == newer.folder;
        is_whole.then_some(newer)
    }
}

/// Opens the programs that are pinned in `dir`; none where this process may not open them.
pub(crate) fn open(dir: &Path) -> Result<Vec<OwnedFd>> {
    let mut programs = Vec::new();
    for name in pin_names::LINKS {
        if !dir.join(name).exists() {
            continue;
        }
        match program_of(&bpffs::open_pin(dir, name)?) {
            Ok(program) => programs.push(program),
            Err(err) if err.kind() == io::ErrorKind::PermissionDenied => {}
            Err(source) => {
                return Err(Error::System {
                    action: "open an attached program",
                    source,
                });
            }
        }
    }
    Ok(programs)
}

/// Opens the program of a link, which needs `CAP_SYS_ADMIN`.
fn program_of(link: &OwnedFd) -> io::Result<OwnedFd> {
    let mut info = libbpf_sys::bpf_link_info::default();
    let mut len = size_of_val(&info) as u32;
    // SAFETY: `info` is valid for writes of `len` bytes, and all 0 it asks for nothing that would need
    // a buffer.
    let ret = unsafe {
        libbpf_sys::bpf_link_get_info_by_fd(link.as_raw_fd(), &raw mut info, &raw mut len)
    };
    if ret < 0 {
        return Err(io::Error::from_raw_os_error(-ret));
    }
    // SAFETY: takes a number; returns a negative errno or a new file descriptor.
    let fd = unsafe { libbpf_sys::bpf_prog_get_fd_by_id(info.prog_id) };
    bpffs::new_fd(fd)
}
