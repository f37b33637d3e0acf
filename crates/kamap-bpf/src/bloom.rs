//! Bloom filters.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::ptr;

use super::map::private::Sealed;
use super::operation::Operation;
use super::{
    Access, Creatable, Kind, Layout, Map, MapData, Readable, Result, Writable, encode, sys,
};

/// A Bloom filter (`BPF_MAP_TYPE_BLOOM_FILTER`, Linux 5.16): a set of `V` in little
/// memory that can tell for sure only what is not in it.
///
/// More than [`max_entries`](Map::max_entries) can be inserted; it only errs more
/// often then. Nothing can be removed or listed.
#[derive(Debug)]
pub struct BloomFilter<V>(PhantomData<fn() -> V>);

impl<V: MapData> Sealed for BloomFilter<V> {}

impl<V: MapData> Kind for BloomFilter<V> {
    const TYPE: u32 = libbpf_sys::BPF_MAP_TYPE_BLOOM_FILTER;
    const KEY: Option<&'static Layout> = None;
    const VALUE: &'static Layout = V::LAYOUT;
}

impl<V: MapData> Creatable for BloomFilter<V> {}

impl<V: MapData, A: Access> Map<BloomFilter<V>, A> {
    /// Adds `value`.
    ///
    /// # Errors
    ///
    /// [`Error::Frozen`](super::Error::Frozen) or [`Error::Kernel`](super::Error::Kernel).
    pub fn insert(&self, value: &V) -> Result<()>
    where
        A: Writable,
    {
        let answer = encode::with_bytes(value, |value| {
            // SAFETY: `from_fd` has compared the size of the value; there is no key.
            unsafe { sys::update(self.as_fd(), ptr::null(), value, 0) }
        });
        answer.map_err(|err| self.error(Operation::INSERT, err))
    }

    /// Whether `value` may have been inserted; `false` is certain.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`](super::Error::Kernel).
    pub fn may_contain(&self, value: &V) -> Result<bool>
    where
        A: Readable,
    {
        // The kernel writes it back.
        let mut copy = MaybeUninit::uninit();
        encode::write(value, &mut copy);
        // SAFETY: as in `insert`.
        let answer = unsafe { sys::lookup(self.as_fd(), ptr::null(), copy.as_mut_ptr().cast(), 0) };
        Ok(self.found(Operation::LOOK_UP, answer)?.is_some())
    }
}
