//! What somebody has attached: finding it, reading it, taking it away.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::bpffs;
use crate::claim::{self, Claim};
use crate::counts::{Counts, printed_status};
use crate::iterator::BpfIterator;
use crate::maps::{self, Array, Check, Hash, Kind, Map, RingBuf};
use crate::options::Options;
use crate::pin_names;
use crate::place::{self, Place};
use crate::process::until_nul;
use crate::programs::{self, Programs};
use crate::rows::Rows;
use crate::seed::Seed;
use crate::skel::types::{bss, kamap_description, kamap_filter, kamap_layout, kamap_process};
use crate::sources::Sources;
use crate::{Clock, Error, Events, Kinds, Losses, Reader, Result, Seen, program};

/// Where [`Builder::attach`](crate::Builder::attach) pins, and where it is looked for, if nothing else is said.
pub const DEFAULT_DIR: &str = "/sys/fs/bpf/kamap";

/// A tracker that somebody has attached ([`Builder::attach`](crate::Builder::attach)): it records until it is detached, whoever
/// runs.
#[derive(Clone, Debug)]
pub struct Pinned {
    dir: PathBuf,
    description: Description,
    /// Whether the maps can be opened; else only what iterators print.
    privileged: bool,
}

/// What is attached, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// Version of the kamap that has attached it.
    pub version: String,
    /// The boot since which times are ([`Clock::boot_id`]).
    pub boot_id: String,
    /// When it was attached: since boot, suspend included.
    pub attached_at: Duration,
    /// The kinds of events that its ring gets; none if there is no ring.
    pub events: Kinds,
    /// The most processes that the table holds.
    pub max_entries: u32,
    /// Bytes of the ring.
    pub ring_size: u32,
    /// Whether the ring gets only those of these events that pass a filter ([`Filter`](crate::Filter)).
    pub is_filtered: bool,
    /// The most bytes of arguments in an event.
    pub max_args: u32,
    /// How often it has been replaced since the table was made.
    pub generation: u32,
    /// How many ancestors an event has.
    pub ancestors: u32,
}

impl Description {
    /// As it is written into the map; the tracker has been started just now.
    /// The programs that it replaces may still run, but what they miss from now on it records.
    pub(crate) fn encode(options: &Options, max_entries: u32) -> Result<kamap_description> {
        let replaced = options.shared.as_ref();
        let replaced = replaced.and_then(|shared| shared.replaced.as_ref());
        let mut description = kamap_description {
            layout: kamap_layout::KAMAP_LAYOUT,
            attached_at: Clock::since_boot().as_nanos() as u64,
            max_entries,
            max_args: options.checked_max_args(),
            max_ancestors: options.ancestors,
            generation: options
                .shared
                .as_ref()
                .map_or(0, |shared| shared.generation),
            missed_before: replaced.map_or(Ok(0), |programs| programs.missed_runs())?,
            filter: options.events.encode()?,
            ..kamap_description::default()
        };
        let wanted = options.events.wanted();
        description.events.0 = wanted.0;
        if wanted != Kinds::default() {
            description.ring_size = options.checked_ring_size()?;
        }
        put_text(&mut description.version, env!("CARGO_PKG_VERSION"));
        put_text(&mut description.boot_id, &Clock::boot_id()?);
        Ok(description)
    }

    fn decode(description: &kamap_description) -> Self {
        Self {
            version: text(&description.version),
            boot_id: text(&description.boot_id),
            attached_at: Duration::from_nanos(description.attached_at),
            events: Kinds(description.events.0),
            max_entries: description.max_entries,
            ring_size: description.ring_size,
            is_filtered: is_filtering(&description.filter),
            max_args: description.max_args,
            generation: description.generation,
            ancestors: description.max_ancestors,
        }
    }
}

/// Whether a filter holds any event back.
fn is_filtering(filter: &kamap_filter) -> bool {
    let lists = [
        filter.cgroup_ids_len,
        filter.uids_len,
        filter.pids_len,
        filter.ppids_len,
    ];
    filter.min_duration != 0 || filter.failed != 0 || filter.followed != 0 || lists != [0; 4]
}

