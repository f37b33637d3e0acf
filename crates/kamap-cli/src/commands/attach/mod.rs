//! `kamap attach`: start recording, and leave.

use std::process::ExitCode;

use anyhow::anyhow;
use kamap::json::rfc3339;
use kamap::{AttachOptions, Clock, Error, Tracker};

use crate::args::{DirArgs, StreamArgs, group};
use crate::policy::stdout;

/// Record from now on, without a process: until `kamap detach`
///
/// Loads and attaches the BPF programs, adds the processes that are alive, and pins all of it in a folder
/// of a BPF file system (/sys/fs/bpf, which is mounted if it is not). `kamap`, `kamap events` and
/// `kamap verify` then read it, and start faster than with a tracker of their own. The table is the same
/// for all of them, and counts from when it was attached.
///
/// It is attached whole or not at all, even if this command is killed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    dir: DirArgs,

    /// Record events, too, for `kamap events`: those of --kind
    #[arg(long)]
    events: bool,

    #[command(flatten)]
    stream: StreamArgs,

    /// Record the N nearest ancestors with each event (at most 32)
    #[arg(long, value_name = "N", default_value_t = 0, requires = "events", value_parser = clap::value_parser!(u32).range(..=32))]
    ancestors: u32,

    /// How many processes the table can hold
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_entries: Option<u32>,

    /// Let the members of this group (name or number) read the table, without any capability
    ///
    /// They see the arguments of all processes, even where /proc is mounted with hidepid.
    #[arg(long, value_name = "GROUP", value_parser = group)]
    group: Option<u32>,

    /// Replace what is attached: the new programs go on with its table and its ring
    ///
    /// Nothing is lost or recorded twice; readers of the events see one mark. The sizes of the table and of the ring, and --ancestors, stay; so do
    /// --events, --kind and --group, unless they are given.
    #[arg(long)]
    replace: bool,

    /// On failure, print the whole log of libbpf and of the kernel's verifier
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Since when something else is attached, as people tell time.
fn since(err: Error) -> anyhow::Error {
    let Error::AlreadyAttached { since, .. } = err else {
        return err.into();
    };
    let since = rfc3339(Clock::measure().system_time(since));
    anyhow!("{err} (since {since})")
}

/// Attaches, and says where.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut builder = Tracker::builder();
    if let Some(max_entries) = args.max_entries {
        builder = builder.max_entries(max_entries);
    }
    if args.events {
        builder = args.stream.apply(builder.events(args.stream.kinds()));
        builder = builder.ancestors(args.ancestors);
    }
    let mut options = AttachOptions::default().replace(args.replace);
    if let Some(group) = args.group {
        options = options.group(group);
    }
    let pinned = match builder.attach(args.dir.path(), &options) {
        Err(err @ Error::AlreadyAttached { .. }) => return Err(since(err)),
        pinned => pinned?,
    };
    let told = stdout::line(&format!("attached in {}", pinned.dir().display()));
    if told.is_err() && !args.replace {
        // What fails leaves nothing behind.
        kamap::detach(pinned.dir())?;
    }
    told?;
    Ok(ExitCode::SUCCESS)
}
