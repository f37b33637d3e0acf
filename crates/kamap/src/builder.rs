//! Setting up a tracker.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::limits::MAX_ANCESTORS;
use crate::load::load;
use crate::options::{Options, Shared};
use crate::{
    Error, Filter, Follow, Follower, Kinds, Pinned, Result, Tracker, bpffs, leftovers, lock, pin,
    pinned, requirements,
};

/// How to attach ([`Builder::attach`]).
#[derive(Clone, Debug, Default)]
pub struct AttachOptions {
    pub(crate) group: Option<u32>,
    pub(crate) replace: bool,
}

impl AttachOptions {
    /// Lets the members of this group read the table, the kernel's list of processes and the counters,
    /// without any capability.
    #[must_use]
    pub fn group(mut self, gid: u32) -> Self {
        self.group = Some(gid);
        self
    }

    /// Replaces what is attached, if anything is, and keeps its options (events, group) as far as none are
    /// given. The table goes on, and so does the ring of events.
    #[must_use]
    pub fn replace(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }
}

/// Sets up a [`Tracker`].
#[derive(Clone, Debug, Default)]
pub struct Builder {
    options: Options,
}

impl Builder {
    /// The most processes that the table holds, 1 or more. The kernel memory for
    /// them, about 830 bytes each, is taken at once and never grows.
    ///
    /// Without it: as many as the machine can have PIDs
    /// (`/proc/sys/kernel/pid_max`), but no more than 16,384.
    #[must_use]
    pub fn max_entries(mut self, max_entries: u32) -> Self {
        self.options.max_entries = Some(max_entries);
        self
    }

    /// Keeps a stream of these events, for [`Tracker::take_events`]. Without it there is
    /// none, and it costs nothing.
    #[must_use]
    pub fn events(mut self, which: impl Into<Filter>) -> Self {
        self.options.events = which.into();
        self
    }

    /// The most bytes of arguments in an event, each with its NUL: 4,096 by default,
    /// and 131,072 at most, which is as long as a single argument can be. Longer
    /// ones are cut and counted ([`Losses::event_args_cut`](crate::Losses::event_args_cut)); short ones take no more
    /// room than they need. Rows do not depend on it.
    #[must_use]
    pub fn max_args(mut self, bytes: u32) -> Self {
        self.options.max_args = Some(bytes);
        self
    }

    /// The size of the ring in which events wait for their reader, in bytes: 4 MiB by
    /// default; a power of two, and at least a page (4,096).
    #[must_use]
    pub fn ring_size(mut self, bytes: u32) -> Self {
        self.options.ring_size = Some(bytes);
        self
    }

    /// How many ancestors an event has ([`Event::ancestors`](crate::Event::ancestors)):
    /// none by default, 32 at most.
    #[must_use]
    pub fn ancestors(mut self, count: u32) -> Self {
        self.options.ancestors = count.min(MAX_ANCESTORS);
        self
    }

    /// Runs `command` and follows it: the processes that it starts, those that these
    /// start, and so on, from its first instruction to when the command ends. Of no
    /// other process there is an event.
    ///
    /// Which events, [`events`](Self::events) says; without it [`Kinds::LIFE`].
    ///
    /// # Errors
    ///
    /// As of [`start`](Self::start), and [`Error::Spawn`] if the command cannot be
    /// started.
    pub fn follow(self, command: &mut Command) -> Result<Follow> {
        self.follower()?.run(command)
    }

    /// The first half of [`follow`](Self::follow): starts the tracker for a command that
    /// this thread is to start then. What could keep it from that can be looked at in
    /// between, such as a signal that came meanwhile.
    ///
    /// # Errors
    ///
    /// As of [`start`](Self::start).
    pub fn follower(mut self) -> Result<Follower> {
        if self.options.events.kinds == Kinds::default() {
            self.options.events = Kinds::LIFE.into();
        }
        self.options.events.followed = true;
        // SAFETY: takes nothing, returns a number.
        self.options.follow_child_of = unsafe { libc::gettid() }.cast_unsigned();
        Ok(Follower::new(self.start()?))
    }

