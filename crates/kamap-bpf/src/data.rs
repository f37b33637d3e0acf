//! What may be a key or a value.

use super::{Field, Layout, Shape};

/// A type whose bytes can be a map's key or value.
///
/// Integers are, arrays of such types, and structs of them with
/// `#[derive(MapData)]`:
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
/// For a type of a libbpf skeleton there is [`map_data!`](super::map_data).
///
/// Padding is never read, and the kernel is always given zeros in its place: it
/// compares keys byte by byte, so that anything else could make two entries of
/// one key.
///
/// A type whose bytes can be invalid is none:
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
/// nor is one whose layout Rust chooses:
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
/// The type must be plain data: whatever its bytes are, it is valid. `LAYOUT` must
/// be true, and each byte that is not padding by it must be initialised in every
/// value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a map's key or value, or a part of one",
    note = "integers, arrays and structs of them can; add `#[derive(MapData)]` to a struct, or \
            name it in `map_data!` if it is a skeleton's"
)]
pub unsafe trait MapData: Copy + 'static {
    /// How the type lies in memory.
    const LAYOUT: &'static Layout;
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

integers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

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

/// The kernel's `struct bpf_spin_lock`, as a field of a value in a
/// [`Hash`](super::Hash) or [`Array`](super::Array) whose operations are to be
/// [locked](super::Map::locked).
///
/// The kernel neither copies it in nor out.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct SpinLock {
    val: u32,
}

// SAFETY: an integer, which is stated.
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

/// Makes structs that others have defined, such as those of a libbpf skeleton,
/// [`MapData`]. All fields have to be listed: one that is missing, or whose type
/// is not `MapData` itself, does not compile. A newtype of an integer, which is
/// what libbpf-cargo makes of an `enum`, has the field `0`. A packed struct cannot be
/// listed.
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
/// libbpf-cargo gives the struct of a program's global variables private fields for
/// padding. They cannot be listed; that they are nothing else is for the caller to know:
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
/// It has no fields at all for `static` variables, which are no padding: where there are some,
/// the layout differs, since whoever wrote the struct would set them to zero. Other
/// variables of a program do not need to be `static`.
///
/// A member without a name has one in libbpf-cargo's struct, `__anon_` and a number; it is
/// listed like others if it is a struct. In the place of a struct with a union it takes one
/// of your own, by `#[derive(MapData)]`, with members of the union that have all its bytes.
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
/// A union, of which no field tells what is padding:
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
#[macro_export]
macro_rules! map_data {
    (unsafe $data:path { $($field:ident,)+ .. }) => {
        $crate::map_data!(@layout $data, $($field),+);
    };
    ($($data:path { $($fields:tt)* })*) => {
        $($crate::map_data!(@one $data, $($fields)*);)*
    };
    (@one $data:path, 0) => {
        const _: fn($data) = |value| {
            let $data { 0: _ } = value;
        };
        // SAFETY: its one field is `MapData`, and has its size.
        unsafe impl $crate::MapData for $data {
            const LAYOUT: &'static $crate::Layout = {
                let layout = $crate::Layout::of_field(|value: &$data| &value.0);
                assert!(layout.size == ::core::mem::size_of::<$data>());
                layout
            };
        }
    };
    (@one $data:path, $($field:ident),+ $(,)?) => {
        // The first pattern has to name every field; the second is none of a union.
        const _: fn($data) = |value| {
            let $data { $($field: _),+ } = value;
        };
        $(
            const _: fn($data) = |value| {
                let $data { $field: _, .. } = value;
            };
        )+
        $crate::map_data!(@layout $data, $($field),+);
    };
    (@layout $data:path, $($field:ident),+) => {
        // SAFETY: all fields are listed (or, as the caller vouches for, padding) and
        // `MapData`, so any bytes are valid; their places are what the compiler says.
        unsafe impl $crate::MapData for $data {
            const LAYOUT: &'static $crate::Layout = &$crate::Layout {
                name: $crate::Layout::name_of(::core::stringify!($data)),
                size: ::core::mem::size_of::<$data>(),
                shape: $crate::Shape::Struct {
                    fields: &[$($crate::Field {
                        name: $crate::Layout::name_of(::core::stringify!($field)),
                        offset: ::core::mem::offset_of!($data, $field),
                        layout: $crate::Layout::of_field(|value: &$data| &value.$field),
                    }),+],
                },
            };
        }
    };
}
