//! What is read from a ring.

use super::MapData;

/// What the records of a ring are read as: a type of fixed size ([`MapData`]), or
/// `[u8]` where they have different lengths.
pub trait Record: private::Sealed {
    /// How one is handed out: by value, or as a slice that lives until the next one
    /// is read.
    type Item<'a>;

    /// The record that `bytes` are, if there are as many as `padded` makes of its
    /// size; else that size.
    #[doc(hidden)]
    fn decode(bytes: &[u8], padded: fn(usize) -> usize) -> Result<Self::Item<'_>, usize>;
}

mod private {
    /// The readers know how each record is told from its neighbours.
    pub trait Sealed {}
}

impl<E: MapData> private::Sealed for E {}

impl<E: MapData> Record for E {
    type Item<'a> = E;

    fn decode(bytes: &[u8], padded: fn(usize) -> usize) -> Result<E, usize> {
        let size = size_of::<E>();
        if bytes.len() != padded(size) || bytes.len() < size {
            return Err(size);
        }
        // SAFETY: there are as many bytes, of which any are valid (`MapData`); they
        // need not be aligned.
        Ok(unsafe { bytes.as_ptr().cast::<E>().read_unaligned() })
    }
}

impl private::Sealed for [u8] {}

impl Record for [u8] {
    type Item<'a> = &'a [u8];

    fn decode(bytes: &[u8], _: fn(usize) -> usize) -> Result<&[u8], usize> {
        Ok(bytes)
    }
}
