//! Runs a command and tells how often each program was executed by it and by what it
//! started. Run as root: `cargo run --example follow make -j2`.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use kamap::{Item, Kinds, Tracker};

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args_os().skip(1);
    let program = words.next().context("which command?")?;
    let mut follow = Tracker::builder()
        .events(Kinds::EXEC)
        .follow(Command::new(program).args(words))?;
    let mut execs: BTreeMap<_, u32> = BTreeMap::new();
    let status = loop {
        let status = follow.read(Duration::from_secs(1), |item| match item {
            Item::Event(event) => {
                let exe = event.process.exe().map(ToOwned::to_owned);
                *execs.entry(exe.unwrap_or_default()).or_default() += 1;
            }
            Item::Lost(lost) => eprintln!("({} lost)", lost.count),
            _ => {}
        })?;
        if let Some(status) = status {
            break status;
        }
    };
    for (exe, count) in execs {
        println!("{count:>6} {}", exe.to_string_lossy().escape_debug());
    }
    println!("{status}");
    Ok(())
}
