//! Reading a whole map, a batch at a time.
//!
//! By `BPF_MAP_LOOKUP_BATCH` and not key by key: of a hash map, the kernel walks
//! the buckets in order and copies each under its lock, while a walk by "next key"
//! starts over, or ends, when its key has gone.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::ptr;

use super::operation::Operation;
use super::{
    Access, Entries, Error, Iter, Keys, Map, MapData, Readable, Result, Value, Values, sys,
};

/// Entries asked for at a time, as long as they have no more bytes than this. More is
/// not faster from here on.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 64 << 10;

/// How many entries of so many bytes are asked for at a time.
pub(super) fn room_for(entry_len: usize) -> usize {
    (BATCH_BYTES / entry_len.max(1)).clamp(1, BATCH)
}

/// How often in a row the kernel may ask to try again (a signal, a bucket that
/// is being written).
const RETRIES: u32 = 1000;

/// A kind of map that the kernel reads in batches: the hash family, arrays, and
/// maps of maps.
pub trait Iterable: Entries {
    #[doc(hidden)]
    const READ: IterableBy = IterableBy::Batches;
}

/// Since when there are batches of a kind.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum IterableBy {
    Batches,
    LaterBatches,
}

impl<T: Iterable, A: Readable> Map<T, A> {
    /// The value of `key`, if the map has it; of an array, `None` beyond the end.
    ///
    /// The kernel copies it without a lock: if it is written meanwhile, it can be
    /// torn. (Of 768 bytes that two writers replaced all the time, 5 of 9.6 million
    /// readings were, in a hash map; in an array, which is written in place, it is
    /// some in a hundred. A per-CPU hash map is written in place as well, and a hash map by
    /// those who do it under the lock of the value.) [`iter`](Self::iter) over a hash map
    /// does not tear, but for those last ones, and a [locked](Map::locked) map never does.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`].
    pub fn get(&self, key: &T::Key) -> Result<Option<T::Value>> {
        self.look_up(key)
    }

    /// All entries: those of an array in the order of their indices, those of a hash
    /// map in no particular order. Needs Linux 5.6, per-CPU arrays 5.13, maps of maps
    /// 5.19.
    ///
    /// While others write to the map:
    /// - a key that is there all the time comes exactly once;
    /// - no key comes twice;
    /// - no value of a hash map is torn, if it is written by whole updates, and not under
    ///   the lock of the value: that a [locked](Map::locked) map has to take as well;
    /// - the end is reached in a bounded number of steps.
    ///
    /// It is not a snapshot of one moment: of keys that come or go meanwhile,
    /// some are seen and some are not. An error comes once and ends the walk.
    ///
    /// It needs memory for a batch (256 entries or 64 KiB, or what is in one bucket), not
    /// for the map, and allocates nothing for an entry.
    pub fn iter(&self) -> Iter<'_, T, A> {
        Iter::new(self)
    }

    /// The keys of [`iter`](Self::iter).
    pub fn keys(&self) -> Keys<'_, T, A> {
        Keys(self.iter())
    }

    /// The values of [`iter`](Self::iter).
    pub fn values(&self) -> Values<'_, T, A> {
        Values(self.iter())
    }

    /// The entries of [`iter`](Self::iter), as many at a time as `buf` holds, where
    /// they lie. With one `buf`, walk after walk allocates nothing.
    pub fn batches<'a>(&'a self, buf: &'a mut BatchBuf<T::Key, T::Value>) -> Batches<'a, T, A> {
        Batches {
            walk: Walk::reading(self),
            map: self,
            buf,
        }
    }
}

/// Memory for a batch; see [`Map::batches`].
pub struct BatchBuf<K: MapData, V: Value> {
    keys: Vec<MaybeUninit<K>>,
    values: Vec<MaybeUninit<V::Cell>>,
    decoded: V::Decoded,
    /// How many entries are to lie in it, unless their size decides, and how many do.
    room: Option<usize>,
    filled: usize,
    /// Cells of each value.
    cells: usize,
}

impl<K: MapData, V: Value> BatchBuf<K, V> {
    /// Memory for 256 entries, or for fewer that have 64 KiB in all, which it gets when
    /// it is used. It grows if a bucket of a hash map has more.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// Memory for `entries` entries (at least one), which it gets when it is used.
    /// It grows if a bucket of a hash map has more.
    pub fn with_room(entries: usize) -> Self {
        Self::with(Some(entries.max(1)))
    }

