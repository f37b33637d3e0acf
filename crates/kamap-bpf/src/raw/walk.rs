//! Reading all entries of a map.
//!
//! It reads in batches (`BPF_MAP_LOOKUP_BATCH`) if possible, not key by key. In a hash map, the
//! kernel then walks the buckets in order and copies each under its lock. A walk by "next key"
//! starts over, or ends, when its present key is removed.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::io;

use super::batch::Batch;
use super::map::{RawMap, prefix};
use super::operation::Operation;
use crate::map_type::{Keys, MapType, Refers};
use crate::{Error, Result};

/// How often in a row the kernel may ask to try again, because of a signal or because a bucket is
/// being written.
const RETRIES: u32 = 1000;

/// How often a walk from key to key may start over in a full map.
const RESTARTS: u64 = 64;

/// A position in a map whose entries are read one after the other.
#[derive(Debug)]
pub(crate) struct Walk {
    by: By,
    steps_left: u64,
    done: bool,
    /// The error that is returned after the last batch.
    failed: Option<Error>,
}

/// How a map is walked.
#[derive(Debug)]
enum By {
    Batches {
        /// The kernel's cursor: the next bucket or, in an array, the last index.
        cursor: Option<u64>,
        /// Whether entries are removed when they are read.
        delete: bool,
    },
    Indices {
        next: u32,
    },
    Keys {
        /// The last key, after which the kernel returns the next one.
        at: Option<Vec<u8>>,
        passed: Passed,
    },
}

/// The keys that have been read. They are needed because the kernel starts over when the present
/// key is removed.
#[derive(Debug)]
enum Passed {
    /// A trie has an order: all keys up to this one.
    UpTo(Option<Vec<u8>>),
    These(HashSet<Vec<u8>>),
}

impl Walk {
    /// A walk over all entries. If the map has no entries or no keys, the first step returns
    /// [`Error::NotOfKind`].
    pub(crate) fn reading(map: &RawMap) -> Self {
        let kind = map.info().kind;
        let batches = || By::Batches {
            cursor: None,
            delete: false,
        };
        let by = match kind.keys() {
            Some(Keys::Hash) => batches(),
            Some(Keys::Index) if has_batches(kind) => batches(),
            Some(Keys::Index) => By::Indices { next: 0 },
            Some(Keys::Prefix | Keys::Other | Keys::None | Keys::Memory) | None => By::keys(map),
        };
        let failed = map.check_has_keys(Operation::WALK).err();
        Self {
            done: failed.is_some(),
            failed,
            ..Self::by(by, map)
        }
    }

    /// A walk over a hash map that removes the entries that it reads.
    pub(crate) fn draining(map: &RawMap) -> Self {
        let by = By::Batches {
            cursor: None,
            delete: true,
        };
        Self::by(by, map)
    }

    fn by(by: By, map: &RawMap) -> Self {
        let max_entries = u64::from(map.max_entries());
        let steps_left = match by {
            // A step reads at least one bucket, doubles the buffer, or is a retry.
            By::Batches { .. } => {
                max_entries.next_power_of_two() + u64::from(u32::BITS) + u64::from(RETRIES)
            }
            By::Indices { .. } => max_entries + 1,
            By::Keys { .. } => RESTARTS * (max_entries + RESTARTS),
        };
        Self {
            by,
            steps_left,
            done: false,
            failed: None,
        }
    }

    /// Fills `batch` with the next entries. Returns whether there were any; if not, the walk has
    /// ended. An error also ends it.
    pub(crate) fn fill(&mut self, map: &RawMap, flags: u64, batch: &mut Batch) -> Result<bool> {
        batch.prepare(map);
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.done {
            return Ok(false);
        }
        let filled = match self.by {
            By::Batches { delete, .. } => {
                let read = |from, batch: &mut Batch| map.lookup_batch(delete, from, batch, flags);
                self.fill_by_batches(map, batch, read)
            }
            By::Indices { .. } | By::Keys { .. } => self.fill_by_keys(map, flags, batch),
        };
        if !matches!(filled, Ok(true)) {
            self.done = true;
        }
        match filled {
            Err(Error::Unsupported { .. }) if self.can_go_by_keys(map) => {
                let by = match map.info().kind.keys() {
                    Some(Keys::Index) => By::Indices { next: 0 },
                    _ => By::keys(map),
                };
                *self = Self::by(by, map);
                self.fill(map, flags, batch)
            }
            filled => filled,
        }
    }

