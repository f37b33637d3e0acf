//! How values lie in memory that the kernel reads and writes: one for each key, or
//! one for each key and possible CPU.

use std::ffi::c_void;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::ops::{Deref, Range};
use std::slice;
use std::sync::Arc;

use super::map::private::Stored;
use super::{Error, MapData, Result, encode, sys};

/// What a map has for a key: a [`MapData`], or [`PerCpu`] of one.
pub trait Value: Stored {}

impl<V: MapData> Value for V {}

impl<V: MapData> Stored for V {
    type One = V;
    type Cell = V;
    type Decoded = ();
    const EACH_CPU: bool = false;

    unsafe fn read(_: usize, fill: impl FnOnce(*mut c_void) -> io::Result<()>) -> io::Result<Self> {
        let mut value = MaybeUninit::<V>::uninit();
        fill(value.as_mut_ptr().cast())?;
        // SAFETY: the caller vouches that it is filled; any bytes are a valid `V`
        // (`MapData`).
        Ok(unsafe { value.assume_init() })
    }

    fn with_bytes<R>(&self, take: impl FnOnce(*const c_void) -> R) -> R {
        encode::with_bytes(self, take)
    }

    fn write(&self, cells: &mut [MaybeUninit<V>]) {
        encode::write(self, &mut cells[0]);
    }

    unsafe fn decode(_: &[MaybeUninit<V>], (): &mut ()) {}

    unsafe fn item(cells: &[MaybeUninit<V>], (): &(), range: Range<usize>) -> Self {
        // SAFETY: the caller vouches that it is filled; any bytes are a valid `V`
        // (`MapData`).
        unsafe { cells[range.start].assume_init() }
    }
}

/// The values that a per-CPU map has for a key: one for each CPU that there can
/// be, by number. It can be more than there are CPUs online.
///
/// Memory is allocated for them, but not where the key is not there and they would have
/// at most 1,024 bytes (8 for each CPU at least). Those of a [batch](super::Map::iter)
/// share it; collect [`to_vec`](slice::to_vec) to keep few of many.
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
    /// [`Error::WrongCpuCount`] if there are more or fewer, [`Error::PossibleCpus`]
    /// if the number cannot be read.
    pub fn new(values: Vec<V>) -> Result<Self> {
        let expected = possible_cpus()?;
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
        Ok(Self::of_all(vec![value; possible_cpus()?]))
    }

    fn of_all(values: Vec<V>) -> Self {
        let range = 0..values.len();
        Self {
            values: Arc::new(values),
            range,
        }
    }
}

