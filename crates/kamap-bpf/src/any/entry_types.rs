//! The types of keys and values of any map.

use crate::btf::{Member, Shape, Type, Types};
use crate::map_type::Refers;
use crate::raw::Info;
use crate::{Result, cpus};

/// The types of a map's keys and values, from its BTF or, without BTF, as far as its map type
/// implies them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EntryTypes {
    /// Type of the keys; its size is 0 if there are none. The type of an index is known even
    /// without BTF.
    pub key: Type,
    /// Type of the values. In a per-CPU map it is a struct with a member for each CPU: `{cpu0: …,
    /// cpu1: …}`. A map or program is read as its ID.
    pub value: Type,
    /// Source of the types.
    pub source: TypeSource,
    /// In a per-CPU map, the type of the value of one CPU.
    one: Option<Type>,
}

/// The source of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TypeSource {
    /// From the map's BTF.
    Btf,
    /// The map has no BTF: keys and values are plain bytes.
    NoBtf,
    /// The map has BTF, but reading it needs `CAP_SYS_ADMIN`.
    NotPermitted,
    /// From the kernel's BTF, for a struct_ops map. A function in its value is the ID of the
    /// program that is called, 0 if there is none.
    KernelBtf,
    /// It is a struct_ops map whose type is not in `/sys/kernel/btf/vmlinux`, for example because a
    /// kernel module defines it. Its values are plain bytes.
    NoKernelBtf,
}

impl EntryTypes {
    pub(super) fn of(info: &Info) -> Result<Self> {
        match Types::find(info)? {
            Types::Known { key, value } => {
                let source = match &value {
                    _ if !info.kind.is_struct_ops() => TypeSource::Btf,
                    Some(_) => TypeSource::KernelBtf,
                    None => TypeSource::NoKernelBtf,
                };
                Self::new(info, key, value, source)
            }
            Types::None => Self::without_btf(info),
            Types::NotPermitted => Self::new(info, None, None, TypeSource::NotPermitted),
        }
    }

    pub(super) fn without_btf(info: &Info) -> Result<Self> {
        Self::new(info, None, None, TypeSource::NoBtf)
    }

    fn new(
        info: &Info,
        key: Option<Type>,
        value: Option<Type>,
        source: TypeSource,
    ) -> Result<Self> {
        let key = match key {
            Some(key) => key,
            None if info.kind.is_array() => Type::u32(),
            None => Type::unknown(info.key_size as usize),
        };
        let one = match (value, info.kind.refers()) {
            (_, Some(Refers::Maps | Refers::Programs)) => Type::u32(),
            (Some(value), _) => value,
            (None, _) => Type::unknown(info.value_size as usize),
        };
        let (value, one) = if info.kind.is_per_cpu() {
            (of_cpus(&one, cpus::possible()?), Some(one))
        } else {
            (one, None)
        };
        Ok(Self {
            key,
            value,
            source,
            one,
        })
    }

    /// Parses a literal as a key: see [`Type::parse`].
    ///
    /// # Errors
    ///
    /// [`Error::BadLiteral`](crate::Error::BadLiteral).
    pub fn parse_key(&self, literal: &str) -> Result<Vec<u8>> {
        self.key.parse("key", literal)
    }

    /// Parses a literal as a value. For a per-CPU map it is either one value for all CPUs, or
    /// `{cpu0: …, cpu1: …}`, which may end with `..`.
    ///
    /// # Errors
    ///
    /// [`Error::BadLiteral`](crate::Error::BadLiteral).
    pub fn parse_value(&self, literal: &str) -> Result<Vec<u8>> {
        let Some(one) = self.one.as_ref().filter(|_| !names_cpus(literal)) else {
            return self.value.parse("value", literal);
        };
        let mut bytes = one.parse("value", literal)?;
        bytes.resize(cpus::stride(one.size), 0);
        Ok(bytes.repeat(self.value.size / cpus::stride(one.size)))
    }

    /// Changes part of a value, such as `ports[1]=443`: see [`Type::assign`]. In a per-CPU map it
    /// changes the part for each CPU, or for one: `cpu0.ports[1]=443`.
    ///
    /// # Errors
    ///
    /// [`Error::BadLiteral`](crate::Error::BadLiteral); the value is unchanged then.
    ///
    /// # Panics
    ///
    /// If `value` does not have as many bytes as a value of the map.
    pub fn assign(&self, value: &mut [u8], assignment: &str) -> Result<()> {
        let Some(one) = self.one.as_ref().filter(|_| !begins_with_cpu(assignment)) else {
            return self.value.assign("value", value, assignment);
        };
        assert_eq!(value.len(), self.value.size, "bytes of a value");
        for value in value.chunks_exact_mut(cpus::stride(one.size)) {
            one.assign("value", &mut value[..one.size], assignment)?;
        }
        Ok(())
    }
}

/// Whether a literal has a member for each CPU.
fn names_cpus(literal: &str) -> bool {
    let members = literal.trim_start().strip_prefix('{');
    members.is_some_and(begins_with_cpu)
}

/// Whether the first word is the name of a CPU, such as `cpu0`, with or without quotes.
fn begins_with_cpu(text: &str) -> bool {
    let text = text.trim_start();
    let Some(number) = text.strip_prefix('"').unwrap_or(text).strip_prefix("cpu") else {
        return false;
    };
    let after = number.trim_start_matches(|c: char| c.is_ascii_digit());
    after.len() < number.len() && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn of_cpus(one: &Type, cpus: &[u32]) -> Type {
    let stride = cpus::stride(one.size);
    let members = cpus.iter().enumerate().map(|(i, cpu)| Member {
        name: format!("cpu{cpu}"),
        bit_offset: 8 * stride * i,
        bits: None,
        ty: one.clone(),
    });
    let members = members.collect();
    Type {
        name: String::new(),
        size: stride * cpus.len(),
        shape: Shape::Struct { members },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_named_by_their_number() {
        for literal in ["{cpu0: 1}", " { \"cpu12\" : {}}", "{cpu0"] {
            assert!(names_cpus(literal), "{literal}");
        }
        assert!(begins_with_cpu("cpu0.x=1") && begins_with_cpu("\"cpu1\"=1"));
        for literal in ["{cpu: 1}", "{cpu0_hits: 1}", "{hits: 1}", "cpu0", "7", ""] {
            assert!(!names_cpus(literal), "{literal}");
        }
    }
}