fn put_text(to: &mut [i8], text: &str) {
    let room = to.len() - 1;
    for (to, from) in to[..room].iter_mut().zip(text.bytes()) {
        *to = from.cast_signed();
    }
}

fn text(text: &[i8]) -> String {
    String::from_utf8_lossy(&until_nul(text).collect::<Vec<_>>()).into_owned()
}

impl Pinned {
    /// Finds what is attached in `dir`.
    ///
    /// # Errors
    ///
    /// [`Error::NotAttached`], [`Error::Damaged`] where something of it is missing,
    /// [`Error::OtherLayout`] where another version of kamap has attached it which would be misread,
    /// [`Error::BadName`] and [`Error::NotReadable`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        // What is replaced meanwhile loses its pins one by one.
        const TRIES: usize = 3;
        let mut tries = 0;
        loop {
            let inode = place::inode(dir);
            let opened = Self::open_once(dir);
            tries += 1;
            if opened.is_ok() || tries == TRIES || inode == place::inode(dir) {
                return opened;
            }
        }
    }

    fn open_once(dir: &Path) -> Result<Self> {
        let path = dir.join("description");
        let not_readable = |source| Error::NotReadable {
            dir: dir.to_owned(),
            source,
        };
        let names = match pin_names::there_are(dir) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NotAttached {
                    dir: dir.to_owned(),
                });
            }
            Err(err) => {
                bpffs::check_name(&bpffs::resolve(dir))?;
                return Err(not_readable(err));
            }
            Ok(names) => names,
        };
        if !names.iter().any(|name| pin_names::is_ours(name)) {
            return Err(Error::NotAttached {
                dir: dir.to_owned(),
            });
        }
        let has = |name: &str| names.iter().any(|there| there == name);
        let missing = |name: &str| Error::Damaged {
            dir: dir.to_owned(),
            missing: vec![name.to_owned()],
        };
        let known = if has("description") {
            Map::<Array<kamap_description>>::open_pinned(&path, Check::LayoutOrSizes)
        } else {
            return Err(missing("description"));
        };
        let (description, privileged) = match known {
            Ok(map) => (map.get(&0)?.unwrap_or_default(), true),
            // On a file system that is read-only no map can be opened for writing.
            Err(err)
                if [
                    Some(io::ErrorKind::PermissionDenied),
                    Some(io::ErrorKind::ReadOnlyFilesystem),
                ]
                .contains(&kind_of(&err)) =>
            {
                if !has("status") {
                    return Err(missing("status"));
                }
                let iterator = BpfIterator::Pin(dir.join("status"));
                match printed_status(&iterator) {
                    Ok((status, _)) => (status.description, false),
                    Err(Error::System { source, .. }) => return Err(not_readable(source)),
                    Err(_) => return Err(other_layout(dir)),
                }
            }
            Err(maps::Error::WrongSize { .. } | maps::Error::LayoutDiffers { .. }) => {
                return Err(other_layout(dir));
            }
            Err(err) => return Err(err.into()),
        };
        if description.layout != kamap_layout::KAMAP_LAYOUT {
            return Err(other_layout(dir));
        }
        let description = Description::decode(&description);
        let expected = pin_names::expected(description.events);
        let missing: Vec<_> = expected
            .into_iter()
            .filter(|name| !has(name))
            .map(str::to_owned)
            .collect();
        if !missing.is_empty() {
            return Err(Error::Damaged {
                dir: dir.to_owned(),
                missing,
            });
        }
        Ok(Self {
            dir: dir.to_owned(),
            description,
            privileged,
        })
    }

    /// The same under the name that its folder is about to get.
    pub(crate) fn moved_to(self, dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            ..self
        }
    }

    /// Where it is pinned.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is attached, and how.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// A reader of its table and its counters. Whoever may not open maps, or only for reading, reads what its iterators print,
    /// where `dir` and these are readable.
    ///
    /// # Errors
    ///
    /// As of [`open`](Self::open), and [`Error::Map`].
    pub fn reader(&self) -> Result<Reader> {
        let path = |name: &str| self.dir.join(name);
        if !self.privileged {
            return Ok(Reader::new(Sources {
                rows: Rows::Printed(BpfIterator::Pin(path("rows")), self.description.max_entries),
                tasks: BpfIterator::Pin(path("tasks")),
                seed: None,
                counts: Counts::Printed(BpfIterator::Pin(path("status"))),
                place: Some(Place::new(&self.dir, None)),
            }));
        }
        let rows: Map<Hash<u32, kamap_process>> = self.map("processes")?;
        let table = rows.info()?.id;
        let seed = BpfIterator::Link(self.pin("seed")?);
        Ok(Reader::new(Sources {
            rows: Rows::Map(rows),
            tasks: BpfIterator::Link(self.pin("tasks")?),
            seed: Some(Seed::new(seed, self.map("given_args")?)),
            counts: Counts::Maps {
                programs: Programs::pinned(&self.dir, table)?,
                counters: self.map("counters")?,
                globals: self.map("globals")?,
            },
            place: Some(Place::new(&self.dir, Some(table))),
        }))
    }

    /// The reader of its events: from where the one before has stopped, or from the beginning. There is
    /// one at a time; `steal` takes over from the one that there is.
    ///
    /// # Errors
    ///
    /// [`Error::NoEvents`], [`Error::RingHeld`], [`Error::ReadOnly`], and as of [`reader`](Self::reader).
    pub fn events(&self, steal: bool) -> Result<Events> {
        let known = &self.description;
        if known.events == Kinds::default() {
            return Err(Error::NoEvents {
                dir: self.dir.clone(),
            });
        }
        let (claim, read) = Claim::new(self.map("reader")?, &self.dir, steal)?;
        self.mark()?;
        // Only now, since opening it notes how far has been read.
        let ring = RingBuf::from_fd(self.pin("events")?)?;
        let globals = self.globals()?;
        let events = Events::new(
            ring,
            globals,
            &self.reader()?,
            known.ancestors,
            known.max_args,
            known.events,
        )?;
        events.claimed(claim, &read)
    }

    /// Puts the mark into the ring that is missing if it has replaced something and was killed then, together
    /// with its guard.
    pub(crate) fn mark(&self) -> Result<()> {
        if self.description.events != Kinds::default() {
            program::run(self.pin("mark")?.as_raw_fd());
        }
        Ok(())
    }

    /// How it is doing.
    ///
    /// # Errors
    ///
    /// As of [`reader`](Self::reader), and those of what it reads.
    pub fn status(&self) -> Result<Status> {
        let reader = self.reader()?;
        let (mut programs, mut memory, mut ring_reader) = (Vec::new(), None, None);
        if self.privileged {
            let attached = programs::open(&self.dir)?;
            for program in &attached {
                programs.push(ProgramCost::of(program)?);
            }
            memory = Some(self.memory(&attached));
            if self.description.events != Kinds::default() {
                ring_reader = claim::holder(&self.map("reader")?)?;
            }
        }
        Ok(Status {
            description: self.description.clone(),
            live: reader.table().rows()?.len(),
            losses: reader.losses()?,
            seen: reader.seen()?,
            programs,
            memory,
            ring_reader,
        })
    }

    /// Bytes of kernel memory of its maps and programs, as far as `/proc` tells.
    fn memory(&self, programs: &[OwnedFd]) -> u64 {
        let maps = pin_names::MAPS
            .iter()
            .filter_map(|name| self.pin(name).ok());
        let programs = programs.iter().filter_map(|fd| fd.try_clone().ok());
        maps.chain(programs).filter_map(|fd| memlock(&fd)).sum()
    }

    /// Opens a pinned map, whose layout has to be the one of this version.
    fn map<T: Kind>(&self, name: &str) -> Result<Map<T>> {
        let opened = Map::open_pinned(self.dir.join(name), Check::LayoutOrSizes);
        opened.map_err(|err| match err {
            maps::Error::WrongSize { .. } | maps::Error::LayoutDiffers { .. } => {
                other_layout(&self.dir)
            }
            maps::Error::NotFound { .. } => self.detached(),
            err if kind_of(&err) == Some(io::ErrorKind::ReadOnlyFilesystem) => Error::ReadOnly {
                dir: self.dir.clone(),
            },
            err => err.into(),
        })
    }

    /// The variables of the programs.
    pub(crate) fn globals(&self) -> Result<Map<Array<bss>>> {
        self.map("globals")
    }

    /// The programs, which another tracker can replace.
    pub(crate) fn programs(&self) -> Result<Programs> {
        let rows: Map<Hash<u32, kamap_process>> = self.map("processes")?;
        Programs::pinned(&self.dir, rows.info()?.id)
    }

    /// The maps that another tracker can take over.
    pub(crate) fn shared_maps(&self) -> Result<Vec<(&'static str, Arc<OwnedFd>)>> {
        let mut maps = Vec::new();
        for name in pin_names::TAKEN_OVER {
            if self.dir.join(name).exists() {
                maps.push((name, Arc::new(self.pin(name)?)));
            }
        }
        Ok(maps)
    }

    fn pin(&self, name: &str) -> Result<OwnedFd> {
        bpffs::open_pin(&self.dir, name)
    }

    /// All of it was there when it was opened.
    fn detached(&self) -> Error {
        Error::Detached {
            dir: self.dir.clone(),
        }
    }
}

