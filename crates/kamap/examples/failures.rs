//! Prints each process that fails from now on, and how. Run as root:
//! `cargo run --example failures`, end it with Ctrl-C.

use std::time::Duration;

use kamap::{EventKind, Filter, Item, Kinds, Tracker};

fn main() -> anyhow::Result<()> {
    let failures = Filter::new(Kinds::EXIT).failed();
    let mut tracker = Tracker::builder().events(failures).start()?;
    let mut events = tracker.take_events().expect("they were asked for");
    loop {
        events.read(Duration::from_secs(1), |item| match item {
            Item::Event(event) => {
                if let EventKind::Exit(end) = event.kind {
                    let (process, signal) = (event.process, end.signal());
                    let comm = process.comm();
                    let comm = comm.escape_debug();
                    match end.exit_code() {
                        Some(code) => println!("{} {comm}: exit code {code}", process.pid),
                        None => println!("{} {comm}: signal {signal:?}", process.pid),
                    }
                }
            }
            Item::Lost(lost) => println!("({} lost)", lost.count),
            _ => {}
        })?;
    }
}
