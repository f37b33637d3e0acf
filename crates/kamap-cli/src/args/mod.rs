//! Arguments that several commands share.

mod color;
mod common;
mod place;
mod source;
mod stream;
mod values;

pub(crate) use color::ColorArgs;
pub(crate) use common::Common;
pub(crate) use place::PlaceArgs;
pub(crate) use source::{DirArgs, Source};
pub(crate) use stream::StreamArgs;
pub(crate) use values::{duration, group, interval, user};
