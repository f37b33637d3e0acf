//! Types of keys and values.

use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr};

pub use kamap_derive::MapData;

use super::layout::{Field, Layout, Shape};

/// A type whose bytes can be a map's key or value.
///
/// Integers, floating-point numbers and IP addresses qualify, arrays of such types, and structs
/// of them with `#[derive(MapData)]`:
///
/// ```
/// use kamap_bpf::MapData;
///
/// #[derive(Clone, Copy, MapData)]
/// #[repr(C)]
/// struct Flow {
///     port: u16,
///     // two bytes of padding
///     address: u32,
/// }
/// assert!(!Flow::LAYOUT.is_dense());
/// ```
///
/// For a type of a libbpf skeleton, use [`map_data!`](crate::map_data).
///
/// Padding is never read, and the kernel always gets zeros in its place. The kernel compares
/// keys byte by byte, so anything else could make two entries of one key.
///
/// An IP address is its octets in network byte order, as in C. A floating-point number in a map
/// that is [created](crate::Map::create) needs Linux 5.13, which is the first to know it in
/// BTF.
///
/// A type that has invalid values does not qualify:
///
/// ```compile_fail,E0277
/// use kamap_bpf::MapData;
///
/// #[derive(Clone, Copy, MapData)]
/// #[repr(C)]
/// struct Flow {
///     open: bool,
/// }
/// ```
///
/// Neither does a type whose layout Rust chooses:
///
/// ```compile_fail
/// use kamap_bpf::MapData;
///
/// #[derive(Clone, Copy, MapData)]
/// struct Flow {
///     port: u16,
/// }
/// ```
///
/// # Safety
///
/// The type must be plain data: it is valid whatever its bytes are. `LAYOUT` must be true, and
/// each byte that it does not declare padding must be initialised in every value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a map's key or value, or a part of one",
    note = "integers, arrays and structs of them can; add `#[derive(MapData)]` to a struct, or \
            name it in `map_data!` if it is a skeleton's"
)]
pub unsafe trait MapData: Copy + 'static {
    /// The layout of the type in memory.
    const LAYOUT: &'static Layout;

    /// Reads a value from the beginning of `bytes`, which need not be aligned. Returns it and the rest;
    /// `None` if there are too few bytes.
    ///
    /// ```
    /// use kamap_bpf::MapData;
    ///
    /// let bytes = [1_u8, 0, 2];
    /// let (number, rest) = u16::read_from_prefix(&bytes).unwrap();
    /// assert_eq!((number.to_le(), rest), (1, &[2][..]));
    /// ```
    fn read_from_prefix(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (value, rest) = bytes.split_at_checked(size_of::<Self>())?;
        // SAFETY: there are enough bytes, and any bytes are valid.
        Some((
            unsafe { value.as_ptr().cast::<Self>().read_unaligned() },
            rest,
        ))
    }
}

macro_rules! integers {
    ($($int:ident)*) => {
        $(
            // SAFETY: any bytes are a valid integer.
            unsafe impl MapData for $int {
                const LAYOUT: &'static Layout = &Layout {
                    name: stringify!($int),
                    size: size_of::<Self>(),
                    shape: Shape::Integer { signed: <$int>::MIN != 0 },
                };
            }
        )*
    };
}

integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

macro_rules! floats {
    ($($float:ident)*) => {
        $(
            // SAFETY: any bytes are a valid IEEE 754 number.
            unsafe impl MapData for $float {
                const LAYOUT: &'static Layout = &Layout {
                    name: stringify!($float),
                    size: size_of::<Self>(),
                    shape: Shape::Float,
                };
            }
        )*
    };
}

floats!(f32 f64);

macro_rules! addresses {
    ($($address:ident: $len:literal, $octets:expr;)*) => {
        $(
            // The standard library does not document the representation of an address. Its size
            // shows that any bytes are valid: there are as many addresses.
            const _: () = {
                assert!(size_of::<$address>() == $len);
                let octets: [u8; $len] = $octets;
                // SAFETY: the same size, and any bytes are valid; see above.
                let address: $address = unsafe { std::mem::transmute(octets) };
                let mut i = 0;
                while i < $len {
                    assert!(address.octets()[i] == octets[i], "not in this order");
                    i += 1;
                }
            };

            // SAFETY: see above. It has no padding, because every bit is significant.
            unsafe impl MapData for $address {
                const LAYOUT: &'static Layout = <[u8; $len]>::LAYOUT;
            }
        )*
    };
}

