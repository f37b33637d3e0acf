//! Conversion between values and the bytes that the kernel gets for them: those of the fields, and
//! zeros for padding.
//!
//! There can be fewer bytes than the type has, if those that are missing are padding at its end:
//! the section of a program's variables ends with its last variable.

use std::mem::MaybeUninit;
use std::ptr;
use std::slice;

use super::layout::{Layout, Shape};
use super::map_data::MapData;

/// Reads a value. Only padding may be missing. The bytes need not be aligned.
pub(crate) fn read<T: MapData>(bytes: &[u8]) -> T {
    match T::read_from_prefix(bytes) {
        Some((value, _)) => value,
        None => filled(|all| all[..bytes.len()].copy_from_slice(bytes)).0,
    }
}

/// Passes the bytes of `value` to `take`.
pub(crate) fn with_bytes<T: MapData, R>(value: &T, take: impl FnOnce(&[u8]) -> R) -> R {
    if const { T::LAYOUT.is_dense() } {
        // SAFETY: all of its bytes are initialised, since none is padding (`MapData`).
        take(unsafe { slice::from_raw_parts(ptr::from_ref(value).cast(), size_of::<T>()) })
    } else {
        let mut buffer = MaybeUninit::<T>::uninit();
        let bytes = zeroed(&mut buffer);
        write(value, bytes);
        take(bytes)
    }
}

/// Writes the bytes of `value` to `to`, which has as many, or fewer if padding at the end is left
/// out.
pub(crate) fn write<T: MapData>(value: &T, to: &mut [u8]) {
    assert!((T::LAYOUT.meaningful_len()..=size_of::<T>()).contains(&to.len()));
    to.fill(0);
    // SAFETY: `LAYOUT` is that of `value` (`MapData`), and ends within `to` but for padding.
    unsafe { copy(T::LAYOUT, ptr::from_ref(value).cast(), to.as_mut_ptr()) };
}

/// Copies everything except padding.
///
/// # Safety
///
/// `from` must be valid for reads of a value of this layout, `to` for writes of all of its bytes
/// that are not padding.
unsafe fn copy(layout: &Layout, from: *const u8, to: *mut u8) {
    match layout.shape {
        // SAFETY: it is part of what the caller guarantees, and all of it is initialised
        // (`MapData`).
        _ if layout.is_dense() => unsafe { ptr::copy_nonoverlapping(from, to, layout.size) },
        Shape::Array { element, len } => {
            for at in (0..len).map(|i| i * element.size) {
                // SAFETY: the element is inside the array.
                unsafe { copy(element, from.add(at), to.add(at)) };
            }
        }
        Shape::Struct { fields } => {
            for field in fields.iter().filter(|field| !field.is_padding()) {
                // SAFETY: the field is inside the struct.
                unsafe { copy(field.layout, from.add(field.offset), to.add(field.offset)) };
            }
        }
        Shape::Integer { .. } | Shape::Float => {}
    }
}

/// Returns a value whose bytes `fill` writes; they are zero before.
pub(crate) fn filled<T: MapData, R>(fill: impl FnOnce(&mut [u8]) -> R) -> (T, R) {
    let mut value = MaybeUninit::uninit();
    let answer = fill(zeroed(&mut value));
    // SAFETY: its bytes are initialised, and any are valid (`MapData`).
    (unsafe { value.assume_init() }, answer)
}

