//! The layout of a type in memory, as known at compile time.

use std::fmt;

/// The layout of a type in memory: which of its parts are compared with a map's BTF, and
/// which of its bytes are padding. See [`MapData::LAYOUT`](crate::MapData::LAYOUT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Name of the type.
    pub name: &'static str,
    /// Its size in bytes.
    pub size: usize,
    /// What it consists of.
    pub shape: Shape,
}

/// What a type consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// An integer.
    Integer {
        /// Whether it can be negative.
        signed: bool,
    },
    /// A floating-point number.
    Float,
    /// Values of one type without space between them.
    Array {
        /// Their type.
        element: &'static Layout,
        /// How many there are.
        len: usize,
    },
    /// Named fields. The bytes between and after them are padding.
    Struct {
        /// All of them.
        fields: &'static [Field],
    },
}

/// A field of a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Bytes before it in the struct.
    pub offset: usize,
    /// Its type.
    pub layout: &'static Layout,
}

impl Field {
    /// Whether the field is padding: its name begins with `__pad_`, as libbpf-cargo names the
    /// padding of the types that it generates.
    pub const fn is_padding(&self) -> bool {
        is_padding(self.name)
    }
}

/// Whether a field or member with this name is padding.
pub(crate) const fn is_padding(name: &str) -> bool {
    let (name, prefix) = (name.as_bytes(), b"__pad_");
    if name.len() < prefix.len() {
        return false;
    }
    let mut i = 0;
    while i < prefix.len() {
        if name[i] != prefix[i] {
            return false;
        }
        i += 1;
    }
    true
}

impl Layout {
    /// Whether each byte has a meaning: there is no padding anywhere.
    pub const fn is_dense(&self) -> bool {
        match self.shape {
            Shape::Integer { .. } | Shape::Float => true,
            Shape::Array { element, len } => len == 0 || element.is_dense(),
            Shape::Struct { fields } => {
                let mut meaning = 0;
                let mut i = 0;
                while i < fields.len() {
                    if fields[i].is_padding() || !fields[i].layout.is_dense() {
                        return false;
                    }
                    meaning += fields[i].layout.size;
                    i += 1;
                }
                meaning == self.size
            }
        }
    }

    /// How many bytes there are up to the end of the last one that is not padding.
    pub(crate) fn meaningful_len(&self) -> usize {
        match self.shape {
            _ if self.is_dense() => self.size,
            Shape::Array { element, len } if len > 0 => {
                (len - 1) * element.size + element.meaningful_len()
            }
            Shape::Struct { fields } => {
                let fields = fields.iter().filter(|field| !field.is_padding());
                let ends = fields.map(|field| field.offset + field.layout.meaningful_len());
                ends.max().unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// Whether so many bytes are all but padding at the end.
    pub(crate) fn fits_without_end(&self, bytes: u32) -> bool {
        (self.meaningful_len()..self.size).contains(&(bytes as usize))
    }

    /// For [`map_data!`](crate::map_data): the name of the type or field that a
    /// path such as `types::r#type` means.
    #[doc(hidden)]
    pub const fn name_of(path: &'static str) -> &'static str {
        let bytes = path.as_bytes();
        let mut start = bytes.len();
        while start > 0 && (bytes[start - 1].is_ascii_alphanumeric() || bytes[start - 1] == b'_') {
            start -= 1;
        }
        path.split_at(start).1
    }
}

/// The type as Rust writes it.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape {
            Shape::Array { element, len } => write!(f, "[{element}; {len}]"),
            Shape::Integer { .. } | Shape::Float | Shape::Struct { .. } => f.write_str(self.name),
        }
    }
}
