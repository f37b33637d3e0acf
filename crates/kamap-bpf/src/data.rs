//! Types of keys and values: their layout, and the conversion from and to bytes.

pub(crate) mod bytes;
mod layout;
mod map_data;

pub(crate) use layout::is_padding;
pub use layout::{Field, Layout, Shape};
#[doc(hidden)]
pub use map_data::SkeletonField;
pub use map_data::{MapData, SpinLock};
