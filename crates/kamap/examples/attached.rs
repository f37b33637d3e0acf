//! Attaches a tracker, reads it as anybody with the right can, and detaches it. The argument is the
//! folder for its pins, on a BPF file system.

use kamap::{AttachOptions, DEFAULT_DIR, Reader, Tracker};

fn main() -> anyhow::Result<()> {
    let dir = std::env::args().nth(1);
    let dir = dir.as_deref().unwrap_or(DEFAULT_DIR);
    Tracker::builder().attach(dir, &AttachOptions::default())?;
    // From here on it records, whoever runs. Any other process can do the same:
    let reader = Reader::open(dir)?;
    let table = reader.table().snapshot()?;
    println!("{} processes, {:?}", table.len(), reader.seen()?);
    kamap::detach(dir)?;
    Ok(())
}
