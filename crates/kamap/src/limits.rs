//! Limits and defaults, all of which `kamap.h` has.

use std::mem::offset_of;

use crate::skel::types::{kamap_default, kamap_flag, kamap_limit, kamap_process};

/// Bytes of text in a row.
pub(crate) const TEXT_LEN: usize = size_of::<kamap_process>() - offset_of!(kamap_process, text);

/// Bytes of the version of kamap in what it attaches.
pub(crate) const VERSION_LEN: usize = kamap_limit::KAMAP_VERSION_LEN.0 as usize;

/// Where the number of a command that is followed begins in the flags of a process, and its highest value.
pub(crate) const FOLLOW_SHIFT: u32 = kamap_limit::KAMAP_FOLLOW_SHIFT.0;
pub(crate) const LAST_FOLLOW_ID: u32 = kamap_flag::KAMAP_FOLLOW_ID.0 >> FOLLOW_SHIFT;

/// The most bytes of a path in a row.
pub(crate) const PATH_LEN: usize = kamap_limit::KAMAP_PATH_LEN.0 as usize;

/// Kernel memory for each entry: key, row, and what the kernel adds (its `struct
/// htab_elem` before them and the bucket).
pub(crate) const BYTES_PER_ENTRY: u64 = size_of::<kamap_process>() as u64 + 8 + 48 + 16;

/// Rows of a table, unless another number is given.
pub(crate) const CAPACITY: u32 = kamap_default::KAMAP_DEFAULT_CAPACITY.0;

/// Bytes of the ring of events, and of the arguments in an event, unless others are given.
pub(crate) const RING_SIZE: u32 = kamap_default::KAMAP_DEFAULT_RING_SIZE.0;
pub(crate) const MAX_ARGS: u32 = kamap_default::KAMAP_DEFAULT_MAX_ARGS.0;

/// The most bytes of arguments in an event.
pub(crate) const LONGEST_ARGS: u32 = kamap_limit::KAMAP_MAX_ARGS.0;

/// The most ancestors in an event.
pub(crate) const MAX_ANCESTORS: u32 = kamap_limit::KAMAP_MAX_ANCESTORS.0;
