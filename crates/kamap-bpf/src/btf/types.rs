//! What BTF can say of a type.

use std::collections::HashMap;

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
    pub(crate) fn u32() -> Self {
        Self {
            name: "unsigned int".to_owned(),
            size: 4,
            shape: Shape::Integer { signed: false },
        }
    }

    /// Gives each member a name of its own: where several have one name, each gets its
    /// number, such as `counter#1` and `counter#2`. The kernel allows no `#` in a name.
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

/// Calls `each` with all members that are shown as the struct's: in place of one without a
/// name, its own members.
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
    /// Its name; empty for a struct or union whose members count as the outer one's. Where
    /// several members of a struct have one name, each has a number: `counter#1`,
    /// `counter#2`.
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
