//! Where a command reads: from what is attached, or from a tracker of its own.

use std::path::{Path, PathBuf};

use anyhow::Result;
use kamap::{Builder, DEFAULT_DIR, Error, Events, Filter, Pinned, Reader, Tracker};

use crate::policy::errors;

/// Where to look for what is attached.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct DirArgs {
    /// Folder of a BPF file system in which the tracker is pinned
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl DirArgs {
    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.dir.as_deref().unwrap_or(Path::new(DEFAULT_DIR))
    }

    /// Whether one was named.
    pub(crate) fn is_given(&self) -> bool {
        self.dir.is_some()
    }
}

/// What a command reads.
#[derive(Debug)]
pub(crate) enum Source {
    /// A tracker that ends with the command.
    Own(Box<Tracker>),
    /// What `kamap attach` has attached.
    Attached(Box<Pinned>, Box<Reader>),
}

impl Source {
    /// What is attached in `dir`, or the tracker of `builder`, if nothing is and no folder was named.
    pub(crate) fn open(
        dir: &DirArgs,
        own: bool,
        builder: impl FnOnce() -> Builder,
    ) -> Result<Self> {
        let start = |builder: Builder| Ok(Self::Own(Box::new(builder.start()?)));
        if own {
            return start(builder());
        }
        match Pinned::open(dir.path()) {
            Ok(pinned) => {
                let reader = pinned.reader()?;
                Ok(Self::Attached(Box::new(pinned), Box::new(reader)))
            }
            Err(err) if dir.is_given() => Err(err.into()),
            Err(Error::NotAttached { .. } | Error::NotReadable { .. }) => start(builder()),
            Err(err) => {
                errors::warn(&format!("{err}; starting a tracker of its own meanwhile"));
                start(builder())
            }
        }
    }

    /// The same for a command that prints the events which pass `filter`: what is attached serves if it
    /// records all of their kinds.
    pub(crate) fn open_events(
        dir: &DirArgs,
        own: bool,
        filter: &Filter,
        ancestors: u32,
        builder: impl FnOnce() -> Builder,
    ) -> Result<Self> {
        let serves = |pinned: &Pinned| {
            let known = pinned.description();
            known.events.contains(filter.kinds())
                && known.ancestors >= ancestors
                && !filter.has_cgroups()
        };
        let is_own = own
            || (!dir.is_given() && Pinned::open(dir.path()).is_ok_and(|pinned| !serves(&pinned)));
        let source = Self::open(dir, is_own, builder)?;
        if let Self::Attached(pinned, _) = &source
            && !serves(pinned)
        {
            return Err(Error::NoEvents {
                dir: dir.path().to_owned(),
            }
            .into());
        }
        Ok(source)
    }

    /// What reads the table and the counters.
    pub(crate) fn reader(&self) -> &Reader {
        match self {
            Self::Own(tracker) => tracker,
            Self::Attached(_, reader) => reader,
        }
    }

    /// The stream of events, once.
    pub(crate) fn events(&mut self, steal: bool) -> kamap::Result<Option<Events>> {
        match self {
            Self::Own(tracker) => Ok(tracker.take_events()),
            Self::Attached(pinned, _) => pinned.events(steal).map(Some),
        }
    }

    /// Lets no further event come, if that is this command's to say.
    pub(crate) fn stop(&mut self) {
        if let Self::Own(tracker) = self {
            tracker.detach();
        }
    }

    /// Where somebody has attached what is read, if somebody has.
    pub(crate) fn attached(&self) -> Option<&Path> {
        match self {
            Self::Own(_) => None,
            Self::Attached(pinned, _) => Some(pinned.dir()),
        }
    }
}
