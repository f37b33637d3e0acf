//! Each operation on a hash map, from user space alone, and what it shows. Run as root:
//! `cargo run --example user_map`, end it with Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kamap_bpf::{Error, Hash, Map, MapData, UpdateMode};

/// A key with padding: a byte after `proto`, which the kernel is given as zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, MapData)]
#[repr(C)]
struct Service {
    port: u16,
    proto: u8,
}

#[derive(Clone, Copy, Debug, MapData)]
#[repr(C)]
struct Traffic {
    bytes: u64,
    packets: u32,
}

fn main() -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&stop))?;

    let map = Map::<Hash<Service, Traffic>>::create("traffic", 4)?;
    let info = map.info()?;
    println!(
        "created `{}`: keys of {} bytes, values of {}, at most {} entries",
        info.name, info.key_size, info.value_size, info.max_entries
    );

    let dns = Service {
        port: 53,
        proto: 17,
    };
    let traffic = |packets| Traffic {
        bytes: 100 * u64::from(packets),
        packets,
    };
    println!("get: {:?}", map.get(&dns)?);
    println!(
        "insert if present: {}",
        map.insert(&dns, &traffic(1), UpdateMode::IfPresent)?
    );
    println!(
        "insert if absent: {}",
        map.insert(&dns, &traffic(2), UpdateMode::IfAbsent)?
    );
    println!(
        "insert if absent: {}",
        map.insert(&dns, &traffic(3), UpdateMode::IfAbsent)?
    );
    println!("get: {:?}", map.get(&dns)?);
    println!(
        "insert if present: {}",
        map.insert(&dns, &traffic(4), UpdateMode::IfPresent)?
    );
    println!("take: {:?}", map.take(&dns)?);
    println!("take: {:?}", map.take(&dns)?);
    println!(
        "insert any: {}",
        map.insert(&dns, &traffic(5), UpdateMode::Any)?
    );
    println!("remove: {}", map.remove(&dns)?);
    println!("remove: {}", map.remove(&dns)?);

    let ports = [22, 25, 80, 443, 993];
    let tcp = |port| Service { port, proto: 6 };
    let entries = ports.map(|port| (tcp(port), traffic(u32::from(port))));
    match map.insert_many(entries) {
        Err(partial) if matches!(partial.source, Error::Full { .. }) => {
            println!(
                "insert many: {} of {}, {}",
                partial.done,
                ports.len(),
                partial.source
            );
        }
        answer => println!("insert many: {}", answer?),
    }
    println!("remove many: {}", map.remove_many([tcp(25), tcp(26)])?);

    // In no particular order, so sorted.
    let mut found = map.iter().collect::<Result<Vec<_>, _>>()?;
    found.sort_by_key(|(service, _)| *service);
    for (service, traffic) in found {
        println!("walk: {service:?} {traffic:?}");
    }
    let mut keys = 0;
    let mut key = map.next_key(None)?;
    while let Some(last) = key {
        keys += 1;
        key = map.next_key(Some(&last))?;
    }
    println!("next key: {keys} times");

    println!("waiting for Ctrl-C");
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(50));
    }
    let drained = map.drain(|service, _| _ = service)?;
    println!("drained {drained} entries; the map goes with its last handle");
    Ok(())
}
