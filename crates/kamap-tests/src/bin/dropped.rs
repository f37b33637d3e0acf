//! Starts a tracker and says so, drops it when told to by a line and says so, and
//! lives on until its standard input is closed.

use std::io;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tracker = kamap::Tracker::builder().start()?;
    println!();
    io::stdin().read_line(&mut String::new())?;
    drop(tracker);
    println!();
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}
