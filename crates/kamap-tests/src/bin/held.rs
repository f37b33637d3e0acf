//! Reports that it runs, waits until its standard input is closed, and exits with the status in its
//! first argument (0 without one).

use std::io::{self, Read};
use std::process::ExitCode;

fn main() -> io::Result<ExitCode> {
    println!();
    io::stdin().read_to_end(&mut Vec::new())?;
    let status = std::env::args().nth(1);
    let status = status.and_then(|status| status.parse::<u8>().ok());
    Ok(status.map_or(ExitCode::SUCCESS, ExitCode::from))
}
