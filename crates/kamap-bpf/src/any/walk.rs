//! Reading all entries of any map.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;

use super::super::batch::{Step, step};
use super::super::lpm::compare;
use super::super::{Error, Result, sys};
use super::AnyMap;

/// Bytes of keys and values that are asked for at a time.
const BATCH_BYTES: usize = 64 << 10;

/// How often the kernel may ask to try again.
const RETRIES: u64 = 1000;

/// How often a walk by keys may begin anew.
const RESTARTS: u64 = 100;

impl AnyMap {
    /// Hands all entries to `each`, until it breaks. Takes memory for a batch of entries and
    /// not for all of them, but for the rare types below.
    ///
    /// While others write to the map:
    /// - of a hash map (of any kind, or of maps), a key that is there all the time comes
    ///   exactly once, no key comes twice, and no value is torn by whole updates (but by
    ///   those under its `bpf_spin_lock`);
    /// - an array's values come in the order of their indices, each once; one that refers to
    ///   nothing is left out, and one that is being written can be torn;
    /// - of an LPM trie, no key comes twice, longer prefixes before the ones that they begin
    ///   with; a key that is there all the time comes as in [`LpmIter`](super::super::LpmIter);
    /// - of all other types that can be walked (and of hash maps of maps before Linux 5.19)
    ///   no key comes twice, at the cost of remembering the keys; one that is replaced
    ///   meanwhile can be missed.
    ///
    /// Values of the last two are read one by one, and can be torn; of a prefix that is removed
    /// meanwhile, the value can be that of a shorter one.
    ///
    /// It is not a snapshot of one moment: of keys that come or go meanwhile, some are seen and
    /// some are not.
    ///
    /// # Errors
    ///
    /// [`Error::NotOfKind`] where the type cannot be walked, such as a queue, or its values
    /// cannot be read; [`Error::Unstable`] where the end was not reached because entries
    /// go all the time; [`Error::Denied`], [`Error::Kernel`].
    pub fn walk<B>(
        &self,
        mut each: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        let each: Each<'_, B> = &mut each;
        const OPERATION: &str = "walk";
        self.check_keys(OPERATION)?;
        let kind = self.info().kind;
        if kind.is_hash() {
            let read = |from, to: &mut u32, keys: &mut [u8], values: &mut [u8]| {
                self.raw.lookup_batch(from, to, keys, values)
            };
            match self.by_batch(read, each)? {
                Some(flow) => Ok(flow),
                // A map of maps has no batches before Linux 5.19.
                None => self.by_key(each),
            }
        } else if kind.is_array() {
            self.by_index(each)
        } else if kind.0 == libbpf_sys::BPF_MAP_TYPE_LPM_TRIE {
            self.by_prefix(each)
        } else {
            self.by_key(each)
        }
    }

    /// By batches, which `read` reads as [`Raw::lookup_batch`](super::raw::Raw::lookup_batch)
    /// does; none, if the map has none.
    fn by_batch<B>(
        &self,
        mut read: impl FnMut(Option<u32>, &mut u32, &mut [u8], &mut [u8]) -> (usize, io::Result<()>),
        each: Each<'_, B>,
    ) -> Result<Option<ControlFlow<B>>> {
        const OPERATION: &str = "read a batch";
        let (key_len, value_len) = (self.key_len(), self.value_len());
        let max_entries = (self.info().max_entries as usize).max(1);
        let mut room = (BATCH_BYTES / (key_len + value_len)).clamp(1, max_entries);
        let mut keys = vec![0; room * key_len];
        let mut values = vec![0; room * value_len];
        let mut cursor = None;
        // A step reads at least one bucket, or doubles the buffer, or is one of the retries.
        let buckets = u64::from(self.info().max_entries).next_power_of_two();
        for _ in 0..buckets + u64::from(u32::BITS) + RETRIES {
            let mut to = 0;
            let (count, answer) = read(cursor, &mut to, &mut keys, &mut values);
            let step = step(answer.as_ref().err());
            let count = match step {
                Step::More | Step::End => count,
                _ => 0,
            };
            let entries = keys
                .chunks_exact(key_len)
                .zip(values.chunks_exact(value_len));
            for (key, value) in entries.take(count) {
                if let ControlFlow::Break(broken) = each(key, value) {
                    return Ok(Some(ControlFlow::Break(broken)));
                }
            }
            match (step, answer) {
                // A short batch is not the end: the next bucket did not fit.
                (Step::More, _) => cursor = Some(to),
                (Step::End, _) => return Ok(Some(ControlFlow::Continue(()))),
                // One bucket has more entries than fit; no bucket has more than the map.
                (Step::Grow, _) => {
                    room = (room * 2).min(max_entries);
                    keys.resize(room * key_len, 0);
                    values.resize(room * value_len, 0);
                }
                (Step::Again, _) => {}
                (_, Err(source)) => {
                    let unsupported = matches!(
                        source.raw_os_error(),
                        Some(libc::EOPNOTSUPP | sys::ENOTSUPP)
                    );
                    if unsupported && cursor.is_none() {
                        return Ok(None);
                    }
                    return Err(self.error(OPERATION, source));
                }
                (_, Ok(())) => break,
            }
        }
        Err(self.unstable())
    }

