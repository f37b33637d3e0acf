//! Serialization of values, intended for JSON.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::{Fields, List, Value};

/// Numbers, booleans, text, arrays and structs become their JSON equivalents. An enum becomes its
/// name, an infinite number `"inf"` or `"-inf"`. Bytes, and text that is not UTF-8, become `{"hex":
/// "0102ff"}`. [`Type::parse`](super::Type::parse) reads all of these.
impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Unsigned(number) => to.serialize_u128(number),
            Self::Signed(number) => to.serialize_i128(number),
            Self::Address(address) => to.serialize_u64(address),
            Self::Bool(is) => to.serialize_bool(is),
            Self::Float(number) if number.is_finite() => to.serialize_f64(number),
            Self::Float(_) => to.collect_str(self),
            Self::Text(text) => match str::from_utf8(text) {
                Ok(text) => to.serialize_str(text),
                Err(_) => hex(text, to),
            },
            Self::Bytes(bytes) => hex(bytes, to),
            Self::Name { name, .. } => to.serialize_str(name),
            Self::List(list) => elements(list, to),
            Self::Struct(fields) => members(fields, to),
        }
    }
}

fn hex<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut map = to.serialize_map(Some(1))?;
    map.serialize_entry("hex", &digits)?;
    map.end()
}

fn elements<S: Serializer>(list: List<'_>, to: S) -> Result<S::Ok, S::Error> {
    let mut sequence = to.serialize_seq(None)?;
    for element in list.iter() {
        sequence.serialize_element(&element)?;
    }
    sequence.end()
}

fn members<S: Serializer>(fields: Fields<'_>, to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(None)?;
    for (name, value) in fields.iter() {
        map.serialize_entry(name, &value)?;
    }
    map.end()
}