/// How a tracker is doing that is attached.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// What is attached, and how.
    pub description: Description,
    /// How many rows the table has.
    pub live: usize,
    /// What could not be recorded since it was attached.
    pub losses: Losses,
    /// What was seen since.
    pub seen: Seen,
    /// What its programs cost; empty where this process may not ask.
    pub programs: Vec<ProgramCost>,
    /// Bytes of kernel memory; `None` where this process may not ask.
    pub memory: Option<u64>,
    /// PID and arguments of the process that reads the events, if one does and this one may ask.
    pub ring_reader: Option<(u32, String)>,
}

/// What a program has cost. The kernel counts it while `kernel.bpf_stats_enabled` is 1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProgramCost {
    /// Its name.
    pub name: String,
    /// How often it ran while the kernel counted.
    pub runs: u64,
    /// How long it ran in all.
    pub time: Duration,
}

impl ProgramCost {
    fn of(program: &OwnedFd) -> Result<Self> {
        let info = program::info(program.as_fd())?;
        Ok(Self {
            name: text(&info.name),
            runs: info.run_cnt,
            time: Duration::from_nanos(info.run_time_ns),
        })
    }
}

/// What `/proc` says of the memory behind a file descriptor.
fn memlock(fd: &OwnedFd) -> Option<u64> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("memlock:"))?;
    line.trim().parse().ok()
}