    fn by_index<B>(&self, each: Each<'_, B>) -> Result<ControlFlow<B>> {
        let mut value = vec![0; self.value_len()];
        for index in 0..self.info().max_entries {
            let key = index.to_ne_bytes();
            if let ControlFlow::Break(broken) = self.hand_out(&key, &mut value, each)? {
                return Ok(ControlFlow::Break(broken));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Where the key has gone the kernel begins anew, in the same order.
    fn by_prefix<B>(&self, each: Each<'_, B>) -> Result<ControlFlow<B>> {
        let mut value = vec![0; self.value_len()];
        let mut handed_out: Option<Vec<u8>> = None;
        let mut at: Option<Vec<u8>> = None;
        for _ in 0..self.most_steps() {
            let Some(key) = self.next_prefix(at.as_deref())? else {
                return Ok(ControlFlow::Continue(()));
            };
            let is_new = handed_out
                .as_ref()
                .is_none_or(|last| compare(prefix(last), prefix(&key)) == Ordering::Less);
            if is_new {
                if let ControlFlow::Break(broken) = self.hand_out(&key, &mut value, each)? {
                    return Ok(ControlFlow::Break(broken));
                }
                handed_out = Some(key.clone());
            }
            at = Some(key);
        }
        Err(self.unstable())
    }

    /// The prefix after `key`, or one before it where the kernel begins anew. Its search can
    /// leave something out if it meets a change; hardly that of a second search as well.
    fn next_prefix(&self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
        let (first, second) = (self.next_key(key)?, self.next_key(key)?);
        Ok(match (first, second) {
            (Some(first), Some(second)) if compare(prefix(&second), prefix(&first)).is_lt() => {
                Some(second)
            }
            (first, second) => first.or(second),
        })
    }

    /// Where the key has gone the kernel begins anew; what has come before is passed over.
    fn by_key<B>(&self, each: Each<'_, B>) -> Result<ControlFlow<B>> {
        let mut value = vec![0; self.value_len()];
        let mut handed_out = HashSet::new();
        let mut at: Option<Vec<u8>> = None;
        for _ in 0..self.most_steps() {
            let Some(key) = self.next_key(at.as_deref())? else {
                return Ok(ControlFlow::Continue(()));
            };
            if handed_out.insert(key.clone())
                && let ControlFlow::Break(broken) = self.hand_out(&key, &mut value, each)?
            {
                return Ok(ControlFlow::Break(broken));
            }
            at = Some(key);
        }
        Err(self.unstable())
    }

    /// Reads a value and hands it out, if it is still there.
    fn hand_out<B>(
        &self,
        key: &[u8],
        value: &mut [u8],
        each: Each<'_, B>,
    ) -> Result<ControlFlow<B>> {
        const OPERATION: &str = "read values";
        let answer = self.raw.lookup(key, value, 0);
        Ok(if self.found(OPERATION, answer)? {
            each(key, value)
        } else {
            ControlFlow::Continue(())
        })
    }

    /// Steps after which a walk by keys that finds no end is given up.
    fn most_steps(&self) -> u64 {
        RESTARTS * (u64::from(self.info().max_entries) + 1)
    }

    fn unstable(&self) -> Error {
        Error::Unstable {
            map: self.info().name.clone(),
        }
    }
}

/// What is called with each key and value.
type Each<'a, B> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<B>;

/// The length and the bytes of a key's prefix.
fn prefix(key: &[u8]) -> (u32, &[u8]) {
    match key.split_first_chunk::<4>() {
        Some((len, bytes)) => (u32::from_ne_bytes(*len), bytes),
        None => (0, &[]),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::super::raw::{Raw, Sizes};
    use super::super::{Info, MapType};
    use super::*;

    /// A hash map of eight entries, of which nothing is known to the kernel.
    fn map() -> AnyMap {
        let fd = File::open("/dev/null").expect("it is there").into();
        // SAFETY: it is no map, of which the kernel reads and writes nothing.
        let raw = unsafe { Raw::new(fd, Sizes { key: 4, value: 4 }) };
        let info = Info {
            id: 1,
            name: "nothing".to_owned(),
            kind: MapType(libbpf_sys::BPF_MAP_TYPE_HASH),
            key_size: 4,
            value_size: 4,
            max_entries: 8,
            flags: 0,
            extra: 0,
            btf_id: None,
            frozen: false,
            memory: None,
        };
        AnyMap { raw, info }
    }

    /// How often the kernel is asked, and how many entries are handed out, before a walk is
    /// given up because its answer is `count` entries and `errno` every time.
    fn given_up(count: usize, errno: i32) -> (u64, usize) {
        let (mut calls, mut found) = (0, 0);
        let read = |from: Option<u32>, to: &mut u32, _: &mut [u8], _: &mut [u8]| {
            *to = from.unwrap_or(0);
            calls += 1;
            match errno {
                0 => (count, Ok(())),
                errno => (count, Err(io::Error::from_raw_os_error(errno))),
            }
        };
        let walked = map().by_batch(read, &mut |_, _| -> ControlFlow<()> {
            found += 1;
            ControlFlow::Continue(())
        });
        let error = walked.expect_err("it does not end");
        assert!(
            matches!(&error, Error::Unstable { map } if map == "nothing"),
            "{error}"
        );
        (calls, found)
    }

    #[test]
    fn a_walk_by_batches_that_does_not_end_is_given_up() {
        let most = 8 + u64::from(u32::BITS) + RETRIES;
        for errno in [libc::EINTR, libc::EBUSY, libc::ENOSPC] {
            assert_eq!(given_up(0, errno), (most, 0));
        }
        assert_eq!(given_up(2, 0), (most, 2 * most as usize));
    }
}