/// Sets all bytes to zero, including padding.
fn zeroed<T: MapData>(value: &mut MaybeUninit<T>) -> &mut [u8] {
    let bytes = value.as_mut_ptr().cast::<u8>();
    // SAFETY: the memory is valid for this many bytes, and borrowed as long as the slice.
    unsafe {
        bytes.write_bytes(0, size_of::<T>());
        slice::from_raw_parts_mut(bytes, size_of::<T>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Field, SpinLock, map_data};

    /// The bytes of a value. Miri checks that each is initialised.
    fn bytes<T: MapData>(value: &T) -> Vec<u8> {
        with_bytes(value, <[u8]>::to_vec)
    }

    /// A value whose padding is not zero.
    fn dirty<T: MapData>(fill: impl FnOnce(&mut T)) -> T {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: any bytes are a valid `T` (`MapData`).
        unsafe {
            value.as_mut_ptr().write_bytes(0xff, 1);
            fill(value.assume_init_mut());
            value.assume_init()
        }
    }

    #[derive(Clone, Copy, MapData)]
    #[repr(C)]
    struct Inner {
        word: u32,
        half: u16,
    }

    #[derive(Clone, Copy, MapData)]
    #[repr(C)]
    struct Outer {
        byte: u8,
        inners: [Inner; 2],
        lock: SpinLock,
        last: u64,
        r#type: u8,
    }

    #[derive(Clone, Copy, MapData)]
    #[repr(transparent)]
    struct Wrapped(Inner);

    #[derive(Clone, Copy, MapData)]
    #[repr(C)]
    struct Pair<A, B> {
        first: A,
        second: B,
    }

    #[expect(non_camel_case_types, reason = "libbpf-cargo names types as C does")]
    mod foreign {
        #[derive(Clone, Copy)]
        #[repr(C)]
        pub(super) struct flow {
            pub r#type: u16,
            pub __pad_2: [u8; 2],
            pub state: state,
        }

        #[derive(Clone, Copy)]
        #[repr(transparent)]
        pub(super) struct state(pub u32);
    }

    map_data! {
        foreign::state { 0 }
        foreign::flow { r#type, __pad_2, state }
    }

    #[test]
    fn padding_is_zero_whatever_it_was() {
        let inner = |word, half| dirty(|inner: &mut Inner| (inner.word, inner.half) = (word, half));
        let expected = [1, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(bytes(&inner(1, 2)), expected);
        assert_eq!(bytes(&Wrapped(inner(1, 2))), expected);

        let outer = dirty(|outer: &mut Outer| {
            outer.byte = 7;
            outer.inners = [inner(1, 2), inner(3, 4)];
            outer.lock = SpinLock::default();
            outer.last = 5;
            outer.r#type = 6;
        });
        let mut expected = vec![7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0];
        expected.extend([0; 4]);
        expected.extend([5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes(&outer), expected);

        let flow = dirty(|flow: &mut foreign::flow| {
            (flow.r#type, flow.state) = (1, foreign::state(2));
        });
        assert_eq!(bytes(&flow), [1, 0, 0, 0, 2, 0, 0, 0]);
    }

    #[test]
    fn what_has_no_padding_is_handed_over_in_place() {
        let value = Pair {
            first: 1_u32,
            second: [2_u16, 3],
        };
        let place = ptr::from_ref(&value).cast();
        with_bytes(&value, |bytes| assert_eq!(bytes.as_ptr(), place));
        let dirty = dirty::<Inner>(|_| ());
        let place = ptr::from_ref(&dirty).cast();
        with_bytes(&dirty, |bytes| assert_ne!(bytes.as_ptr(), place));
    }

    #[test]
    fn layouts_tell_what_the_compiler_did() {
        let names = |layout: &Layout| match layout.shape {
            Shape::Struct { fields } => fields
                .iter()
                .map(|field: &Field| (field.name, field.offset, field.layout.to_string()))
                .collect(),
            _ => Vec::new(),
        };
        let field = |name, offset, layout: &str| (name, offset, layout.to_owned());
        assert_eq!(
            names(Outer::LAYOUT),
            [
                field("byte", 0, "u8"),
                field("inners", 4, "[Inner; 2]"),
                field("lock", 20, "bpf_spin_lock"),
                field("last", 24, "u64"),
                field("type", 32, "u8"),
            ]
        );
        assert_eq!(
            names(foreign::flow::LAYOUT),
            [
                field("type", 0, "u16"),
                field("__pad_2", 2, "[u8; 2]"),
                field("state", 4, "u32"),
            ]
        );
        assert_eq!((Outer::LAYOUT.name, Outer::LAYOUT.size), ("Outer", 40));
        assert_eq!(foreign::flow::LAYOUT.name, "flow");
        assert_eq!(Wrapped::LAYOUT, Inner::LAYOUT);

        assert!(Pair::<u32, [u16; 2]>::LAYOUT.is_dense());
        assert!(!Pair::<u32, u16>::LAYOUT.is_dense());
        assert!(!Pair::<Inner, u32>::LAYOUT.is_dense());
        assert!(!<[Inner; 1]>::LAYOUT.is_dense());
        assert!(!foreign::flow::LAYOUT.is_dense());
        assert!(i64::LAYOUT.is_dense() && <[[u8; 3]; 2]>::LAYOUT.is_dense());
    }
}
