//! Values: bytes interpreted by their type.

use std::fmt::{self, Write};

use super::{Member, Shape, Type, bits};

/// A key or value, or part of one, interpreted by its type.
///
/// Its `Display` output is a literal that [`Type::parse`] reads: `{pid: 7, name: "init", state:
/// RUNNING, times: [1, 2]}`. Members of a struct without a name are shown among those of the outer
/// struct. All members of a union are shown. With the feature `serde` it can be serialized, to JSON
/// that [`Type::parse`] reads as well.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Value<'a> {
    /// A number that cannot be negative.
    Unsigned(u128),
    /// A number that can be negative.
    Signed(i128),
    /// A finite or infinite number.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// An address.
    Address(u64),
    /// A number that has a name in its enum.
    Name {
        /// The name.
        name: &'a str,
        /// The number.
        value: i128,
    },
    /// Text of unknown encoding, without the zeros at its end.
    Text(&'a [u8]),
    /// The elements of an array.
    List(List<'a>),
    /// The members of a struct or union.
    Struct(Fields<'a>),
    /// Bytes of unknown meaning.
    Bytes(&'a [u8]),
}

impl Type {
    /// Interprets `bytes` as a value of this type. If their number differs from the size of the
    /// type, the result is [`Value::Bytes`].
    pub fn read<'a>(&'a self, bytes: &'a [u8]) -> Value<'a> {
        if bytes.len() == self.size {
            value(self, bytes, None)
        } else {
            Value::Bytes(bytes)
        }
    }
}

/// `field`: the first bit in `bytes` and the width, for a bitfield.
fn value<'a>(ty: &'a Type, bytes: &'a [u8], field: Option<(usize, usize)>) -> Value<'a> {
    let (at, bits) = field.unwrap_or((0, 8 * ty.size));
    let number = || bits::read(bytes, at, bits);
    match &ty.shape {
        Shape::Array { element, len } if matches!(element.shape, Shape::Char { .. }) => {
            let text = &bytes[..*len];
            let end = text.iter().rposition(|byte| *byte != 0);
            Value::Text(&text[..end.map_or(0, |last| last + 1)])
        }
        Shape::Array { element, .. } => Value::List(List { element, bytes }),
        Shape::Struct { members } | Shape::Union { members } => {
            Value::Struct(Fields { members, bytes })
        }
        Shape::Unknown => Value::Bytes(bytes),
        Shape::Float => float(bytes),
        _ if !(1..=bits::WIDEST).contains(&bits) => Value::Bytes(bytes),
        Shape::Bool if number() <= 1 => Value::Bool(number() == 1),
        Shape::Bool => Value::Unsigned(number()),
        Shape::Pointer => Value::Address(number() as u64),
        Shape::Integer { signed } | Shape::Char { signed } => integer(number(), bits, *signed),
        Shape::Enum { signed, names } => {
            let number = number();
            // Only the bits of the number count: a bitfield of one bit cannot hold another -1.
            let mask = u128::MAX >> (bits::WIDEST - bits);
            let named = names
                .iter()
                .find(|name| name.value.cast_unsigned() & mask == number);
            match named {
                Some(name) => Value::Name {
                    name: &name.name,
                    value: name.value,
                },
                None => integer(number, bits, *signed),
            }
        }
    }
}

fn integer<'a>(number: u128, bits: usize, signed: bool) -> Value<'a> {
    if signed {
        Value::Signed(bits::sign(number, bits))
    } else {
        Value::Unsigned(number)
    }
}

/// NaNs are shown as bytes, because the text `NaN` would not distinguish them.
fn float(bytes: &[u8]) -> Value<'_> {
    let number = match *bytes {
        [a, b, c, d] => f64::from(f32::from_ne_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => f64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        _ => return Value::Bytes(bytes),
    };
    if number.is_nan() {
        Value::Bytes(bytes)
    } else {
        Value::Float(number)
    }
}

/// The elements of an array.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    element: &'a Type,
    bytes: &'a [u8],
}

impl<'a> List<'a> {
    /// Each element, in order. Elements without a size are not returned.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        self.bytes
            .chunks_exact(self.element.size.max(1))
            .map(|bytes| value(self.element, bytes, None))
    }
}

/// The members of a struct or union.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    members: &'a [Member],
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Each member and its name, in the order of the type.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        let mut left = vec![(self.members.iter(), self.bytes)];
        std::iter::from_fn(move || {
            loop {
                let (members, bytes) = left.last_mut()?;
                let bytes: &'a [u8] = bytes;
                let Some(member) = members.next() else {
                    left.pop();
                    continue;
                };
                match member.inner() {
                    Some(members) => left.push((members.iter(), member.bytes(bytes))),
                    None => return Some((member.name.as_str(), member.value(bytes))),
                }
            }
        })
    }

    /// The member with this name. If several share it, the name needs its number: `counter#2`.
    pub fn get(self, name: &str) -> Option<Value<'a>> {
        self.iter()
            .find_map(|(of, value)| (of == name).then_some(value))
    }
}

impl Member {
    /// The members, if they count as members of the outer type.
    pub(super) fn inner(&self) -> Option<&[Self]> {
        match &self.ty.shape {
            Shape::Struct { members } | Shape::Union { members } if self.name.is_empty() => {
                Some(members)
            }
            _ => None,
        }
    }

    /// The bytes of the member.
    fn bytes<'a>(&self, outer: &'a [u8]) -> &'a [u8] {
        &outer[self.bit_offset / 8..][..self.ty.size]
    }

    fn value<'a>(&'a self, outer: &'a [u8]) -> Value<'a> {
        match self.bits {
            Some(bits) => value(&self.ty, outer, Some((self.bit_offset, bits as usize))),
            None => value(&self.ty, self.bytes(outer), None),
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(number) => write!(f, "{number}"),
            Self::Signed(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Bool(is) => write!(f, "{is}"),
            Self::Address(address) => write!(f, "{address:#x}"),
            Self::Name { name, .. } => f.write_str(name),
            Self::Text(text) => quoted(f, text),
            Self::List(list) => {
                f.write_char('[')?;
                for (i, element) in list.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}{element}")?;
                }
                f.write_char(']')
            }
            Self::Struct(fields) => {
                f.write_char('{')?;
                for (i, (name, value)) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}{name}: {value}")?;
                }
                f.write_char('}')
            }
            Self::Bytes(bytes) => {
                f.write_str("hex:")?;
                // Several times faster than formatting each byte.
                let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
                bytes.iter().try_for_each(|byte| {
                    f.write_char(' ')?;
                    f.write_char(digit(byte >> 4))?;
                    f.write_char(digit(byte & 0xf))
                })
            }
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &[u8]) -> fmt::Result {
    f.write_char('"')?;
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' => f.write_char(c)?,
                _ => write!(f, "{}", c.escape_debug())?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    f.write_char('"')
}
