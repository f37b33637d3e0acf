//! The table of processes, and a map of a struct of one's own, by `kamap` alone.

use kamap::maps::{Array, Map, MapData};

#[derive(Clone, Copy, MapData)]
#[repr(C)]
struct Count {
    processes: u64,
}

fn main() -> kamap::Result<()> {
    let tracker = kamap::Tracker::builder().start()?;
    let processes: Vec<_> = tracker.table().snapshot()?.into_iter().collect();
    assert!(
        processes
            .iter()
            .any(|process| process.pid == std::process::id())
    );

    let counts = Map::<Array<Count>>::create("counts", 1)?;
    let processes = processes.len() as u64;
    counts.set(0, &Count { processes })?;
    assert_eq!(
        counts.get(&0)?.map(|count| count.processes),
        Some(processes)
    );
    Ok(())
}
