//! What may be a key or a value.

/// A type whose bytes can be a map's key or value.
///
/// # Safety
///
/// The type must consist of plain data: any bytes are a valid value of it, it
/// has a defined layout (`repr(C)`, `repr(transparent)` or primitive), and no
/// padding. The kernel compares keys byte by byte, so undefined bytes in
/// padding would make two entries of one key.
pub unsafe trait MapData: Copy + 'static {}

macro_rules! integers {
    ($($int:ty)*) => {
        $(
            // SAFETY: any bytes are a valid integer, and it has no padding.
            unsafe impl MapData for $int {}
        )*
    };
}

integers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

// SAFETY: an array has no padding between or after its elements.
unsafe impl<T: MapData, const N: usize> MapData for [T; N] {}
