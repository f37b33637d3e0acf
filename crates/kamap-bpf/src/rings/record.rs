//! What rings return.

use crate::Error;
use crate::data::MapData;
use crate::raw::RawMap;

/// The type of the records of a ring: a type of fixed size ([`MapData`]), or `[u8]` for records of
/// different lengths.
pub trait Record: private::Sealed {
    /// What a reader passes on: the record by value, or a slice that is valid until the next one is
    /// read.
    type Item<'a>;

    /// The record in `bytes`. If it does not have the size that `padded` gives for this type, an
    /// error with that size.
    #[doc(hidden)]
    fn decode(bytes: &[u8], padded: fn(usize) -> usize) -> Result<Self::Item<'_>, usize>;
}

/// Decodes a record of `map`, see [`Record::decode`].
pub(super) fn decode<'a, E: Record + ?Sized>(
    map: &RawMap,
    bytes: &'a [u8],
    padded: fn(usize) -> usize,
) -> crate::Result<E::Item<'a>> {
    E::decode(bytes, padded).map_err(|expected| Error::RecordSize {
        map: map.name().to_owned(),
        found: bytes.len(),
        expected,
    })
}

mod private {
    /// Only the readers know where a record ends.
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
