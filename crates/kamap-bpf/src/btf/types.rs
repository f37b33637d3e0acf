//! Descriptions of types.

use std::collections::HashMap;

/// A C type, with typedefs and qualifiers resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Type {
    /// Its name, such as `unsigned int` or `flow`; empty if it has none.
    pub name: String,
    /// Its size in bytes.
    pub size: usize,
    /// Its structure.
    pub shape: Shape,
}

impl Type {
    /// A type of which only the size is known.
    pub fn unknown(size: usize) -> Self {
        Self {
            name: String::new(),
            size,
            shape: Shape::Unknown,
        }
    }

    /// An unsigned integer of 4 bytes, the type of indices and IDs.
    pub(crate) fn u32() -> Self {
        Self {
            name: "unsigned int".to_owned(),
            size: 4,
            shape: Shape::Integer { signed: false },
        }
    }

    /// Gives each member a unique name: members that share one get numbers, such as `counter#1` and
    /// `counter#2`. No C name contains a `#`.
    pub(super) fn number_members(&mut self) {
        match &mut self.shape {
            Shape::Array { element, .. } => element.number_members(),
            Shape::Struct { members } | Shape::Union { members } => {
                let mut counts = HashMap::new();
                for_each_named(members, &mut |member| {
                    *counts.entry(member.name.clone()).or_insert(0) += 1;
                });
                let mut numbers = HashMap::new();
                for_each_named(members, &mut |member| {
                    if counts[&member.name] > 1 {
                        let number = numbers.entry(member.name.clone()).or_insert(0);
                        *number += 1;
                        member.name += &format!("#{number}");
                    }
                    member.ty.number_members();
                });
            }
            _ => {}
        }
    }
}

/// Calls `each` with every member that is shown as one of the struct: a member without a name is
/// replaced by its own members.
fn for_each_named(members: &mut [Member], each: &mut dyn FnMut(&mut Member)) {
    for member in members {
        match &mut member.ty.shape {
            Shape::Struct { members } | Shape::Union { members } if member.name.is_empty() => {
                for_each_named(members, each);
            }
            _ => each(member),
        }
    }
}

/// The structure of a type.
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
    /// An IEEE 754 floating-point number.
    Float,
    /// An address.
    Pointer,
    /// A number with names for some of its values.
    Enum {
        /// Whether the numbers can be negative.
        signed: bool,
        /// The names. A number can have several names, or none.
        names: Vec<Enumerator>,
    },
    /// Elements of one type, without padding between them.
    Array {
        /// Type of the elements.
        element: Box<Type>,
        /// Number of elements.
        len: usize,
    },
    /// Members at increasing offsets. The global variables of a program, which are in a map as
    /// well, are described like this.
    Struct {
        /// The members.
        members: Vec<Member>,
    },
    /// Only the size is known.
    Unknown,
    /// Members that share their memory.
    Union {
        /// The members.
        members: Vec<Member>,
    },
}

/// A member of a struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Its name. Empty for a struct or union without a name, whose members count as members of the
    /// outer type. Members of a struct that share a name have numbers: `counter#1`, `counter#2`.
    pub name: String,
    /// Offset in bits. A multiple of 8 unless it is a bitfield.
    pub bit_offset: usize,
    /// Width in bits, if it is a bitfield.
    pub bits: Option<u32>,
    /// Its type.
    pub ty: Type,
}

impl Member {
    /// Its width in bits.
    pub fn bit_size(&self) -> usize {
        self.bits.map_or(8 * self.ty.size, |bits| bits as usize)
    }
}

/// A name of a number in an enum.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enumerator {
    /// The name.
    pub name: String,
    /// The number.
    pub value: i128,
}
