//! What BTF can say of a type.

/// A type of C, without the typedefs and qualifiers by which it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Type {
    /// Its name, such as `unsigned int` or `flow`; empty where it has none.
    pub name: String,
    /// Its size in bytes.
    pub size: usize,
    /// What it consists of.
    pub shape: Shape,
}

impl Type {
    /// A type of which nothing is known but its size.
    pub fn unknown(size: usize) -> Self {
        Self {
            name: String::new(),
            size,
            shape: Shape::Unknown,
        }
    }

    /// An unsigned integer of 4 bytes, which is what indices and IDs are.
    pub(in crate::maps) fn u32() -> Self {
        Self {
            name: "unsigned int".to_owned(),
            size: 4,
            shape: Shape::Integer { signed: false },
        }
    }
}

/// What a type consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// An integer.
    Integer {
        /// Whether it can be negative.
        signed: bool,
    },
    /// One byte of text.
    Char {
        /// Whether it can be negative.
        signed: bool,
    },
    /// True or false.
    Bool,
    /// A number of IEEE 754.
    Float,
    /// An address.
    Pointer,
    /// One of several names for numbers.
    Enum {
        /// Whether the numbers can be negative.
        signed: bool,
        /// The names. A number can have several, or none.
        names: Vec<Enumerator>,
    },
    /// Values of one type without space between them.
    Array {
        /// Their type.
        element: Box<Type>,
        /// How many there are.
        len: usize,
    },
    /// Members one after the other. The variables of a program, which are in a map as
    /// well, are such.
    Struct {
        /// The members.
        members: Vec<Member>,
    },
    /// Nothing is known of it but its size.
    Unknown,
    /// Members in one place.
    Union {
        /// The members.
        members: Vec<Member>,
    },
}

/// A member of a struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Its name; empty for a struct or union whose members count as the outer one's.
    pub name: String,
    /// Bits before it. A multiple of 8, unless it is a bitfield.
    pub bit_offset: usize,
    /// Of a bitfield, how many bits it has.
    pub bits: Option<u32>,
    /// Its type.
    pub ty: Type,
}

impl Member {
    /// How many bits it takes.
    pub fn bit_size(&self) -> usize {
        self.bits.map_or(8 * self.ty.size, |bits| bits as usize)
    }
}

/// A name for a number.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enumerator {
    /// The name.
    pub name: String,
    /// The number.
    pub value: i128,
}
