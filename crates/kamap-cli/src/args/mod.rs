//! Arguments that several commands share.

mod by;
mod color;
mod common;
mod moment;
mod place;
mod source;
mod store;
mod stream;
mod values;

pub(crate) use by::group_by;
pub(crate) use color::ColorArgs;
pub(crate) use common::Common;
pub(crate) use moment::moment;
pub(crate) use place::PlaceArgs;
pub(crate) use source::{DirArgs, Source};
pub(crate) use store::{DEFAULT_STORE, StoreArgs, warn_of_damage};
pub(crate) use stream::{StreamArgs, ring_size};
pub(crate) use values::{bytes, duration, group, interval, user};
