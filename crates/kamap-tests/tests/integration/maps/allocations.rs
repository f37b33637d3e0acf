//! Memory that reading a map allocates: for a batch, but not for each entry.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use kamap_bpf::{Array, BatchBuf, Hash, Map, PerCpu, PerCpuHash};

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all is handed on to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        BYTES.set(BYTES.get() + layout.size());
        // SAFETY: the caller vouches for it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller vouches for it.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `run` allocates, and the total number of bytes.
fn allocated(run: impl FnOnce()) -> (usize, usize) {
    let before = (COUNT.get(), BYTES.get());
    run();
    (COUNT.get() - before.0, BYTES.get() - before.1)
}

#[test]
fn reading_allocates_for_a_batch_and_nothing_for_an_entry() {
    const ENTRIES: u32 = 20_000;
    let map = Map::<Hash<u32, [u64; 8]>>::create("allocated", ENTRIES).expect("it can be created");
    map.insert_many((0..ENTRIES).map(|key| (key, [u64::from(key); 8])))
        .expect("there is room");

    let read = || {
        assert_eq!(
            map.iter().filter(|entry| entry.is_ok()).count(),
            ENTRIES as usize
        )
    };
    let (count, bytes) = allocated(read);
    // Keys and values of a batch, which grows if a bucket has more entries.
    assert!(count <= 4, "{count} allocations");
    assert!(bytes <= 4 * 256 * (4 + 64), "{bytes} bytes");

    let mut buf = BatchBuf::new();
    let mut read = || {
        let mut batches = map.batches(&mut buf);
        let mut count = 0;
        while let Some(batch) = batches.next_batch().expect("it can be read") {
            count += batch.count();
        }
        assert_eq!(count, ENTRIES as usize);
    };
    read();
    assert_eq!(allocated(read).0, 0, "there is a buffer already");

    let (count, _) = allocated(|| assert_eq!(map.get(&ENTRIES).expect("it can be read"), None));
    assert_eq!(count, 0);
}

#[test]
fn reading_a_million_entries_takes_the_memory_of_a_batch() {
    const ENTRIES: u32 = 1_000_000;
    let map = Map::<Hash<u32, u32>>::create("million", ENTRIES).expect("it can be created");
    for first in (0..ENTRIES).step_by(10_000) {
        map.insert_many((first..first + 10_000).map(|key| (key, !key)))
            .expect("there is room");
    }
    let mut sum = 0;
    let (count, bytes) = allocated(|| {
        for entry in map.iter() {
            let (key, value) = entry.expect("it can be read");
            assert_eq!(value, !key);
            sum += u64::from(key);
        }
    });
    assert_eq!(sum, (0..u64::from(ENTRIES)).sum::<u64>());
    assert!(count <= 4, "{count} allocations");
    assert!(bytes <= 4 * 256 * (4 + 4), "{bytes} bytes");
}

#[test]
fn a_batch_of_large_values_has_as_many_bytes_as_others() {
    const ENTRIES: u32 = 64;
    const LEN: usize = 20_000;
    let map = Map::<Array<[u8; LEN]>>::create("large", ENTRIES).expect("it can be created");
    let (_, bytes) = allocated(|| {
        let values = (0..ENTRIES).map(|index| (index, [index as u8; LEN]));
        assert_eq!(map.insert_many(values).expect("they are there"), 64);
    });
    assert!(bytes <= 64 << 10, "{bytes} bytes");
    let (_, bytes) = allocated(|| {
        for (index, entry) in (0..).zip(&map) {
            let (key, value) = entry.expect("it can be read");
            assert!(key == index && value[0] == key as u8 && value[LEN - 1] == key as u8);
        }
        assert_eq!(map.iter().count(), 64);
    });
    assert!(bytes <= 2 * (64 << 10), "{bytes} bytes for two walks");

    // A value that is larger than a batch is read alone.
    let map = Map::<Array<[u8; 5 * LEN]>>::create("larger", 3).expect("it can be created");
    let (_, bytes) = allocated(|| assert_eq!(map.iter().count(), 3));
    assert!(bytes < 6 * LEN, "{bytes} bytes");
}

#[test]
fn reading_values_of_cpus_allocates_for_a_batch_unless_they_are_kept() {
    const ENTRIES: u32 = 4_000;
    let map = Map::<PerCpuHash<u32, u64>>::create("percpu", ENTRIES).expect("it can be created");
    let value = PerCpu::same(7).expect("CPUs are known");
    map.insert_many((0..ENTRIES).map(|key| (key, value.clone())))
        .expect("there is room");
    let read = || {
        assert!(
            map.iter()
                .all(|entry| entry.is_ok_and(|(_, read)| read == value))
        )
    };
    let (count, _) = allocated(read);
    assert!(count <= 8, "{count} allocations");

    let (count, _) = allocated(|| assert_eq!(map.get(&ENTRIES).expect("it can be read"), None));
    // The values of more CPUs do not fit on the stack.
    assert!(count == 0 || value.len() > 128, "{count} allocations");
}