    fn with(room: Option<usize>) -> Self {
        Self {
            keys: Vec::new(),
            values: Vec::new(),
            decoded: V::Decoded::default(),
            room,
            filled: 0,
            cells: 1,
        }
    }

    /// Empty, with the memory that it is to have for a map with such values and so
    /// many entries.
    pub(super) fn prepare(&mut self, cells: usize, max_entries: u32) {
        self.filled = 0;
        self.cells = cells;
        let entry_len = size_of::<K>() + cells * size_of::<V::Cell>();
        let room = self.room.unwrap_or_else(|| room_for(entry_len));
        let room = room.min(max_entries.max(1) as usize);
        if self.capacity() < room {
            self.reserve(room);
        }
    }

    fn reserve(&mut self, room: usize) {
        self.keys.resize(room, MaybeUninit::uninit());
        self.values.resize(room * self.cells, MaybeUninit::uninit());
    }

    /// Entries for which there is memory.
    fn capacity(&self) -> usize {
        self.keys.len().min(self.values.len() / self.cells)
    }

    fn grow(&mut self, max_entries: u32) {
        let room = self.capacity() * 2;
        self.reserve(room.min(max_entries as usize).max(self.capacity()));
    }

    /// # Safety
    ///
    /// The kernel has written `count` keys and values.
    unsafe fn fill(&mut self, count: u32) {
        self.filled = count as usize;
        // SAFETY: the caller vouches for it.
        unsafe {
            V::decode(&self.values[..self.filled * self.cells], &mut self.decoded);
        }
    }

    /// Adds an entry, for the kernel to read; returns whether there is room for
    /// another.
    pub(super) fn push(&mut self, key: &K, value: &V) -> bool {
        super::encode::write(key, &mut self.keys[self.filled]);
        value.write(&mut self.values[self.filled * self.cells..][..self.cells]);
        self.filled += 1;
        self.filled < self.capacity()
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.filled
    }

    /// Of what has been filled or pushed.
    pub(super) fn key(&self, at: usize) -> K {
        // SAFETY: the first `filled` keys have been written, by the kernel or by
        // `push`; any bytes are valid for them (`MapData`).
        unsafe { self.keys[..self.filled][at].assume_init() }
    }

    pub(super) fn value(&self, at: usize) -> V {
        let cells = &self.values[..self.filled * self.cells];
        // SAFETY: as in `key`, and `fill` has decoded them.
        unsafe { V::item(cells, &self.decoded, at * self.cells..(at + 1) * self.cells) }
    }

    pub(super) fn keys_ptr(&self) -> *const K {
        self.keys.as_ptr().cast()
    }

    pub(super) fn values_ptr(&self) -> *const V::Cell {
        self.values.as_ptr().cast()
    }

    pub(super) fn batch(&self) -> Batch<'_, K, V> {
        Batch { buf: self, next: 0 }
    }
}

impl<K: MapData, V: Value> Default for BatchBuf<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: MapData, V: Value> fmt::Debug for BatchBuf<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchBuf")
            .field("room", &self.room)
            .field("filled", &self.filled)
            .finish_non_exhaustive()
    }
}

/// The entries of a map, a batch at a time; see [`Map::batches`].
pub struct Batches<'a, T: Iterable, A: Access> {
    map: &'a Map<T, A>,
    buf: &'a mut BatchBuf<T::Key, T::Value>,
    walk: Walk,
}

impl<T: Iterable, A: Readable> Batches<'_, T, A> {
    /// The next batch; `None` at the end, and after an error.
    ///
    /// # Errors
    ///
    /// [`Error::Unstable`](super::Error::Unstable) or
    /// [`Error::Kernel`](super::Error::Kernel).
    pub fn next_batch(&mut self) -> Result<Option<Batch<'_, T::Key, T::Value>>> {
        let filled = self.walk.fill(self.map, self.buf)?;
        Ok(filled.then(|| self.buf.batch()))
    }
}

impl<T: Iterable, A: Access> fmt::Debug for Batches<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches")
            .field("map", &self.map.name())
            .field("walk", &self.walk)
            .finish_non_exhaustive()
    }
}