addresses! {
    Ipv4Addr: 4, [1, 2, 3, 4];
    Ipv6Addr: 16, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
}

// SAFETY: an array has no padding between or after its elements.
unsafe impl<T: MapData, const N: usize> MapData for [T; N] {
    const LAYOUT: &'static Layout = &Layout {
        name: "array",
        size: size_of::<Self>(),
        shape: Shape::Array {
            element: T::LAYOUT,
            len: N,
        },
    };
}

/// The kernel's `struct bpf_spin_lock`. A value in a [`Hash`](struct@crate::Hash) or
/// [`Array`](crate::Array) needs it as a field for [locked](crate::Map::locked) operations.
///
/// The kernel never copies it to or from user space.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct SpinLock {
    val: u32,
}

// SAFETY: it consists of an integer, as its layout says.
unsafe impl MapData for SpinLock {
    const LAYOUT: &'static Layout = &Layout {
        name: "bpf_spin_lock",
        size: size_of::<Self>(),
        shape: Shape::Struct {
            fields: &[Field {
                name: "val",
                offset: 0,
                layout: u32::LAYOUT,
            }],
        },
    };
}

/// For [`map_data!`](crate::map_data).
impl Layout {
    /// The layout of a field, whose type the compiler infers.
    #[doc(hidden)]
    pub const fn of_field<T, F: MapData>(_: fn(&T) -> &F) -> &'static Self {
        F::LAYOUT
    }

    /// With `unsafe`: the layout of a field that may be a skeleton's `bool`.
    #[doc(hidden)]
    pub const fn of_skeleton_field<T, F: SkeletonField>(_: fn(&T) -> &F) -> &'static Self {
        F::FIELD_LAYOUT
    }
}

/// The types of fields in a skeleton's struct: [`MapData`], and libbpf-cargo's type for `bool`.
#[doc(hidden)]
pub trait SkeletonField {
    /// Its layout.
    const FIELD_LAYOUT: &'static Layout;
}

impl<T: MapData> SkeletonField for T {
    const FIELD_LAYOUT: &'static Layout = T::LAYOUT;
}

impl SkeletonField for MaybeUninit<bool> {
    const FIELD_LAYOUT: &'static Layout = &Layout {
        name: "bool",
        size: 1,
        shape: Shape::Integer { signed: false },
    };
}

impl<const N: usize> SkeletonField for [MaybeUninit<bool>; N] {
    const FIELD_LAYOUT: &'static Layout = &Layout {
        name: "array",
        size: N,
        shape: Shape::Array {
            element: <MaybeUninit<bool> as SkeletonField>::FIELD_LAYOUT,
            len: N,
        },
    };
}