pub(super) fn possible_cpus() -> Result<usize> {
    sys::possible_cpus().map_err(|source| Error::PossibleCpus { source })
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

/// One CPU's value: the kernel rounds its size up to 8 bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Cell<V>(V);

/// Room for the values that most maps have for a key, so that nothing is allocated for
/// one that is not there.
#[repr(C, align(16))]
struct Few(MaybeUninit<[u8; 1024]>);

impl<V: MapData> Value for PerCpu<V> {}

impl<V: MapData> Stored for PerCpu<V> {
    type One = V;
    type Cell = Cell<V>;
    type Decoded = Arc<Vec<V>>;
    const EACH_CPU: bool = true;

    unsafe fn read(
        cells: usize,
        fill: impl FnOnce(*mut c_void) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut few = Few(MaybeUninit::uninit());
        let mut many = Vec::new();
        let fits = cells * size_of::<Cell<V>>() <= size_of::<Few>()
            && align_of::<Cell<V>>() <= align_of::<Few>();
        let filled = if fits {
            // SAFETY: there is room for so many, aligned, which can be anything.
            unsafe { slice::from_raw_parts_mut(few.0.as_mut_ptr().cast(), cells) }
        } else {
            many.resize(cells, MaybeUninit::<Cell<V>>::uninit());
            &mut many[..]
        };
        fill(filled.as_mut_ptr().cast())?;
        // SAFETY: the caller vouches that they are filled.
        let values = filled.iter().map(|cell| unsafe { value(cell) });
        Ok(Self::of_all(values.collect()))
    }

    fn with_bytes<R>(&self, take: impl FnOnce(*const c_void) -> R) -> R {
        let mut cells = vec![MaybeUninit::uninit(); self.len()];
        self.write(&mut cells);
        take(cells.as_ptr().cast())
    }

    fn write(&self, cells: &mut [MaybeUninit<Cell<V>>]) {
        for (value, cell) in self.iter().zip(cells) {
            let cell = cell.as_mut_ptr();
            // SAFETY: the cell is ours, and begins with a `V`, which `MaybeUninit`
            // allows to be anything.
            unsafe {
                cell.write_bytes(0, 1);
                encode::write(value, &mut *cell.cast::<MaybeUninit<V>>());
            }
        }
    }

    unsafe fn decode(cells: &[MaybeUninit<Cell<V>>], decoded: &mut Arc<Vec<V>>) {
        // What was decoded before is only kept if somebody has kept a part of it.
        if Arc::get_mut(decoded).is_none() {
            *decoded = Arc::default();
        }
        if let Some(values) = Arc::get_mut(decoded) {
            values.clear();
            // SAFETY: the caller vouches that they are filled.
            values.extend(cells.iter().map(|cell| unsafe { value(cell) }));
        }
    }

    unsafe fn item(_: &[MaybeUninit<Cell<V>>], decoded: &Arc<Vec<V>>, range: Range<usize>) -> Self {
        Self {
            values: Arc::clone(decoded),
            range,
        }
    }
}

/// # Safety
///
/// The kernel has written the value.
unsafe fn value<V: MapData>(cell: &MaybeUninit<Cell<V>>) -> V {
    // SAFETY: a cell begins with its value, any bytes of which are valid (`MapData`).
    unsafe { cell.as_ptr().cast::<V>().read() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_the_size_that_the_kernel_gives_it() {
        assert_eq!(size_of::<Cell<u8>>(), 8);
        assert_eq!(size_of::<Cell<[u8; 9]>>(), 16);
        assert_eq!(size_of::<Cell<u64>>(), 8);
        assert_eq!(size_of::<Cell<u128>>(), 16);
    }

    #[test]
    fn values_of_cpus_are_written_and_read_back() {
        let values = PerCpu::of_all(vec![[1_u8, 2, 3], [4, 5, 6]]);
        let bytes = values.with_bytes(|bytes| {
            // SAFETY: two cells of eight bytes.
            unsafe { bytes.cast::<[u8; 16]>().read() }
        });
        assert_eq!(bytes, [1, 2, 3, 0, 0, 0, 0, 0, 4, 5, 6, 0, 0, 0, 0, 0]);
        // SAFETY: it fills two cells of eight bytes.
        let read = unsafe {
            PerCpu::<[u8; 3]>::read(2, |to| {
                to.cast::<[u8; 16]>().write(bytes);
                Ok(())
            })
        };
        assert_eq!(read.expect("it is filled"), values);
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
            let values: Vec<_> = (0..cpus as u64).map(value).collect();
            // SAFETY: it fills all cells, each of which begins with a value.
            let read = unsafe {
                PerCpu::<V>::read(cpus, |to| {
                    let cells = to.cast::<Cell<V>>();
                    assert!(cells.is_aligned());
                    for (i, value) in values.iter().enumerate() {
                        cells.add(i).cast::<V>().write(*value);
                    }
                    Ok(())
                })
            };
            assert_eq!(&*read.expect("it is filled"), values);
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
        let mut cells = vec![MaybeUninit::uninit(); 2];
        let mut decoded = Arc::default();
        let mut batch = |first, second| {
            PerCpu::of_all(vec![first, second]).write(&mut cells);
            // SAFETY: both cells are written.
            unsafe {
                PerCpu::decode(&cells, &mut decoded);
                PerCpu::item(&cells, &decoded, 0..2)
            }
        };
        let kept = batch(1_u32, 2);
        let later = batch(3, 4);
        assert_eq!((&*kept, &*later), (&[1, 2][..], &[3, 4][..]));
    }
}
