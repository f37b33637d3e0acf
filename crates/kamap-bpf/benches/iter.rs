//! Reads a hash map of 100,000 entries of 64 bytes in four ways, in turn, and prints
//! the shortest time of each. Needs bpftool. `cargo bench -p kamap-bpf --bench iter`, as root.

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};
use std::ptr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kamap_bpf::{BatchBuf, Hash, Map};

type Value = [u8; 64];

const ENTRIES: u32 = 100_000;
const BATCH: usize = 256;
const ROUNDS: usize = 15;

/// Its name, and what reads the map and tells how many entries that were.
type Way<'a> = (&'static str, Box<dyn FnMut() -> Result<usize> + 'a>);

fn main() -> Result<()> {
    let map = Map::<Hash<u32, Value>>::create("bench", ENTRIES)?;
    map.insert_many((0..ENTRIES).map(|key| (key, [key as u8; 64])))?;
    let id = map.info()?.id;
    let theirs = aya::maps::MapData::from_id(id)?;
    let theirs = aya::maps::Map::HashMap(theirs);
    let theirs = aya::maps::HashMap::<_, u32, Value>::try_from(theirs)?;
    let mut buf = BatchBuf::new();

    let mut ways: [Way<'_>; 5] = [
        ("batches by hand", Box::new(|| by_hand(&map))),
        ("kamap iter()", Box::new(|| by_iter(&map))),
        ("kamap batches()", Box::new(|| by_batches(&map, &mut buf))),
        ("aya iter()", Box::new(|| by_aya(&theirs))),
        ("bpftool map dump", Box::new(|| by_bpftool(id))),
    ];
    let mut best = [Duration::MAX; 5];
    for _ in 0..ROUNDS {
        for ((name, read), best) in ways.iter_mut().zip(&mut best) {
            // Whoever comes after another one finds other things in the caches.
            read().with_context(|| format!("{name} failed"))?;
            let begun = Instant::now();
            let count = read().with_context(|| format!("{name} failed"))?;
            *best = begun.elapsed().min(*best);
            ensure!(count == ENTRIES as usize, "{name} has read {count} entries");
        }
    }
    let iter = best[1].as_secs_f64();
    println!("{ENTRIES} entries, the shortest of {ROUNDS} times each; iter() is 1");
    for ((name, _), best) in ways.iter().zip(best) {
        let ratio = best.as_secs_f64() / iter;
        println!("{name:<17} {:9.2} ms {ratio:8.2}", 1e3 * best.as_secs_f64());
    }
    Ok(())
}

/// As short as it can be written with the system call, and only right for this map.
fn by_hand(map: &Map<Hash<u32, Value>>) -> Result<usize> {
    let mut keys = [MaybeUninit::<u32>::uninit(); BATCH];
    let mut values = [MaybeUninit::<Value>::uninit(); BATCH];
    let (mut from, mut to) = (None::<u32>, 0_u32);
    let mut read = 0;
    loop {
        let mut count = BATCH as u32;
        // SAFETY: there is room for so many keys and values of this map; a hash map's
        // cursor is a u32.
        let ret = unsafe {
            libbpf_sys::bpf_map_lookup_batch(
                map.as_fd().as_raw_fd(),
                from.as_mut().map_or(ptr::null_mut(), ptr::from_mut).cast(),
                ptr::from_mut(&mut to).cast(),
                keys.as_mut_ptr().cast(),
                values.as_mut_ptr().cast(),
                &mut count,
                ptr::null(),
            )
        };
        ensure!(ret == 0 || ret == -libc::ENOENT, "error {ret}");
        for i in 0..count as usize {
            // SAFETY: these have been written.
            black_box(unsafe { (keys[i].assume_init(), values[i].assume_init()) });
            read += 1;
        }
        if ret != 0 {
            return Ok(read);
        }
        from = Some(to);
    }
}

fn by_iter(map: &Map<Hash<u32, Value>>) -> Result<usize> {
    let mut read = 0;
    for entry in map {
        black_box(entry?);
        read += 1;
    }
    Ok(read)
}

fn by_batches(map: &Map<Hash<u32, Value>>, buf: &mut BatchBuf<u32, Value>) -> Result<usize> {
    let mut read = 0;
    let mut batches = map.batches(buf);
    while let Some(batch) = batches.next_batch()? {
        for entry in batch {
            black_box(entry);
            read += 1;
        }
    }
    Ok(read)
}

fn by_aya(map: &aya::maps::HashMap<aya::maps::MapData, u32, Value>) -> Result<usize> {
    let mut read = 0;
    for entry in map.iter() {
        black_box(entry?);
        read += 1;
    }
    Ok(read)
}

fn by_bpftool(id: u32) -> Result<usize> {
    let status = Command::new("bpftool")
        .args(["map", "dump", "id", &id.to_string()])
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "bpftool failed");
    Ok(ENTRIES as usize)
}