/// Entries of a map that were read in one step: an iterator over them.
pub struct Batch<'a, K: MapData, V: Value> {
    buf: &'a BatchBuf<K, V>,
    next: usize,
}

impl<K: MapData, V: Value> Iterator for Batch<'_, K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        (self.next < self.buf.filled).then(|| {
            let at = self.next;
            self.next += 1;
            (self.buf.key(at), self.buf.value(at))
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.buf.filled - self.next;
        (left, Some(left))
    }
}

impl<K: MapData, V: Value> ExactSizeIterator for Batch<'_, K, V> {}

impl<K: MapData, V: Value> fmt::Debug for Batch<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// A place in a map that is being read to its end.
#[derive(Debug)]
pub(super) struct Walk {
    /// The kernel's place: the next bucket or, of an array, the last index.
    cursor: Option<u64>,
    steps_left: u64,
    /// Whether what is read is removed as well.
    delete: bool,
    done: bool,
    /// What is to be told after the last batch.
    failed: Option<Error>,
}

impl Walk {
    pub(super) fn reading<T: Iterable, A: Access>(map: &Map<T, A>) -> Self {
        // A step reads at least one bucket, or doubles the buffer, or is one of
        // the retries.
        let buckets = u64::from(map.max_entries()).next_power_of_two();
        Self {
            cursor: None,
            steps_left: buckets + u64::from(u32::BITS) + u64::from(RETRIES),
            delete: false,
            done: false,
            failed: None,
        }
    }

    pub(super) fn draining<T: Iterable, A: Access>(map: &Map<T, A>) -> Self {
        Self {
            delete: true,
            ..Self::reading(map)
        }
    }

    /// Fills the buffer anew; returns whether anything is in it. If not, the walk
    /// has ended; an error ends it as well.
    pub(super) fn fill<T: Iterable, A: Access>(
        &mut self,
        map: &Map<T, A>,
        buf: &mut BatchBuf<T::Key, T::Value>,
    ) -> Result<bool> {
        let read = |walk: &Self, to: &mut u64, buf: &mut BatchBuf<_, _>, room| {
            let mut from = walk.cursor;
            // SAFETY: `Map::from_fd` has compared the sizes of key and value, and
            // there are as many cells as the kernel writes. A cursor is a u32, the
            // hash family's as well as an array's index, for which there is room.
            unsafe {
                sys::lookup_batch(
                    map.as_fd(),
                    walk.delete,
                    from.as_mut().map_or(ptr::null_mut(), ptr::from_mut).cast(),
                    ptr::from_mut(to).cast(),
                    buf.keys.as_mut_ptr().cast(),
                    buf.values.as_mut_ptr().cast(),
                    room,
                    map.flags(),
                )
            }
        };
        // SAFETY: that is what the kernel does.
        unsafe { self.fill_by(map, buf, read) }
    }

    /// As [`fill`](Self::fill); `read` reads from the walk's place on, as much as there
    /// is room for, and tells up to where.
    ///
    /// # Safety
    ///
    /// What `read` returns is to be what the kernel's system call does: it has written
    /// as many keys and values, unless it failed early.
    unsafe fn fill_by<T: Iterable, A: Access>(
        &mut self,
        map: &Map<T, A>,
        buf: &mut BatchBuf<T::Key, T::Value>,
        mut read: impl FnMut(
            &Self,
            &mut u64,
            &mut BatchBuf<T::Key, T::Value>,
            u32,
        ) -> (u32, io::Result<()>),
    ) -> Result<bool> {
        buf.prepare(map.cells(), map.max_entries());
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        while buf.filled == 0 && !self.done {
            if self.steps_left == 0 {
                self.done = true;
                return Err(Error::Unstable {
                    map: map.name().to_owned(),
                });
            }
            self.steps_left -= 1;

            let mut to = 0_u64;
            let room = u32::try_from(buf.capacity()).unwrap_or(u32::MAX);
            let (count, result) = read(self, &mut to, buf, room);
            match step(result.as_ref().err()) {
                // A short batch is not the end: the next bucket did not fit.
                // SAFETY: these have been written.
                Step::More => unsafe {
                    buf.fill(count);
                    self.cursor = Some(to);
                },
                // What came with it counts.
                // SAFETY: these have been written.
                Step::End => unsafe {
                    buf.fill(count);
                    self.done = true;
                },
                // One bucket has more entries than fit; nothing was written and
                // the place is the same. No bucket has more than the map.
                Step::Grow => buf.grow(map.max_entries()),
                Step::Again => {}
                Step::Fail => {
                    self.done = true;
                    if let Err(source) = result {
                        let count = before(&source, count, room);
                        let error = map.error(self.operation::<T>(), source);
                        if count == 0 {
                            return Err(error);
                        }
                        // They may have been removed: here is all that is left of them.
                        // SAFETY: these have been written.
                        unsafe { buf.fill(count) };
                        self.failed = Some(error);
                    }
                }
            }
        }
        Ok(buf.filled > 0)
    }

