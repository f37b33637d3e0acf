//! Conversion between values and the bytes that the kernel stores for a key: one value, or one for
//! each possible CPU.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::data::{MapData, bytes};
use crate::{Error, Result, cpus};

/// The value of a key: a [`MapData`], or [`PerCpu`] of one.
pub trait Value: private::Stored {}

impl<V: MapData> Value for V {}

impl<V: MapData> Value for PerCpu<V> {}

pub(super) mod private {
    use crate::Result;
    use crate::data::MapData;

    /// Conversion from and to bytes.
    pub trait Stored: Clone + Sized {
        /// The type that the map's BTF describes.
        type One: MapData;
        /// The values of a batch, if they are decoded together.
        type Batch: Default;
        const PER_CPU: bool;

        /// Reads a value whose `len` bytes `fill` writes; `None` if that returns `false`.
        fn read(len: usize, fill: impl FnOnce(&mut [u8]) -> Result<bool>) -> Result<Option<Self>>;

        /// Passes the value's `len` bytes to `take`.
        fn with_bytes<R>(&self, len: usize, take: impl FnOnce(&[u8]) -> R) -> R;

        /// Writes the value's bytes.
        fn write(&self, to: &mut [u8]);

        /// Reads the values of a batch.
        fn read_batch(bytes: &[u8], batch: &mut Self::Batch);

        /// The value at index `at` of a batch, which has these bytes.
        fn of_batch(bytes: &[u8], at: usize, batch: &Self::Batch) -> Self;
    }
}

impl<V: MapData> private::Stored for V {
    type One = V;
    type Batch = ();
    const PER_CPU: bool = false;

    fn read(len: usize, fill: impl FnOnce(&mut [u8]) -> Result<bool>) -> Result<Option<Self>> {
        let (value, found) = bytes::filled(|bytes| fill(&mut bytes[..len]));
        Ok(found?.then_some(value))
    }

    fn with_bytes<R>(&self, len: usize, take: impl FnOnce(&[u8]) -> R) -> R {
        bytes::with_bytes(self, |bytes| take(&bytes[..len]))
    }

    fn write(&self, to: &mut [u8]) {
        bytes::write(self, to);
    }

    fn read_batch(_: &[u8], (): &mut ()) {}

    fn of_batch(bytes: &[u8], _: usize, (): &()) -> Self {
        bytes::read(bytes)
    }
}

/// The values that a per-CPU map has for a key: one for each possible CPU, in the order of
/// their numbers. That can be more than there are CPUs online.
///
/// Memory is allocated for them, but not where the key is absent and they would have at most
/// 1,024 bytes (8 for each CPU at least). Those of a [batch](crate::Map::iter) share it; collect
/// [`to_vec`](slice::to_vec) to keep few of many.
#[derive(Clone)]
pub struct PerCpu<V> {
    values: Arc<Vec<V>>,
    range: Range<usize>,
}

impl<V: MapData> PerCpu<V> {
    /// One value for each possible CPU.
    ///
    /// # Errors
    ///
    /// [`Error::WrongCpuCount`] if there are more or fewer, [`Error::PossibleCpus`] if the
    /// number of CPUs cannot be read.
    pub fn new(values: Vec<V>) -> Result<Self> {
        let expected = cpus::possible()?.len();
        if values.len() == expected {
            Ok(Self::of_all(values))
        } else {
            Err(Error::WrongCpuCount {
                found: values.len(),
                expected,
            })
        }
    }

    /// The same value for each possible CPU.
    ///
    /// # Errors
    ///
    /// [`Error::PossibleCpus`].
    pub fn same(value: V) -> Result<Self> {
        Ok(Self::of_all(vec![value; cpus::possible()?.len()]))
    }

    fn of_all(values: Vec<V>) -> Self {
        let range = 0..values.len();
        Self {
            values: Arc::new(values),
            range,
        }
    }
}

impl<V> Deref for PerCpu<V> {
    type Target = [V];

    fn deref(&self) -> &[V] {
        &self.values[self.range.clone()]
    }
}

impl<V: fmt::Debug> fmt::Debug for PerCpu<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<V: PartialEq> PartialEq for PerCpu<V> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<V: Eq> Eq for PerCpu<V> {}

/// The value of each CPU. The kernel rounds the size of one up to 8 bytes.
fn each<V: MapData>(bytes: &[u8]) -> impl Iterator<Item = V> {
    bytes
        .chunks_exact(cpus::stride(size_of::<V>()).max(1))
        .map(|bytes| bytes::read(&bytes[..size_of::<V>()]))
}

