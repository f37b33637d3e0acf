//! Tries of prefixes.

use std::cmp::Ordering;
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::slice;

use super::map::private::Sealed;
use super::{
    Access, Creatable, Entries, Error, Keyed, Kind, Layout, Map, MapData, Readable, Result, Shape,
    UpdateMode, Writable, encode,
};

/// A trie that finds the longest prefix of a key (`BPF_MAP_TYPE_LPM_TRIE`, Linux
/// 4.11).
///
/// A key begins with the length of its prefix in bits, a `u32`; the rest of its
/// bytes are the prefix, the first bit being the highest of the first byte:
///
/// ```
/// use kamap_bpf::{LpmTrie, Map, MapData};
///
/// #[derive(Clone, Copy, MapData)]
/// #[repr(C)]
/// struct Net {
///     prefix_len: u32,
///     address: [u8; 4],
/// }
///
/// fn owner(nets: &Map<LpmTrie<Net, u32>>, address: [u8; 4]) -> kamap_bpf::Result<Option<u32>> {
///     nets.get(&Net { prefix_len: 32, address })
/// }
/// ```
///
/// A key that does not begin so does not compile:
///
/// ```compile_fail,E0080
/// use kamap_bpf::{Kind, Layout, LpmTrie};
///
/// const KEY: Option<&Layout> = <LpmTrie<[u8; 8], u32> as Kind>::KEY;
/// ```
#[derive(Debug)]
pub struct LpmTrie<K, V>(PhantomData<fn() -> (K, V)>);

impl<K: MapData, V: MapData> Sealed for LpmTrie<K, V> {}

impl<K: MapData, V: MapData> Kind for LpmTrie<K, V> {
    const TYPE: u32 = libbpf_sys::BPF_MAP_TYPE_LPM_TRIE;
    const KEY: Option<&'static Layout> = {
        assert!(
            begins_with_u32(K::LAYOUT),
            "a key of a trie begins with a `u32`"
        );
        Some(K::LAYOUT)
    };
    const VALUE: &'static Layout = V::LAYOUT;
}

const fn begins_with_u32(layout: &Layout) -> bool {
    if let Shape::Struct {
        fields: [first, ..],
    } = layout.shape
    {
        first.offset == 0
            && first.layout.size == 4
            && matches!(first.layout.shape, Shape::Integer { .. })
    } else {
        false
    }
}

impl<K: MapData, V: MapData> Keyed for LpmTrie<K, V> {
    type Key = K;
}

impl<K: MapData, V: MapData> Entries for LpmTrie<K, V> {
    type Value = V;
}

impl<K: MapData, V: MapData> Creatable for LpmTrie<K, V> {
    const FLAGS: u32 = libbpf_sys::BPF_F_NO_PREALLOC;
}

impl<K: MapData, V: MapData, A: Access> Map<LpmTrie<K, V>, A> {
    /// The value of the longest prefix of `key` that the map has.
    ///
    /// # Errors
    ///
    /// [`Error::PrefixTooLong`] or [`Error::Kernel`].
    pub fn get(&self, key: &K) -> Result<Option<V>>
    where
        A: Readable,
    {
        self.check(key)?;
        self.look_up(key)
    }

    /// Writes `value` for the prefix `key`, and tells whether it did: `false` where
    /// `put` asked for a prefix that is absent and it is present, or the reverse.
    ///
    /// # Errors
    ///
    /// [`Error::PrefixTooLong`], [`Error::Full`], [`Error::Frozen`] or
    /// [`Error::Kernel`].
    pub fn insert(&self, key: &K, value: &V, put: UpdateMode) -> Result<bool>
    where
        A: Writable,
    {
        self.check(key)?;
        self.put(key, value, put)
    }

    /// Removes the prefix `key` itself, and tells whether it was there.
    ///
    /// # Errors
    ///
    /// [`Error::PrefixTooLong`], [`Error::Frozen`] or [`Error::Kernel`].
    pub fn remove(&self, key: &K) -> Result<bool>
    where
        A: Writable,
    {
        self.check(key)?;
        self.delete(key)
    }

    /// All prefixes with their values: longer ones before those that they begin
    /// with, else in the order of their bits.
    ///
    /// While others write to the map, none comes twice. The kernel starts over when the
    /// prefix that the walk has reached is removed; what it passes again is left out, and
    /// a walk that starts over again and again ends with [`Error::Unstable`]. Of a prefix
    /// that is removed meanwhile, the value can be that of a shorter one.
    ///
    /// The kernel does not promise that it passes all that stays: a search that meets a
    /// change can leave something out. The walk asks for each prefix twice, which makes
    /// that so rare that it has not been seen.
    ///
    /// # Errors
    ///
    /// [`Error::Unstable`] or [`Error::Kernel`] come once, and end the walk.
    pub fn iter(&self) -> LpmIter<'_, K, V, A>
    where
        A: Readable,
    {
        LpmIter {
            map: self,
            last: None,
            steps_left: STEPS * (u64::from(self.max_entries()) + STEPS),
            done: false,
        }
    }

