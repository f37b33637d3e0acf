//! Typed access to BPF maps of any origin, through their file descriptor.
//!
//! A [`Map`] has the types of its keys and values, and checks when it is made
//! that the kernel's map is of that kind and that the sizes agree.
//!
//! ```no_run
//! use kamap::maps::{Hash, Map, Put};
//!
//! let counts = Map::<Hash<u32, u64>>::create("counts", 1024)?;
//! counts.insert(&7, &1, Put::Any)?;
//! for entry in counts.iter() {
//!     let (key, value) = entry?;
//!     println!("{key}: {value}");
//! }
//! # Ok::<(), kamap::maps::Error>(())
//! ```
//!
//! Needs `CAP_BPF` (or root) to create maps, and Linux 5.6 to iterate.

mod any;
mod array;
mod batch;
pub mod btf;
mod data;
mod error;
mod hash;
mod map;
mod ring;
mod sys;

pub use any::{
    AnyMap, EntryTypes, MapInfo, MapType, NewMap, Refers, TypeSource, flags, open_program_id,
    open_program_pinned,
};
pub use array::{Array, PerCpuArray};
pub use batch::Iter;
pub use data::MapData;
pub use error::{Error, Result};
pub use hash::{Hash, Put};
pub use map::{Kind, Map};
pub use ring::RingBuf;
#[cfg(feature = "tracker")]
pub(crate) use ring::page_size;
