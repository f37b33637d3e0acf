//! A map of structs, by `kamap-bpf` under another name.

use bpf::{Hash, Map, MapData, UpdateMode};

#[derive(Clone, Copy, MapData, PartialEq, Eq, Debug)]
#[repr(C)]
struct Flow {
    port: u16,
    address: u32,
}

fn main() -> bpf::Result<()> {
    let packets = Map::<Hash<Flow, u64>>::create("packets", 16)?;
    let (port, address) = (80, 0x7f00_0001);
    packets.insert(&Flow { port, address }, &1, UpdateMode::Any)?;
    let entries: Vec<_> = packets.iter().collect::<bpf::Result<_>>()?;
    assert_eq!(entries, [(Flow { port, address }, 1)]);
    Ok(())
}
