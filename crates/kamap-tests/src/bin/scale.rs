//! Fills a table that is attached, and reads it. Arguments: the folder, and how many rows to add. Prints the
//! bytes of kernel memory, the rows that there are, and the seconds that reading all of them takes.

use std::time::Instant;

use kamap::Pinned;
use kamap_bpf::{Check, Hash, Map};

/// A row as the kernel has it, `struct kamap_process`. The tests of the suite know more of it.
type Row = [u8; 768];

/// Where it has its PID.
const PID: std::ops::Range<usize> = 48..52;

/// More than any process can have.
const FIRST: u32 = 1 << 22;

/// How often the table is read; the fastest counts.
const READS: usize = 3;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [dir, count] = &arguments[..] else {
        panic!("it is told where the table is, and how many rows to add");
    };
    let count: u32 = count.parse().expect("a number");
    let table = format!("{dir}/processes");
    let table = Map::<Hash<u32, Row>>::open_pinned(table, Check::Sizes).expect("it is a table");
    let own = std::process::id();
    let own = table.get(&own).expect("it can be read");
    let own = own.expect("this process has a row");
    let rows = (FIRST..FIRST + count).map(|pid| {
        let mut row = own;
        row[PID].copy_from_slice(&pid.to_ne_bytes());
        (pid, row)
    });
    table.insert_many(rows).expect("there is room");

    let pinned = Pinned::open(dir).expect("it is attached");
    let reads = (0..READS).map(|_| {
        let begun = Instant::now();
        let status = pinned.status().expect("it can be read");
        (begun.elapsed(), status)
    });
    let (took, status) = reads.min_by_key(|(took, _)| *took).expect("more than 0");
    let memory = status.memory.expect("this process may ask");
    println!("{memory} {} {:.6}", status.live, took.as_secs_f64());
}
