//! `kamap record`: read, write, acknowledge, again.

mod args;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use kamap::{Clock, DEFAULT_DIR, Error, Pinned};
use kamap_history::{Recorder, Source as Recorded};

use crate::args::Source;
use crate::policy::errors::warn;
use crate::policy::signals::{Event, Signals};

pub(crate) use args::Args;

/// How long to wait for events at the most, so that it is noted now and then that there are none.
const WAIT: Duration = Duration::from_secs(1);

/// How often to write at the most, where little happens.
const PAUSE: Duration = Duration::from_millis(50);

/// So many events at once are not little.
const MANY: usize = 64;

/// Runs until a signal ends it.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let signals = Signals::new(false).context("failed to handle signals")?;
    let mut source = open(args)?;
    let Some(mut events) = source.events(false)? else {
        bail!("there are no events to record");
    };
    events.wake_on(&signals)?;
    let clock = source.reader().clock();
    let recorded = Recorded::new(Clock::boot_id()?, clock, events.id()?, events.next_seq());
    let mut recorder = Recorder::open(args.store.path(), args.options(), &recorded)?;
    if let Some(path) = recorder.set_aside() {
        warn(&format!(
            "a damaged file is set aside as {}",
            path.display()
        ));
    }
    let (mut is_full, mut quit) = (false, false);
    loop {
        let mut count = 0;
        let begun = Clock::since_boot();
        // While there is no room, events wait in the ring, which counts those that it has no room for.
        if !is_full {
            let mut has_room = true;
            let add = |item| {
                count += 1;
                recorder.add(item);
                // Nothing is acknowledged by that: what is read again is known to be recorded.
                if has_room && recorder.has_much() {
                    // Without room that is noticed below.
                    has_room = recorder.commit(source.reader().clock()).is_ok();
                }
            };
            match (&source, quit) {
                (Source::Own(_), true) => events.drain(add)?,
                // Reading again would acknowledge what is not written yet.
                (Source::Attached(..), true) => events.read(Duration::ZERO, add)?,
                (_, false) => events.read(WAIT, add)?,
            }
            recorder.read_up_to(events.next_seq());
            if count == 0 {
                recorder.idle(begun);
            }
            if recorder.wants_table() && !quit {
                let from = source.reader().next_seq()?;
                let table = source.reader().table().snapshot()?;
                let has_room = table.len() < source.reader().table().max_entries() as usize;
                recorder.resync(table, from, source.reader().next_seq()?, has_room);
                recorder.read_up_to(events.next_seq());
            }
        }
        match recorder.commit(source.reader().clock()) {
            Ok(()) => {
                if std::mem::take(&mut is_full) {
                    warn("there is room again: recording goes on");
                }
                events.acknowledge()?;
            }
            Err(err) if err.is_full() && !quit => {
                if !is_full {
                    warn(&format!("{err}: recording goes on when there is room"));
                }
                is_full = true;
            }
            Err(err) => return Err(err.into()),
        }
        if quit {
            recorder.close()?;
            return Ok(ExitCode::SUCCESS);
        }
        let pause = match is_full {
            true => WAIT,
            false if count < MANY => PAUSE,
            false => Duration::ZERO,
        };
        quit = signals.wait_until(Instant::now() + pause) == Event::Quit;
        if quit {
            source.stop();
        }
    }
}

/// What is attached, if it has all that is to be recorded, or a tracker of its own.
fn open(args: &Args) -> anyhow::Result<Source> {
    let own = || anyhow::Ok(Source::Own(Box::new(args.tracker().start()?)));
    if args.own {
        return own();
    }
    let dir = args.attached.as_deref().unwrap_or(Path::new(DEFAULT_DIR));
    let pinned = match Pinned::open(dir) {
        Ok(pinned) => pinned,
        Err(err) if args.attached.is_some() => return Err(err.into()),
        Err(Error::NotAttached { .. } | Error::NotReadable { .. }) => return own(),
        Err(err) => {
            warn(&format!("{err}; starting a tracker of its own meanwhile"));
            return own();
        }
    };
    let known = pinned.description();
    if known.events.contains(args.kinds()) && !known.is_filtered {
        let reader = pinned.reader()?;
        return Ok(Source::Attached(Box::new(pinned), Box::new(reader)));
    }
    const CURE: &str = "kamap attach --events --kind fork,exec,exit --replace";
    if args.attached.is_some() {
        bail!(
            "what is attached in {} does not record all events: attach it with `{CURE}`",
            dir.display()
        );
    }
    warn(&format!(
        "what is attached does not record all events (`{CURE}`); starting a tracker of its own"
    ));
    own()
}
