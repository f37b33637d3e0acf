//! Arrays, of one value each or of one per CPU.

use std::marker::PhantomData;
use std::os::fd::AsFd;

use super::map::private;
use super::{Kind, Map, MapData, Result, sys};

/// An array (`BPF_MAP_TYPE_ARRAY`, Linux 3.19) of `V`. A program's global
/// variables are one as well.
#[derive(Debug)]
pub struct Array<V>(PhantomData<fn() -> V>);

impl<V: MapData> private::Sealed for Array<V> {}

impl<V: MapData> Kind for Array<V> {
    const TYPE: u32 = libbpf_sys::BPF_MAP_TYPE_ARRAY;
    type Key = u32;
    type Value = V;
}

impl<V: MapData> Map<Array<V>> {
    /// The value at `index`; `None` beyond the end.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`](super::Error::Kernel), for example where the map may
    /// not be read.
    pub fn get(&self, index: u32) -> Result<Option<V>> {
        // SAFETY: `from_fd` has compared the sizes, and an array's values are
        // seen one at a time.
        self.found(unsafe { sys::lookup(self.as_fd(), &index) })
    }
}

/// An array with a value for each CPU (`BPF_MAP_TYPE_PERCPU_ARRAY`, Linux 4.6).
#[derive(Debug)]
pub struct PerCpuArray<V>(PhantomData<fn() -> V>);

impl<V: MapData> private::Sealed for PerCpuArray<V> {}

impl<V: MapData> Kind for PerCpuArray<V> {
    const TYPE: u32 = libbpf_sys::BPF_MAP_TYPE_PERCPU_ARRAY;
    type Key = u32;
    type Value = V;
}

impl<V: MapData> Map<PerCpuArray<V>> {
    /// The values at `index`, one for each possible CPU; `None` beyond the end.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`](super::Error::Kernel), for example where the map may
    /// not be read.
    pub fn get(&self, index: u32) -> Result<Option<Vec<V>>> {
        // SAFETY: `from_fd` has compared kind and sizes.
        self.found(unsafe { sys::lookup_per_cpu(self.as_fd(), &index) })
    }
}
