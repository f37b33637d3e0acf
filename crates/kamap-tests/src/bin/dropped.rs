//! Starts a tracker and prints a line, drops it after reading a line and prints another one, then
//! runs until its standard input is closed.

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
