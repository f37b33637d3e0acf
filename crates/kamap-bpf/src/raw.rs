//! The core of all maps: a file descriptor, the kernel's information about the map, and the sizes
//! that system calls copy. Keys and values are bytes here.
//!
//! [`Map`](crate::Map), [`AnyMap`](crate::AnyMap) and the rings each contain a [`RawMap`]. Every
//! call compares the lengths of its buffers with what the kernel reads and writes, so that code
//! outside of this module and `sys` does not need `unsafe` to use a map. Only [`RawMap::error`]
//! converts the kernel's errors.

mod batch;
mod create;
pub mod flags;
mod info;
mod map;
mod open;
mod operation;
mod walk;

pub(crate) use batch::{Batch, room_for};
pub use create::MapSpec;
pub(crate) use create::NewBtf;
pub use info::Info;
pub(crate) use map::RawMap;
pub use open::{open_program_id, open_program_pinned};
pub(crate) use operation::Operation;
pub use operation::UpdateMode;
pub(crate) use walk::Walk;
