//! A map of a struct whose `MapData` comes from `kamap-derive` itself.

use kamap_bpf::{Array, Map};
use kamap_derive::MapData;

#[derive(Clone, Copy, MapData)]
#[repr(transparent)]
struct Bytes(u64);

fn main() -> kamap_bpf::Result<()> {
    let totals = Map::<Array<Bytes>>::create("totals", 2)?;
    totals.set(1, &Bytes(42))?;
    assert_eq!(totals.get(&1)?.map(|bytes| bytes.0), Some(42));
    Ok(())
}
