//! Prints how many instructions the verifier of this kernel went through for each program: of a tracker
//! with all events, then of an attached one. For `ci/count`. Linux 5.15 does not report it: 0.

use std::fs;

use kamap::{AttachOptions, Kinds, Tracker};
use kamap_tests::{BpfFs, Loaded};
use libbpf_rs::Link;
use libbpf_rs::query::{LinkInfoIter, ProgInfoIter};

fn main() {
    let builder = Tracker::builder().events(Kinds::ALL);
    let own = builder.clone().start().expect("the tracker starts");
    print("own");
    drop(own);

    let bpffs = BpfFs::mount();
    let dir = bpffs.at("kamap");
    let attached = builder.attach(&dir, &AttachOptions::default());
    let attached = attached.expect("it is attached");
    let pins = fs::read_dir(attached.dir()).expect("it is a folder");
    // Some pins are maps, but any can be opened; the descriptors tell what they are.
    let _opened: Vec<_> = pins
        .map(|pin| Link::open(pin.expect("it can be read").path()).expect("it can be opened"))
        .collect();
    print("attached");
}

/// Prints a line for each program behind the file descriptors of this process.
fn print(tracker: &str) {
    let loaded = Loaded::by(std::process::id());
    let linked = LinkInfoIter::default().filter(|link| loaded.links.contains(&link.id));
    let mut programs = loaded.programs;
    programs.extend(linked.map(|link| link.prog_id));
    let known = ProgInfoIter::default().filter(|program| programs.contains(&program.id));
    let mut lines: Vec<_> = known
        .map(|program| {
            let name = program.name.to_string_lossy();
            format!("{tracker} {name} {}", program.verified_insns)
        })
        .collect();
    lines.sort_unstable();
    println!("{}", lines.join("\n"));
}
