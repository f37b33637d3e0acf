//! Attaches the programs that kamap is measured against (`bpf/floor.bpf.c`) until a signal ends it.
//! Argument: `empty` (they do nothing), `table` (a row for each process) or `events` (records as well).

kamap_tests::skeleton!(floor);

use std::mem::MaybeUninit;
use std::thread;
use std::time::Duration;

use kamap_bpf::RingBuf;
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};

/// As long as kamap sleeps where much happens.
const NAP: Duration = Duration::from_millis(25);

fn main() {
    let what = std::env::args().nth(1).expect("it is told what to do");
    let mut storage = MaybeUninit::uninit();
    let builder = floor::FloorSkelBuilder::default();
    let mut open = builder.open(&mut storage).expect("the object opens");
    let rodata = open.maps.rodata_data.as_deref_mut();
    let rodata = rodata.expect("it has read-only data");
    (rodata.with_table, rodata.with_events) = match &what[..] {
        "empty" => (0, 0),
        "table" => (1, 0),
        "events" => (1, 1),
        _ => panic!("there is no floor of {what}"),
    };
    let mut skel = open.load().expect("the programs load");
    skel.attach().expect("they are attached");
    let mut ring = RingBuf::<[u8]>::from_skeleton(&skel.maps.records).expect("it is a ring");
    loop {
        while ring.read().expect("it can be read").is_some() {}
        thread::sleep(NAP);
    }
}
