//! Adding the processes that the table lacks.

use std::collections::HashMap;

use crate::Result;
use crate::cmdline::{self, Of};
use crate::iterator::BpfIterator;
use crate::limits::TEXT_LEN;
use crate::maps::{Hash, Map, UpdateMode};
use crate::skel::types::{kamap_flag, kamap_given_args};
use crate::tasks::Task;

/// Adds the live processes that the table lacks, each time it is run.
#[derive(Debug)]
pub(crate) struct Seed {
    iterator: BpfIterator,
    /// The arguments of those that are to be added, for as long as that takes.
    given: Map<Hash<u32, kamap_given_args>>,
}

impl Seed {
    /// `iterator` is the program `seed`.
    pub(crate) fn new(iterator: BpfIterator, given: Map<Hash<u32, kamap_given_args>>) -> Self {
        Self { iterator, given }
    }

    /// Adds these processes; others may find room as well, without their arguments.
    pub(crate) fn run<'a>(&self, lacking: impl Iterator<Item = &'a Task>) -> Result<()> {
        let lacking: Vec<_> = lacking
            .filter(|task| task.facts.flags.0 & kamap_flag::KAMAP_KTHREAD.0 == 0)
            .map(|task| task.facts)
            .collect();
        let start_times: HashMap<_, _> = lacking
            .iter()
            .map(|facts| (facts.pid, facts.start_time))
            .collect();
        let of = lacking.iter().map(|facts| Of {
            pid: facts.pid,
            uid: facts.uid,
        });
        // One more than there is room for, to see whether there is more.
        let given = cmdline::read_all(of, TEXT_LEN + 1, |pid, text| {
            let args = args(start_times[&pid], &text);
            self.given.insert(&pid, &args, UpdateMode::Any)?;
            Ok(())
        });
        let added = given.and_then(|()| self.iterator.run());
        // Afterwards they are of no use.
        for pid in start_times.keys() {
            self.given.remove(pid)?;
        }
        added.map(drop)
    }
}

/// The arguments of the process that started then, as the program takes them.
fn args(start_time: u64, text: &[u8]) -> kamap_given_args {
    let mut args = kamap_given_args {
        start_time,
        len: text.len() as u32,
        kept: text.len().min(TEXT_LEN) as u32,
        ended: (text.last() == Some(&0)).into(),
        ..kamap_given_args::default()
    };
    for (to, from) in args.text.iter_mut().zip(text) {
        *to = from.cast_signed();
    }
    args
}
