//! What a handle may do with its map.

use super::kinds::private::Sealed;

/// What a handle of a [`Map`](crate::Map) may do. The kernel only allows what the handle was opened
/// for. What it would deny does not compile:
///
/// ```compile_fail,E0599
/// use kamap_bpf::{Array, Map, ReadOnly};
/// fn reset(map: &Map<Array<u64>, ReadOnly>) {
///     map.set(0, &0).unwrap();
/// }
/// ```
///
/// ```
/// use kamap_bpf::{Array, Map, ReadOnly};
/// fn first(map: &Map<Array<u64>, ReadOnly>) -> Option<u64> {
///     map.get(&0).unwrap()
/// }
/// ```
pub trait Access: Sealed + Send + Sync + 'static {
    /// Flags to open a map with.
    #[doc(hidden)]
    const FLAGS: u32;
    /// The access mode of its file descriptor.
    #[doc(hidden)]
    const MODE: i32;
    /// Its name in errors.
    #[doc(hidden)]
    const NAME: &'static str;
}

/// A handle that may read.
pub trait Readable: Access {}

/// A handle that may write.
pub trait Writable: Access {}

/// May read and write.
#[derive(Clone, Copy, Debug)]
pub struct ReadWrite;

/// May only read (`BPF_F_RDONLY`, Linux 4.15).
#[derive(Clone, Copy, Debug)]
pub struct ReadOnly;

/// May only write (`BPF_F_WRONLY`, Linux 4.15).
#[derive(Clone, Copy, Debug)]
pub struct WriteOnly;

impl Sealed for ReadWrite {}
impl Sealed for ReadOnly {}
impl Sealed for WriteOnly {}

impl Access for ReadWrite {
    const FLAGS: u32 = 0;
    const MODE: i32 = libc::O_RDWR;
    const NAME: &'static str = "read-write";
}

impl Access for ReadOnly {
    const FLAGS: u32 = libbpf_sys::BPF_F_RDONLY;
    const MODE: i32 = libc::O_RDONLY;
    const NAME: &'static str = "read-only";
}

impl Access for WriteOnly {
    const FLAGS: u32 = libbpf_sys::BPF_F_WRONLY;
    const MODE: i32 = libc::O_WRONLY;
    const NAME: &'static str = "write-only";
}

impl Readable for ReadWrite {}
impl Readable for ReadOnly {}
impl Writable for ReadWrite {}
impl Writable for WriteOnly {}