    /// Counts a step. Returns an error if there were too many.
    fn step(&mut self, map: &RawMap) -> Result<()> {
        self.steps_left = self
            .steps_left
            .checked_sub(1)
            .ok_or_else(|| map.unstable())?;
        Ok(())
    }

    /// Whether the entries can also be read without batches, which older kernels do not have for
    /// this type.
    fn can_go_by_keys(&self, map: &RawMap) -> bool {
        let kind = map.info().kind;
        matches!(self.by, By::Batches { cursor: None, .. })
            && (kind == MapType::PERCPU_ARRAY || kind.refers() == Some(Refers::Maps))
    }

    /// `read` is [`RawMap::lookup_batch`].
    fn fill_by_batches(
        &mut self,
        map: &RawMap,
        batch: &mut Batch,
        mut read: impl FnMut(Option<u64>, &mut Batch) -> (u64, u32, io::Result<()>),
    ) -> Result<bool> {
        while batch.len() == 0 && !self.done {
            self.step(map)?;
            let By::Batches { cursor, delete } = &mut self.by else {
                break;
            };
            let room = batch.room();
            let (to, count, answer) = read(*cursor, batch);
            match Meaning::of(answer.as_ref().err()) {
                // A short batch is not the end: the next bucket did not fit.
                Meaning::More => {
                    batch.set_len(count as usize);
                    *cursor = Some(to);
                }
                // The entries of the last batch count as well.
                Meaning::End => {
                    batch.set_len(count as usize);
                    self.done = true;
                }
                // A bucket has more entries than fit. Nothing was written, and the cursor is
                // unchanged. No bucket has more entries than the map.
                Meaning::Grow => batch.grow(map.max_entries()),
                Meaning::Again => {}
                Meaning::Failed => {
                    let Err(source) = answer else { break };
                    let count = written_before(&source, count, room);
                    let operation = match delete {
                        true => Operation::TAKE_BATCH,
                        false => Operation::READ_BATCH,
                    };
                    let error = map.error(operation, &[], source);
                    if count == 0 {
                        return Err(error);
                    }
                    // They may have been removed from the map, so they must be passed on.
                    batch.set_len(count);
                    self.failed = Some(error);
                    self.done = true;
                }
            }
        }
        Ok(batch.len() > 0)
    }

    /// Reads one entry.
    fn fill_by_keys(&mut self, map: &RawMap, flags: u64, batch: &mut Batch) -> Result<bool> {
        while !self.done {
            let Some(key) = self.by.next(map)? else {
                break;
            };
            self.step(map)?;
            if !self.by.pass(&key) {
                continue;
            }
            let (slot, value) = batch.slot(0);
            slot.copy_from_slice(&key);
            // It may have been removed meanwhile.
            if map.lookup(Operation::READ_VALUES, &key, value, flags)? {
                batch.set_len(1);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether the kernel reads arrays of this type in batches.
fn has_batches(kind: MapType) -> bool {
    matches!(
        kind,
        MapType::ARRAY | MapType::PERCPU_ARRAY | MapType::ARRAY_OF_MAPS
    )
}

impl By {
    fn keys(map: &RawMap) -> Self {
        Self::Keys {
            at: None,
            passed: match map.info().kind.keys() {
                Some(Keys::Prefix) => Passed::UpTo(None),
                _ => Passed::These(HashSet::new()),
            },
        }
    }

    /// The next key. It can be one that was read before, if the kernel starts over.
    fn next(&mut self, map: &RawMap) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Batches { .. } => Ok(None),
            Self::Indices { next } if *next < map.max_entries() => {
                let key = next.to_ne_bytes().to_vec();
                *next += 1;
                Ok(Some(key))
            }
            Self::Indices { .. } => Ok(None),
            Self::Keys { at, passed } => {
                let after = || next_key(map, at.as_deref());
                let next = match passed {
                    Passed::These(_) => after()?,
                    Passed::UpTo(_) => earlier(after()?, after()?),
                };
                at.clone_from(&next);
                Ok(next)
            }
        }
    }

    /// Whether the key has not been read before.
    fn pass(&mut self, key: &[u8]) -> bool {
        let Self::Keys { passed, .. } = self else {
            return true;
        };
        match passed {
            Passed::These(keys) => keys.insert(key.to_vec()),
            Passed::UpTo(last) => {
                let is_new = last
                    .as_ref()
                    .is_none_or(|last| compare(last, key) == Ordering::Less);
                if is_new {
                    *last = Some(key.to_vec());
                }
                is_new
            }
        }
    }
}

fn next_key(map: &RawMap, key: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
    let mut next = vec![0; map.sizes().key];
    Ok(map.next_key(key, &mut next)?.then_some(next))
}

/// The smaller of two answers to the question for the key after a key of a trie.
///
/// The kernel searches without a lock. If a node that it has passed is replaced at that moment, it
/// skips what follows that node: about once in 100,000 times in a trie that another thread writes
/// all the time. So the question is asked twice. Both answers would have to be wrong to skip a key.
fn earlier(first: Option<Vec<u8>>, second: Option<Vec<u8>>) -> Option<Vec<u8>> {
    match (first, second) {
        (Some(first), Some(second)) if compare(&second, &first).is_lt() => Some(second),
        (first, second) => first.or(second),
    }
}

/// The kernel's order of a trie's keys: a longer prefix comes before the shorter ones that it
/// extends, otherwise the first different bit decides.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let ((len_a, a), (len_b, b)) = (prefix(a), prefix(b));
    let bit = |bytes: &[u8], at: u32| bytes[at as usize / 8] >> (7 - at % 8) & 1;
    match (0..len_a.min(len_b)).find(|&at| bit(a, at) != bit(b, at)) {
        Some(at) => bit(a, at).cmp(&bit(b, at)),
        None => len_b.cmp(&len_a),
    }
}

/// The meaning of the kernel's answer to a step of a batch walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    More,
    End,
    Grow,
    Again,
    Failed,
}

