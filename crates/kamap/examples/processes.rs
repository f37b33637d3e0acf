//! Prints every live process, and what was lost. Run as root:
//! `cargo run --example processes`.

fn main() -> anyhow::Result<()> {
    // Opens, configures, loads and attaches the programs, then adds the
    // processes that are alive.
    let tracker = kamap::Tracker::builder().max_entries(65_536).start()?;

    for process in tracker.table().snapshot()? {
        let comm = process.comm();
        println!(
            "{:>7} {:>7} {}",
            process.pid,
            process.ppid,
            comm.escape_debug()
        );
    }

    let losses = tracker.losses()?;
    println!("lost: {}", losses.total());
    Ok(())
}