    /// Starts the tracker and pins all of it in `dir`, a folder that is made for it on a BPF file system
    /// ([`DEFAULT_DIR`](crate::DEFAULT_DIR)). Then it records until it is [detached](crate::detach), whoever
    /// runs; [`Reader::open`](crate::Reader::open) reads it.
    ///
    /// It is pinned whole or not at all, even if this process is killed meanwhile: until all is in its
    /// place, a child process of it waits to take the pins away again.
    ///
    /// Needs root, as only that may write to most BPF file systems.
    ///
    /// # Errors
    ///
    /// As of [`start`](Self::start), and [`Error::AlreadyAttached`], [`Error::NotBpffs`],
    /// [`Error::BadName`], [`Error::ReadOnly`], [`Error::GroupShutOut`] and [`Error::NotPinned`].
    pub fn attach(mut self, dir: impl AsRef<Path>, options: &AttachOptions) -> Result<Pinned> {
        let dir = &bpffs::resolve(dir.as_ref());
        requirements::check()?;
        bpffs::prepare(dir)?;
        let lock = lock::lock(dir)?;
        leftovers::remove(dir);
        // Of a folder that is not kamap's, the rights say nothing.
        let mut group = options.group.or_else(|| pin::group_of(dir));
        let known = match Pinned::open(dir) {
            Ok(known) if options.replace => Some(known),
            Ok(known) => {
                let known = known.description();
                return Err(Error::AlreadyAttached {
                    dir: dir.to_owned(),
                    version: known.version.clone(),
                    since: known.attached_at,
                });
            }
            Err(Error::NotAttached { .. }) => {
                group = options.group;
                None
            }
            // What cannot be read cannot be taken over either.
            Err(Error::Damaged { .. } | Error::OtherLayout { .. }) if options.replace => None,
            Err(err) => return Err(err),
        };
        pinned::check_is_ours(dir)?;
        if let Some(gid) = group {
            pin::check_can_enter(dir, gid)?;
        }
        self.options.shared = Some(match known {
            Some(known) => self.take_over(&known)?,
            None => Shared::default(),
        });
        self.start()?.pin(dir, group, options.replace, &lock)
    }

    /// Goes on with the maps of a tracker that is attached, so that nothing is lost or recorded twice
    /// while both are, and with its options as far as none were given. What the records in the ring depend on
    /// cannot change.
    fn take_over(&mut self, known: &Pinned) -> Result<Shared> {
        let description = known.description();
        let same = |asked: Option<u32>, has: u32| asked.is_none_or(|asked| asked == has);
        let ancestors = (self.options.ancestors != 0).then_some(self.options.ancestors);
        let has_ring = description.events != Kinds::default();
        if !same(self.options.max_entries, description.max_entries)
            || (has_ring
                && !(same(self.options.ring_size, description.ring_size)
                    && same(ancestors, description.ancestors)))
        {
            return Err(Error::OtherSizes {
                dir: known.dir().to_owned(),
            });
        }
        if has_ring {
            self.options.ring_size = Some(description.ring_size);
            self.options.ancestors = description.ancestors;
            self.options.max_args.get_or_insert(description.max_args);
            if self.options.events.wanted() == Kinds::default() {
                self.options.events = description.events.into();
            }
        }
        // Before there is another one to come.
        known.mark()?;
        Ok(Shared {
            generation: description.generation + 1,
            maps: known.shared_maps()?,
            replaced: Some(Arc::new(known.programs()?)),
        })
    }

    /// Opens, configures, loads and attaches the programs, then adds the
    /// processes that are alive.
    ///
    /// When it returns, every live process is in the table, and every further
    /// fork, exec and exit is seen.
    ///
    /// # Errors
    ///
    /// All that can go wrong does so here: missing capabilities
    /// ([`Error::MissingCapabilities`], [`Error::Denied`]), a PID namespace
    /// ([`Error::Namespace`]), a kernel that lacks
    /// something ([`Error::NoBtf`], [`Error::KernelTooOld`],
    /// [`Error::Rejected`]), a table that is too large
    /// ([`Error::TableRefused`]), a filter or a ring that cannot be
    /// ([`Error::FilterTooLong`], [`Error::RingSize`]). Nothing is left attached then.
    pub fn start(self) -> Result<Tracker> {
        requirements::check()?;
        Tracker::new(load(&self.options)?, &self.options)
    }
}

impl Tracker {
    /// Sets up a tracker.
    pub fn builder() -> Builder {
        Builder::default()
    }
}