    fn operation<T: Iterable>(&self) -> Operation {
        match T::READ {
            _ if self.delete => Operation::TAKE_BATCH,
            IterableBy::Batches => Operation::READ_BATCH,
            IterableBy::LaterBatches => Operation::READ_MAPS,
        }
    }
}

/// What an answer of the kernel means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    More,
    End,
    Grow,
    Again,
    Fail,
}

pub(super) fn step(error: Option<&io::Error>) -> Step {
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

/// How many entries the kernel wrote before it failed; `count` is what it said.
///
/// Before it begins it leaves that as it was, which is the room. Later the room can
/// be full, but then it does nothing more that can fail (out of memory it is for a
/// bucket that fits). After `EFAULT` the count means nothing.
fn before(error: &io::Error, count: u32, room: u32) -> u32 {
    if error.raw_os_error() == Some(libc::EFAULT) || count >= room {
        0
    } else {
        count
    }
}

#[cfg(test)]
mod tests {
    use super::super::Hash;
    use super::*;

    type Buf = BatchBuf<u32, u32>;

    /// An answer of the kernel: the keys that it has written, the count that it tells,
    /// and the errno, or 0.
    type Answer = (&'static [u32], u32, i32);

    /// What comes of a walk over a hash map of eight, four at a time, when the kernel
    /// gives these `answers`, and the last of them again and again.
    fn walked(mut walk: Walk, answers: &[Answer]) -> Vec<Result<Vec<u32>>> {
        let map = map();
        let mut buf = Buf::with_room(4);
        let mut left = answers;
        let mut read = |walk: &Walk, to: &mut u64, buf: &mut Buf, room| {
            assert_eq!(room, 4);
            let (keys, count, errno) = left[0];
            left = if left.len() > 1 { &left[1..] } else { left };
            for (i, key) in keys.iter().enumerate() {
                buf.keys[i].write(*key);
                buf.values[i].write(!*key);
            }
            *to = walk.cursor.unwrap_or(0) + 1;
            let answer = match errno {
                0 => Ok(()),
                errno => Err(io::Error::from_raw_os_error(errno)),
            };
            (count, answer)
        };
        let mut step = || {
            // SAFETY: the keys and values are written, as many as are told.
            match unsafe { walk.fill_by(&map, &mut buf, &mut read) } {
                Ok(false) => None,
                Ok(true) => Some(Ok(buf.batch().map(|(key, _)| key).collect())),
                Err(err) => Some(Err(err)),
            }
        };
        let walked = std::iter::from_fn(&mut step).collect();
        assert!(step().is_none(), "it has ended");
        walked
    }

    fn map() -> Map<Hash<u32, u32>> {
        Map::of_nothing()
    }

    #[test]
    fn what_was_read_before_an_error_comes_before_it() {
        for walk in [Walk::draining(&map()), Walk::reading(&map())] {
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
        // The count is as it was; or it cannot be told.
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
        // Each is a step without end: to try again, a bucket that stays locked, one that
        // never fits, and entries where there are no more buckets.
        for answer in [
            (&[][..], 0, libc::EINTR),
            (&[], 0, libc::EBUSY),
            (&[7], 1, 0),
        ] {
            let walked = walked(Walk::reading(&map()), &[answer]);
            let (last, before) = walked.split_last().expect("an error comes");
            assert!(matches!(last, Err(Error::Unstable { map }) if map == "nothing"));
            let most = 8 + u32::BITS + RETRIES;
            let expected = if answer.1 == 0 { 0 } else { most as usize };
            assert_eq!(before.len(), expected);
            assert!(before.iter().all(Result::is_ok));
        }
    }

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
