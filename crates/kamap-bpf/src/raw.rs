//! The one core of all maps: a file descriptor, what the kernel says of it, and the sizes
//! that system calls copy. It knows keys and values as bytes.
//!
//! [`Map`](crate::Map), [`AnyMap`](crate::AnyMap) and the rings each hold a [`RawMap`]. Each
//! call compares the lengths of its buffers with what the kernel will read and write, so that
//! nothing outside of this module and `sys` has to be unsafe to use a map. The kernel's
//! answers become errors in [`RawMap::error`], and nowhere else.

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
