//! What is read from a ring.

use crate::data::MapData;

/// The type of the records of a ring: one of fixed size ([`MapData`]), or `[u8]` where they
/// have different lengths.
pub trait Record: private::Sealed {
    /// How a record is passed on: by value, or as a slice that lives until the next one is
    /// read.
    type Item<'a>;

    /// The record in `bytes`, if there are as many as `padded` makes of its size. Otherwise
    /// that size.
    #[doc(hidden)]
    fn decode(bytes: &[u8], padded: fn(usize) -> usize) -> Result<Self::Item<'_>, usize>;
}

mod private {
    /// The readers know where each record ends.
    pub trait Sealed {}
}

impl<E: MapData> private::Sealed for E {}

impl<E: MapData> Record for E {
    type Item<'a> = E;

    fn decode(bytes: &[u8], padded: fn(usize) -> usize) -> Result<E, usize> {
        let size = size_of::<E>();
        let record = E::read_from_prefix(bytes).filter(|_| bytes.len() == padded(size));
        record.map(|(record, _)| record).ok_or(size)
    }
}

impl private::Sealed for [u8] {}

impl Record for [u8] {
    type Item<'a> = &'a [u8];

    fn decode(bytes: &[u8], _: fn(usize) -> usize) -> Result<&[u8], usize> {
        Ok(bytes)
    }
}