/// Implements [`MapData`] for existing structs, such as those of a libbpf skeleton. All fields must
/// be listed. It does not compile if one is missing, or if its type is not `MapData`. A newtype of an
/// integer, which libbpf-cargo generates for an `enum`, has the field `0`. Packed structs do not
/// compile.
///
/// ```
/// mod types {
///     #[derive(Clone, Copy)]
///     #[repr(C)]
///     pub struct flow {
///         pub port: u16,
///         pub __pad_2: [u8; 2],
///         pub state: state,
///     }
///
///     #[derive(Clone, Copy)]
///     #[repr(transparent)]
///     pub struct state(pub u32);
/// }
///
/// kamap_bpf::map_data! {
///     types::state { 0 }
///     types::flow { port, __pad_2, state }
/// }
/// ```
///
/// # Fields that need `unsafe`
///
/// libbpf-cargo generates `MaybeUninit<bool>` for a `bool`. With `unsafe`, such fields are accepted.
/// The caller guarantees that they are initialised in every value that is written to a map:
///
/// ```
/// # mod types {
/// #     #[derive(Clone, Copy)]
/// #     #[repr(C)]
/// #     pub struct flow { pub port: u16, pub open: std::mem::MaybeUninit<bool>, pub __pad_3: [u8; 1] }
/// # }
/// kamap_bpf::map_data! {
///     // SAFETY: `open` is always initialised.
///     unsafe types::flow { port, open, __pad_3 }
/// }
/// ```
///
/// After reading, it has the byte from the map: `true` or `false` if the byte is 1 or 0, which a
/// `bool` in C always is.
///
/// In the struct of a program's global variables, libbpf-cargo generates private fields for padding,
/// which cannot be listed. The caller guarantees that the fields left out are only padding:
///
/// ```
/// # mod types {
/// #     #[derive(Clone, Copy)]
/// #     #[repr(C)]
/// #     pub struct bss { pub count: u32, __pad_4: [u8; 4], pub last: u64 }
/// # }
/// kamap_bpf::map_data! {
///     // SAFETY: the other field is padding.
///     unsafe types::bss { count, last, .. }
/// }
/// ```
///
/// That struct has no fields for `static` variables, and writing it would set them to zero. So a
/// section with `static` variables is refused: its layout differs. Declare variables without `static`.
///
/// libbpf-cargo names a member without a name `__anon_` and a number. List it like others if it is a
/// struct. If a struct contains a union, define your own struct with `#[derive(MapData)]`, which has
/// members of the union that cover all its bytes.
///
/// # What does not compile
///
/// A field that is not listed:
///
/// ```compile_fail
/// # mod types {
/// #     #[derive(Clone, Copy)]
/// #     #[repr(C)]
/// #     pub struct flow { pub port: u16, pub state: u16 }
/// # }
/// kamap_bpf::map_data! {
///     types::flow { port }
/// }
/// ```
///
/// A union, because it is unknown which bytes are padding:
///
/// ```compile_fail
/// # mod types {
/// #     #[derive(Clone, Copy)]
/// #     #[repr(C)]
/// #     pub union flow { pub port: u16 }
/// # }
/// kamap_bpf::map_data! {
///     types::flow { port }
/// }
/// ```
///
/// A `bool` without `unsafe`:
///
/// ```compile_fail,E0277
/// # mod types {
/// #     #[derive(Clone, Copy)]
/// #     #[repr(C)]
/// #     pub struct flow { pub open: std::mem::MaybeUninit<bool> }
/// # }
/// kamap_bpf::map_data! {
///     types::flow { open }
/// }
/// ```
#[macro_export]
macro_rules! map_data {
    (unsafe $data:path { $($field:ident,)+ .. }) => {
        $crate::map_data!(@layout $data, of_skeleton_field, $($field),+);
    };
    (unsafe $data:path { $($field:ident),+ $(,)? }) => {
        $crate::map_data!(@all $data, $($field),+);
        $crate::map_data!(@layout $data, of_skeleton_field, $($field),+);
    };
    ($($data:path { $($fields:tt)* })*) => {
        $($crate::map_data!(@one $data, $($fields)*);)*
    };
    (@one $data:path, 0) => {
        const _: fn($data) = |value| {
            let $data { 0: _ } = value;
        };
        // SAFETY: its only field is `MapData` and has the same size.
        unsafe impl $crate::MapData for $data {
            const LAYOUT: &'static $crate::Layout = {
                let layout = $crate::Layout::of_field(|value: &$data| &value.0);
                assert!(layout.size == ::core::mem::size_of::<$data>());
                layout
            };
        }
    };
    (@one $data:path, $($field:ident),+ $(,)?) => {
        $crate::map_data!(@all $data, $($field),+);
        $crate::map_data!(@layout $data, of_field, $($field),+);
    };
    (@all $data:path, $($field:ident),+) => {
        // The first pattern must name every field. The second one does not match a union.
        const _: fn($data) = |value| {
            let $data { $($field: _),+ } = value;
        };
        $(
            const _: fn($data) = |value| {
                let $data { $field: _, .. } = value;
            };
        )+
    };
    (@layout $data:path, $of_field:ident, $($field:ident),+) => {
        // SAFETY: all fields are listed and `MapData`, so any bytes are valid, or the caller
        // guarantees what differs. The offsets come from the compiler.
        unsafe impl $crate::MapData for $data {
            const LAYOUT: &'static $crate::Layout = &$crate::Layout {
                name: $crate::Layout::name_of(::core::stringify!($data)),
                size: ::core::mem::size_of::<$data>(),
                shape: $crate::Shape::Struct {
                    fields: &[$($crate::Field {
                        name: $crate::Layout::name_of(::core::stringify!($field)),
                        offset: ::core::mem::offset_of!($data, $field),
                        layout: $crate::Layout::$of_field(|value: &$data| &value.$field),
                    }),+],
                },
            };
        }
    };
}