    fn check(&self, key: &K) -> Result<()> {
        let len = with_prefix(key, |(len, _)| len);
        let bits = 8 * (size_of::<K>() - size_of::<u32>());
        if len as usize > bits {
            return Err(Error::PrefixTooLong {
                map: self.name().to_owned(),
                len,
                bits,
            });
        }
        Ok(())
    }
}

/// How often a walk may start over in a map that is full.
const STEPS: u64 = 64;

/// Iterator over the entries of a trie; see [`Map::iter`], of a trie: none comes twice.
/// One that stays could be missed, which has not been seen since each step asks twice.
pub struct LpmIter<'map, K: MapData, V: MapData, A: Readable> {
    map: &'map Map<LpmTrie<K, V>, A>,
    last: Option<K>,
    steps_left: u64,
    done: bool,
}

impl<K: MapData, V: MapData, A: Readable> LpmIter<'_, K, V, A> {
    /// The key after `key`, or one before it where the kernel starts over.
    ///
    /// The kernel searches without a lock. If a node that it has passed is replaced at
    /// that moment, it leaves out what lies behind that one: about once in 100,000 times in a
    /// trie that another thread writes all the time. So it is asked twice; neither
    /// answer lies too far ahead unless both do.
    fn next_after(&self, key: Option<&K>) -> Result<Option<K>> {
        let (first, second) = (self.map.next_key(key)?, self.map.next_key(key)?);
        Ok(match (first, second) {
            (Some(first), Some(second)) if order(&second, &first).is_lt() => Some(second),
            (first, second) => first.or(second),
        })
    }

    fn step(&mut self) -> Result<Option<(K, V)>> {
        let mut key = self.last;
        while let Some(next) = self.next_after(key.as_ref())? {
            if self.steps_left == 0 {
                return Err(Error::Unstable {
                    map: self.map.name().to_owned(),
                });
            }
            self.steps_left -= 1;
            key = Some(next);
            // The kernel has started over: these have come.
            if self.last.is_some_and(|last| order(&next, &last).is_le()) {
                continue;
            }
            self.last = key;
            // It may have been removed just now.
            if let Some(value) = self.map.look_up(&next)? {
                return Ok(Some((next, value)));
            }
        }
        Ok(None)
    }
}

impl<K: MapData, V: MapData, A: Readable> Iterator for LpmIter<'_, K, V, A> {
    type Item = Result<(K, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.step().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

impl<K: MapData, V: MapData, A: Readable> FusedIterator for LpmIter<'_, K, V, A> {}

impl<K: MapData, V: MapData, A: Readable> fmt::Debug for LpmIter<'_, K, V, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LpmIter")
            .field("map", &self.map.name())
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl<'map, K: MapData, V: MapData, A: Readable> IntoIterator for &'map Map<LpmTrie<K, V>, A> {
    type Item = Result<(K, V)>;
    type IntoIter = LpmIter<'map, K, V, A>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The kernel's order of keys.
fn order<K: MapData>(a: &K, b: &K) -> Ordering {
    with_prefix(a, |a| with_prefix(b, |b| compare(a, b)))
}

/// Longer prefixes before those that they begin with, else by the first bit that
/// differs.
pub(super) fn compare((len_a, a): (u32, &[u8]), (len_b, b): (u32, &[u8])) -> Ordering {
    let bit = |bytes: &[u8], at: u32| bytes[at as usize / 8] >> (7 - at % 8) & 1;
    match (0..len_a.min(len_b)).find(|&at| bit(a, at) != bit(b, at)) {
        Some(at) => bit(a, at).cmp(&bit(b, at)),
        None => len_b.cmp(&len_a),
    }
}

/// The length and the bytes of a key's prefix.
fn with_prefix<K: MapData, R>(key: &K, look: impl FnOnce((u32, &[u8])) -> R) -> R {
    encode::with_bytes(key, |key| {
        // SAFETY: these are the key's bytes, all initialised; it begins with a `u32`
        // (`Kind::KEY`).
        let (len, prefix) = unsafe {
            let prefix = key.cast::<u8>().add(size_of::<u32>());
            (
                key.cast::<u32>().read_unaligned(),
                slice::from_raw_parts(prefix, size_of::<K>() - size_of::<u32>()),
            )
        };
        look((len, prefix))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_have_the_order_of_the_kernel() {
        let ordered: [(u32, &[u8]); 7] = [
            (2, &[0b0000_0000]),
            (1, &[0b0000_0000]),
            (8, &[0b1000_0000]),
            (2, &[0b1000_0000]),
            (2, &[0b1100_0000]),
            (1, &[0b1000_0000]),
            (0, &[0b0000_0000]),
        ];
        for (i, &a) in ordered.iter().enumerate() {
            for (j, &b) in ordered.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a:?} {b:?}");
            }
        }
    }
}
