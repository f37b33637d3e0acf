//! Reading a whole hash map, a batch at a time.
//!
//! By `BPF_MAP_LOOKUP_BATCH` and not key by key: the kernel walks the buckets in
//! order and copies each under its lock, while a walk by "next key" starts
//! over, or ends, when its key has gone.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use super::{Error, Hash, Map, MapData, Result, sys};

/// Entries asked for at a time. More is not faster from here on.
const BATCH: usize = 256;

/// How often in a row the kernel may ask to try again (a signal, a bucket that
/// is being written).
const RETRIES: u32 = 1000;

/// Iterator over the entries of a hash map; see [`Map::iter`].
pub struct Iter<'map, K: MapData, V: MapData> {
    map: &'map Map<Hash<K, V>>,
    keys: Vec<MaybeUninit<K>>,
    values: Vec<MaybeUninit<V>>,
    /// Entries `next..filled` of the buffers are still to be handed out.
    next: usize,
    filled: usize,
    /// The kernel's place in the map: the next bucket.
    cursor: Option<u64>,
    steps_left: u64,
    done: bool,
}

impl<'map, K: MapData, V: MapData> Iter<'map, K, V> {
    pub(super) fn new(map: &'map Map<Hash<K, V>>) -> Self {
        let batch = BATCH.min(map.max_entries() as usize).max(1);
        // A step reads at least one bucket, or doubles the buffer, or is one of
        // the retries.
        let buckets = u64::from(map.max_entries()).next_power_of_two();
        Self {
            map,
            keys: vec![MaybeUninit::uninit(); batch],
            values: vec![MaybeUninit::uninit(); batch],
            next: 0,
            filled: 0,
            cursor: None,
            steps_left: buckets + u64::from(u32::BITS) + u64::from(RETRIES),
            done: false,
        }
    }

    /// Fills the buffers anew. An error ends the walk; what came with it is kept.
    fn fill(&mut self) -> Result<()> {
        self.next = 0;
        self.filled = 0;
        while self.filled == 0 && !self.done {
            if self.steps_left == 0 {
                self.done = true;
                return Err(Error::Unstable {
                    map: self.map.name().to_owned(),
                });
            }
            self.steps_left -= 1;

            let mut cursor = 0;
            // SAFETY: `Map::from_fd` has compared the sizes of key and value.
            let (count, result) = unsafe {
                sys::lookup_batch(
                    self.map.as_fd(),
                    self.cursor,
                    &mut cursor,
                    &mut self.keys,
                    &mut self.values,
                )
            };
            match step(result.as_ref().err()) {
                // A short batch is not the end: the next bucket did not fit.
                Step::More => {
                    self.filled = count as usize;
                    self.cursor = Some(cursor);
                }
                // What came with it counts.
                Step::End => {
                    self.filled = count as usize;
                    self.done = true;
                }
                // One bucket has more entries than fit; nothing was written and
                // the place is the same. No bucket has more than the map.
                Step::Grow => {
                    let room = (self.keys.len() * 2).min(self.map.max_entries() as usize);
                    self.keys.resize(room, MaybeUninit::uninit());
                    self.values.resize(room, MaybeUninit::uninit());
                }
                Step::Again => {}
                Step::Fail => {
                    self.done = true;
                    if let Err(source) = result {
                        return Err(self.map.error("read a batch", source));
                    }
                }
            }
        }
        Ok(())
    }
}

/// What an answer of the kernel means.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    More,
    End,
    Grow,
    Again,
    Fail,
}

fn step(error: Option<&io::Error>) -> Step {
    match error.map(io::Error::raw_os_error) {
        None => Step::More,
        // The bucket's lock was not to be had; what was read before counts.
        Some(Some(libc::EBUSY | libc::EDEADLK | libc::ETIMEDOUT)) => Step::More,
        Some(Some(libc::ENOENT)) => Step::End,
        Some(Some(libc::ENOSPC)) => Step::Grow,
        Some(Some(libc::EINTR | libc::EAGAIN)) => Step::Again,
        Some(_) => Step::Fail,
    }
}

impl<K: MapData, V: MapData> Iterator for Iter<'_, K, V> {
    type Item = Result<(K, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.filled
            && let Err(err) = self.fill()
        {
            return Some(Err(err));
        }
        if self.next == self.filled {
            return None;
        }
        let at = self.next;
        self.next += 1;
        // SAFETY: the kernel has written the first `filled` keys and values, and
        // any bytes are valid for them (`MapData`).
        Some(Ok(unsafe {
            (self.keys[at].assume_init(), self.values[at].assume_init())
        }))
    }
}

impl<K: MapData, V: MapData> FusedIterator for Iter<'_, K, V> {}

impl<K: MapData, V: MapData> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter")
            .field("map", &self.map.name())
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_of_the_kernel_has_its_meaning() {
        let step = |errno| step(Some(&io::Error::from_raw_os_error(errno)));
        assert_eq!(super::step(None), Step::More);
        assert_eq!(step(libc::EBUSY), Step::More);
        assert_eq!(step(libc::ENOENT), Step::End);
        assert_eq!(step(libc::ENOSPC), Step::Grow);
        assert_eq!(step(libc::EINTR), Step::Again);
        assert_eq!(step(libc::EPERM), Step::Fail);
    }
}
