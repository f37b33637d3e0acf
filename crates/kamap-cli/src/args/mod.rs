//! Arguments that several commands share.

mod common;
mod stream;
mod values;

pub(crate) use common::Common;
pub(crate) use stream::StreamArgs;
pub(crate) use values::{duration, interval, user};