impl<V: MapData> private::Stored for PerCpu<V> {
    type One = V;
    type Batch = Arc<Vec<V>>;
    const PER_CPU: bool = true;

    fn read(len: usize, fill: impl FnOnce(&mut [u8]) -> Result<bool>) -> Result<Option<Self>> {
        // Large enough for most maps, so that nothing is allocated if the key is absent.
        let mut few = [0; 1024];
        let mut many = Vec::new();
        let bytes = match few.get_mut(..len) {
            Some(bytes) => bytes,
            None => {
                many.resize(len, 0);
                &mut many[..]
            }
        };
        let found = fill(bytes)?;
        Ok(found.then(|| Self::of_all(each(bytes).collect())))
    }

    fn with_bytes<R>(&self, len: usize, take: impl FnOnce(&[u8]) -> R) -> R {
        let mut bytes = vec![0; len];
        self.write(&mut bytes);
        take(&bytes)
    }

    fn write(&self, to: &mut [u8]) {
        to.fill(0);
        let places = to.chunks_exact_mut(cpus::stride(size_of::<V>()).max(1));
        for (value, to) in self.iter().zip(places) {
            bytes::write(value, &mut to[..size_of::<V>()]);
        }
    }

    fn read_batch(bytes: &[u8], batch: &mut Arc<Vec<V>>) {
        // The values of the previous batch are in use if the caller has kept one of them.
        if Arc::get_mut(batch).is_none() {
            *batch = Arc::default();
        }
        if let Some(values) = Arc::get_mut(batch) {
            values.clear();
            values.extend(each::<V>(bytes));
        }
    }

    fn of_batch(bytes: &[u8], at: usize, batch: &Arc<Vec<V>>) -> Self {
        let cpus = bytes.len() / cpus::stride(size_of::<V>()).max(1);
        Self {
            values: Arc::clone(batch),
            range: at * cpus..(at + 1) * cpus,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::private::Stored;
    use super::*;

    #[test]
    fn values_of_cpus_are_written_and_read_back() {
        let values = PerCpu::of_all(vec![[1_u8, 2, 3], [4, 5, 6]]);
        let bytes = values.with_bytes(16, <[u8]>::to_vec);
        assert_eq!(bytes, [1, 2, 3, 0, 0, 0, 0, 0, 4, 5, 6, 0, 0, 0, 0, 0]);
        let read = PerCpu::<[u8; 3]>::read(16, |to| {
            to.copy_from_slice(&bytes);
            Ok(true)
        });
        assert_eq!(read.expect("it is filled"), Some(values));
        let absent = PerCpu::<[u8; 3]>::read(16, |_| Ok(false));
        assert_eq!(absent.expect("it is absent"), None);
    }

    #[test]
    fn values_of_few_and_of_many_cpus_are_read() {
        #[derive(Clone, Copy, Debug, PartialEq, MapData)]
        #[repr(C, align(32))]
        struct Wide {
            words: [u64; 4],
        }

        #[track_caller]
        fn is_read<V: MapData + fmt::Debug + PartialEq>(cpus: usize, value: impl Fn(u64) -> V) {
            let values = PerCpu::of_all((0..cpus as u64).map(value).collect());
            let len = cpus * cpus::stride(size_of::<V>());
            let read = PerCpu::<V>::read(len, |to| {
                values.write(to);
                Ok(true)
            });
            assert_eq!(read.expect("it is filled").as_ref(), Some(&values));
        }

        for cpus in [1, 127, 128, 129, 1_000] {
            is_read(cpus, |cpu| cpu);
            is_read(cpus, |cpu| [cpu as u8; 3]);
            is_read(cpus, u128::from);
        }
        is_read(2, |cpu| Wide { words: [cpu; 4] });
        is_read(2, |cpu| [cpu; 1_000]);
    }

    #[test]
    fn a_batch_whose_values_are_kept_is_not_written_over() {
        let mut shared = Arc::default();
        let mut batch = |first, second| {
            PerCpu::of_all(vec![first, second]).with_bytes(16, |bytes| {
                PerCpu::read_batch(bytes, &mut shared);
                PerCpu::of_batch(bytes, 0, &shared)
            })
        };
        let kept = batch(1_u32, 2);
        let later = batch(3, 4);
        assert_eq!((&*kept, &*later), (&[1, 2][..], &[3, 4][..]));
    }
}