/// Fails if `dir` has pins of others, which would go with it when it is replaced.
pub(crate) fn check_is_ours(dir: &Path) -> Result<()> {
    let names = pin_names::there_are(dir).unwrap_or_default();
    match names.iter().find(|name| !pin_names::is_ours(name)) {
        None => Ok(()),
        Some(other) => Err(Error::NotPinned {
            path: dir.to_owned(),
            source: io::Error::new(
                io::ErrorKind::DirectoryNotEmpty,
                format!("it contains `{other}`, which is not a pin of kamap"),
            ),
        }),
    }
}

fn other_layout(dir: &Path) -> Error {
    Error::OtherLayout {
        dir: dir.to_owned(),
    }
}

/// What the kernel said, if it did.
fn kind_of(err: &maps::Error) -> Option<io::ErrorKind> {
    use std::error::Error as _;
    let mut cause = err.source();
    while let Some(err) = cause {
        if let Some(err) = err.downcast_ref::<io::Error>() {
            return Some(err.kind());
        }
        cause = err.source();
    }
    None
}

impl Reader {
    /// Reads what somebody has attached in `dir` ([`Builder::attach`](crate::Builder::attach)).
    ///
    /// # Errors
    ///
    /// As of [`Pinned::open`] and [`Pinned::reader`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Pinned::open(dir)?.reader()
    }
}