impl Meaning {
    fn of(error: Option<&io::Error>) -> Self {
        match error.map(io::Error::raw_os_error) {
            None => Self::More,
            // The lock of a bucket could not be taken. Entries that were read before it count.
            Some(Some(libc::EBUSY | libc::EDEADLK | libc::ETIMEDOUT)) => Self::More,
            Some(Some(libc::ENOENT)) => Self::End,
            Some(Some(libc::ENOSPC)) => Self::Grow,
            Some(Some(libc::EINTR | libc::EAGAIN)) => Self::Again,
            Some(_) => Self::Failed,
        }
    }
}

/// How many entries the kernel wrote before it failed; `count` is what it reported.
///
/// If it fails before it begins, it leaves the count unchanged, which is the room. After that, no
/// error is possible with a full batch: memory can only be short for a bucket that fits. After
/// `EFAULT` the count is undefined.
fn written_before(error: &io::Error, count: u32, room: usize) -> usize {
    let count = count as usize;
    if error.raw_os_error() == Some(libc::EFAULT) || count >= room {
        0
    } else {
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer of the kernel: the keys that it writes, the count that it reports, and errno or 0.
    type Answer = (&'static [u32], u32, i32);

    /// The result of a walk over a hash map of eight entries, four at a time, if the kernel returns
    /// these `answers`, and then always the last one.
    fn walked(mut walk: Walk, answers: &[Answer]) -> Vec<Result<Vec<u32>>> {
        let map = map();
        let mut batch = Batch::new(Some(4));
        let mut left = answers;
        let mut read = |cursor: Option<u64>, batch: &mut Batch| {
            assert_eq!(batch.room(), 4);
            let (keys, count, errno) = left[0];
            left = if left.len() > 1 { &left[1..] } else { left };
            for (i, key) in keys.iter().enumerate() {
                let (slot, value) = batch.slot(i);
                slot.copy_from_slice(&key.to_ne_bytes());
                value.copy_from_slice(&(!key).to_ne_bytes());
            }
            let answer = match errno {
                0 => Ok(()),
                errno => Err(io::Error::from_raw_os_error(errno)),
            };
            (cursor.unwrap_or(0) + 1, count, answer)
        };
        let key = |key: &[u8]| u32::from_ne_bytes(*key.first_chunk().expect("it has 4 bytes"));
        let mut step = || {
            batch.prepare(&map);
            if let Some(error) = walk.failed.take() {
                return Some(Err(error));
            }
            let filled = walk.fill_by_batches(&map, &mut batch, &mut read);
            walk.done |= !matches!(filled, Ok(true));
            match filled {
                Ok(false) => None,
                Ok(true) => Some(Ok((0..batch.len()).map(|at| key(batch.key(at))).collect())),
                Err(err) => Some(Err(err)),
            }
        };
        let walked = std::iter::from_fn(&mut step).collect();
        assert!(step().is_none(), "it has ended");
        walked
    }

    fn map() -> RawMap {
        RawMap::of_nothing(MapType::HASH)
    }

    fn reading() -> Walk {
        Walk::reading(&map())
    }

    #[test]
    fn what_was_read_before_an_error_comes_before_it() {
        for walk in [Walk::draining(&map()), reading()] {
            let failing = [(&[1, 2][..], 2, 0), (&[3, 4, 5], 3, libc::ENOMEM)];
            let walked = walked(walk, &failing);
            let [Ok(first), Ok(second), Err(Error::Kernel { source, .. })] = &walked[..] else {
                panic!("{walked:?}");
            };
            assert_eq!((&first[..], &second[..]), (&[1, 2][..], &[3, 4, 5][..]));
            assert_eq!(source.raw_os_error(), Some(libc::ENOMEM));
        }
    }

    #[test]
    fn what_fails_early_has_read_nothing() {
        // The count is unchanged, or undefined.
        for (count, errno) in [(4, libc::EINVAL), (0, libc::ENOMEM), (2, libc::EFAULT)] {
            let walked = walked(Walk::draining(&map()), &[(&[], count, errno)]);
            assert!(
                matches!(walked[..], [Err(Error::Kernel { .. })]),
                "{walked:?}"
            );
        }
    }

    #[test]
    fn what_comes_with_the_end_or_a_busy_bucket_counts() {
        for errno in [0, libc::EBUSY] {
            let answers = [
                (&[1, 2, 3, 4][..], 4, errno),
                (&[5, 6, 7, 8], 4, libc::ENOENT),
            ];
            let walked = walked(Walk::draining(&map()), &answers);
            let [Ok(first), Ok(second)] = &walked[..] else {
                panic!("{walked:?}");
            };
            assert_eq!([&first[..], second].concat(), [1, 2, 3, 4, 5, 6, 7, 8]);
        }
    }

    #[test]
    fn a_walk_that_does_not_end_is_given_up() {
        // Steps that never end: a retry, a bucket that stays locked, and entries after the last
        // bucket.
        for answer in [
            (&[][..], 0, libc::EINTR),
            (&[], 0, libc::EBUSY),
            (&[7], 1, 0),
        ] {
            let walked = walked(reading(), &[answer]);
            let (last, before) = walked.split_last().expect("an error comes");
            assert!(matches!(last, Err(Error::Unstable { map }) if map == "nothing"));
            let most = 8 + u32::BITS + RETRIES;
            let expected = if answer.1 == 0 { 0 } else { most as usize };
            assert_eq!(before.len(), expected);
            assert!(before.iter().all(Result::is_ok));
        }
    }

    #[test]
    fn a_bucket_that_never_fits_is_given_up() {
        let (map, mut walk, mut batch) = (map(), reading(), Batch::new(Some(4)));
        batch.prepare(&map);
        let mut calls = 0;
        let answer = walk.fill_by_batches(&map, &mut batch, |_, _| {
            calls += 1;
            (0, 0, Err(io::Error::from_raw_os_error(libc::ENOSPC)))
        });
        assert!(matches!(answer, Err(Error::Unstable { .. })), "{answer:?}");
        assert_eq!(calls, 8 + u32::BITS + RETRIES);
        assert_eq!(batch.room(), 8, "no bucket has more entries than the map");
    }

    #[test]
    fn each_answer_of_the_kernel_has_its_meaning() {
        let meaning = |errno| Meaning::of(Some(&io::Error::from_raw_os_error(errno)));
        assert_eq!(Meaning::of(None), Meaning::More);
        assert_eq!(meaning(libc::EBUSY), Meaning::More);
        assert_eq!(meaning(libc::ENOENT), Meaning::End);
        assert_eq!(meaning(libc::ENOSPC), Meaning::Grow);
        assert_eq!(meaning(libc::EINTR), Meaning::Again);
        assert_eq!(meaning(libc::EPERM), Meaning::Failed);
    }

    #[test]
    fn prefixes_have_the_order_of_the_kernel() {
        let ordered: [(u32, u8); 7] = [
            (2, 0b0000_0000),
            (1, 0b0000_0000),
            (8, 0b1000_0000),
            (2, 0b1000_0000),
            (2, 0b1100_0000),
            (1, 0b1000_0000),
            (0, 0b0000_0000),
        ];
        let ordered = ordered.map(|(len, byte)| [&len.to_ne_bytes()[..], &[byte]].concat());
        for (i, a) in ordered.iter().enumerate() {
            for (j, b) in ordered.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a:?} {b:?}");
            }
        }
    }
}
