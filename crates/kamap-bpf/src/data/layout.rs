//! The layout of a type in memory, known at compile time.

use std::fmt;

/// The layout of a type in memory: which parts are compared with a map's BTF, and which bytes are
/// padding. See [`MapData::LAYOUT`](crate::MapData::LAYOUT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Name of the type.
    pub name: &'static str,
    /// Its size in bytes.
    pub size: usize,
    /// Its structure.
    pub shape: Shape,
}

/// The structure of a type.
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
    /// Elements of one type, without padding between them.
    Array {
        /// Type of the elements.
        element: &'static Layout,
        /// Number of elements.
        len: usize,
    },
    /// Named fields. The bytes between and after them are padding.
    Struct {
        /// All fields.
        fields: &'static [Field],
    },
}

/// A field of a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Offset in bytes.
    pub offset: usize,
    /// Its type.
    pub layout: &'static Layout,
}

impl Field {
    /// Whether the field is padding: libbpf-cargo generates padding with names that begin with
    /// `__pad_`.
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
    /// Whether the type has no padding anywhere.
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

    /// Number of bytes up to the last one that is not padding.
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

    /// Whether a type of this many bytes lacks only padding at the end.
    pub(crate) fn fits_without_end(&self, bytes: u32) -> bool {
        (self.meaningful_len()..self.size).contains(&(bytes as usize))
    }

    /// For [`map_data!`](crate::map_data): the last name in a path such as `types::r#type`.
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

/// The type in Rust syntax.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape {
            Shape::Array { element, len } => write!(f, "[{element}; {len}]"),
            Shape::Integer { .. } | Shape::Float | Shape::Struct { .. } => f.write_str(self.name),
        }
    }
}
