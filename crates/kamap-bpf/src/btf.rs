//! The types of a map's keys and values, read from its BTF.
//!
//! [`Types::of`] finds them. A [`Type`] is a complete description: typedefs and qualifiers are
//! resolved, and it refers to nothing in the kernel. With it, bytes are read as a [`Value`]
//! ([`Type::read`]) that can be printed, and literals are converted to bytes ([`Type::parse`]).

mod bits;
mod handle;
#[cfg(feature = "serde")]
mod json;
mod literal;
mod make;
#[cfg(test)]
pub(crate) mod tests;
mod types;
mod value;

use std::ffi::CStr;
use std::os::fd::AsFd;

pub(crate) use handle::Btf;
pub(crate) use make::Made;
pub use types::{Enumerator, Member, Shape, Type};
pub use value::{Fields, List, Value};

use crate::raw::Info;
use crate::{Error, Result};

/// What is known about the types of a map's keys and values.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Types {
    /// The map's BTF has been read.
    Known {
        /// Type of the keys; `None` if the map was created without one, as for a program's global
        /// variables.
        key: Option<Type>,
        /// Type of the values. The values of a struct_ops map have a type of the kernel. In it, a
        /// pointer to a function is the ID of the program that is called (0: none). `None` if
        /// `/sys/kernel/btf/vmlinux` does not have the type, for example because a module defines
        /// it.
        value: Option<Type>,
    },
    /// The map has no BTF.
    None,
    /// The map has BTF, but this process may not read it: that needs `CAP_SYS_ADMIN`.
    NotPermitted,
}

impl Types {
    /// Finds the types of the map behind the file descriptor `map`.
    ///
    /// # Errors
    ///
    /// [`Error::BadBtf`] if the BTF is invalid or its sizes differ from those of the map;
    /// [`Error::NotAMap`]; [`Error::Kernel`] if the BTF could not be read.
    pub fn of(map: impl AsFd) -> Result<Self> {
        Self::find(&Info::of(map.as_fd())?)
    }

    /// Finds the types of the map that `info` describes.
    pub(crate) fn find(info: &Info) -> Result<Self> {
        let bad = |part, bad: Bad| Error::BadBtf {
            map: info.name.clone(),
            part,
            reason: bad.to_string(),
        };
        let of_kernel = info.types.kernel_value;
        if of_kernel != 0 {
            // A struct_ops map also has BTF of its own, but that describes its programs.
            let value = Btf::of_kernel()
                .filter(|btf| btf.entry(of_kernel).is_ok())
                .map(|btf| btf.of_operations(of_kernel, info.value_size as usize));
            let value = value.transpose().map_err(|err| bad("value", err))?;
            return Ok(Self::Known { key: None, value });
        }
        let Some(id) = info.btf_id else {
            return Ok(Self::None);
        };
        let btf = match Btf::from_kernel(id) {
            Ok(btf) => btf,
            Err(err) if err.raw_os_error() == Some(libc::EPERM) => return Ok(Self::NotPermitted),
            Err(source) => {
                return Err(Error::Kernel {
                    map: info.name.clone(),
                    operation: "read the BTF",
                    source,
                });
            }
        };
        let find = |part, id, size| match id {
            0 => Ok(None),
            _ => btf
                .of_size(id, size as usize)
                .map(Some)
                .map_err(|err| bad(part, err)),
        };
        Ok(Self::Known {
            key: find("key", info.types.key, info.key_size)?,
            value: find("value", info.types.value, info.value_size)?,
        })
    }
}

impl Type {
    fn check_size(self, expected: usize) -> Result<Self, Bad> {
        match self.size {
            found if found == expected => Ok(self),
            found => Err(Bad::Size { found, expected }),
        }
    }
}

/// How deeply types may be nested; the kernel has the same limit.
const MAX_DEPTH: u32 = 32;

/// How many members and names a type may have in total. A small type can have very many, if it
/// consists of nested unions.
const MAX_PARTS: usize = 100_000;

impl Btf {
    /// The type with this ID. An error if it does not have `expected` bytes.
    fn of_size(&self, id: u32, expected: usize) -> Result<Type, Bad> {
        self.find(id)?.check_size(expected)
    }

    /// The type of a struct_ops map's values. An error if it does not have `expected` bytes.
    fn of_operations(&self, id: u32, expected: usize) -> Result<Type, Bad> {
        let mut walk = Walk::new(self);
        walk.functions_are_programs = true;
        walk.whole(id)?.check_size(expected)
    }

    /// The type with this ID.
    pub(crate) fn find(&self, id: u32) -> Result<Type, Bad> {
        Walk::new(self).whole(id)
    }

    /// The entry with this ID.
    fn entry(&self, id: u32) -> Result<Entry<'_>, Bad> {
        // SAFETY: `self` is valid. The result is null or points into the BTF, which lives as long
        // and is never changed.
        let entry = unsafe { libbpf_sys::btf__type_by_id(self.0.as_ptr(), id).as_ref() };
        entry.map(|raw| Entry { raw }).ok_or(Bad::NoType { id })
    }

    fn name(&self, offset: u32) -> String {
        // SAFETY: as above; the result is null if there is no such name.
        let name = unsafe { libbpf_sys::btf__name_by_offset(self.0.as_ptr(), offset) };
        if name.is_null() {
            return String::new();
        }
        // SAFETY: libbpf has checked that the string table is terminated.
        let name = unsafe { CStr::from_ptr(name) };
        name.to_string_lossy().into_owned()
    }
}

/// IDs and names of the helper functions that the running kernel has for programs; empty without
/// BTF.
pub(crate) fn kernel_helpers() -> Vec<(u32, String)> {
    const PREFIX: &str = "BPF_FUNC_";
    let helpers = || {
        let btf = Btf::of_kernel()?;
        // SAFETY: `btf` is valid, and the name is a C string.
        let id = unsafe {
            libbpf_sys::btf__find_by_name_kind(
                btf.0.as_ptr(),
                c"bpf_func_id".as_ptr(),
                libbpf_sys::BTF_KIND_ENUM,
            )
        };
        match btf.find(u32::try_from(id).ok()?).ok()?.shape {
            Shape::Enum { names, .. } => Some(names),
            _ => None,
        }
    };
    let helpers = helpers().unwrap_or_default().into_iter();
    // ID 0 means no helper, and the end marker has another prefix.
    let helper = |helper: Enumerator| {
        let name = helper.name.strip_prefix(PREFIX)?.to_owned();
        let id = u32::try_from(helper.value).ok()?;
        (id != 0).then_some((id, name))
    };
    helpers.filter_map(helper).collect()
}

/// Why a type cannot be described.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Bad {
    #[error("it has {found} bytes according to the BTF, {expected} according to the map")]
    Size { found: usize, expected: usize },
    #[error("it refers to type {id}, which does not exist")]
    NoType { id: u32 },
    #[error("type {id} is of kind {kind}, which has no values")]
    NoValues { id: u32, kind: u32 },
    #[error("type {id} is larger than memory")]
    TooLarge { id: u32 },
    #[error("a member of type {id} exceeds its size")]
    Beyond { id: u32 },
    #[error("its types are nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    #[error("it has more than {MAX_PARTS} members")]
    TooMany,
}

/// A type as stored in BTF.
#[derive(Clone, Copy)]
struct Entry<'btf> {
    raw: &'btf libbpf_sys::btf_type,
}

impl<'btf> Entry<'btf> {
    fn kind(self) -> u32 {
        self.raw.info >> 24 & 0x1f
    }

    /// The kind flag: an enum is signed, a struct has bitfields.
    fn flag(self) -> bool {
        self.raw.info >> 31 != 0
    }

    /// How many members, enumerators or variables follow the entry.
    fn parts(self) -> usize {
        (self.raw.info & 0xffff) as usize
    }

    fn size(self) -> usize {
        self.size_or_type() as usize
    }

    fn size_or_type(self) -> u32 {
        // SAFETY: both fields of the union are the same `u32`.
        unsafe { self.raw.__bindgen_anon_1.type_ }
    }

    /// The data that follows the entry.
    ///
    /// # Safety
    ///
    /// For an entry of this kind, `count` values of `T` must follow.
    unsafe fn following<T>(self, count: usize) -> &'btf [T] {
        // SAFETY: the caller guarantees that they follow, and libbpf has checked that no type
        // exceeds the BTF. BTF is aligned to four bytes, and every `T` consists of `u32`s.
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(self.raw).add(1).cast(), count) }
    }
}

/// Resolves a type of BTF, which refers to other types, into a self-contained [`Type`].
struct Walk<'btf> {
    btf: &'btf Btf,
    /// How many parts have been resolved so far.
    parts: usize,
    /// Whether a pointer to a function stands for the ID of a program.
    functions_are_programs: bool,
}

impl<'btf> Walk<'btf> {
    fn new(btf: &'btf Btf) -> Self {
        Self {
            btf,
            parts: 0,
            functions_are_programs: false,
        }
    }

    /// The type with this ID. Each of its members gets a unique name.
    fn whole(mut self, id: u32) -> Result<Type, Bad> {
        let mut ty = self.resolve(id, 0)?;
        ty.number_members();
        Ok(ty)
    }

    fn resolve(&mut self, id: u32, depth: u32) -> Result<Type, Bad> {
        let (id, entry) = self.skip(id)?;
        if depth > MAX_DEPTH {
            return Err(Bad::TooDeep);
        }
        self.parts += 1 + entry.parts();
        if self.parts > MAX_PARTS {
            return Err(Bad::TooMany);
        }
        let mut size = entry.size();
        let name = self.btf.name(entry.raw.name_off);
        let shape = match entry.kind() {
            libbpf_sys::BTF_KIND_INT => {
                // SAFETY: an integer is followed by a `u32`.
                let encoding = unsafe { entry.following::<u32>(1)[0] };
                // Compilers before 2019 described a bitfield like this.
                if (encoding & 0x00ff_ffff) as usize != 8 * size {
                    return Err(Bad::NoValues {
                        id,
                        kind: entry.kind(),
                    });
                }
                integer(&name, size, encoding >> 24)
            }
            libbpf_sys::BTF_KIND_PTR => {
                size = POINTER;
                if self.functions_are_programs && self.is_function(entry.size_or_type())? {
                    Shape::Integer { signed: false }
                } else {
                    Shape::Pointer
                }
            }
            libbpf_sys::BTF_KIND_ARRAY => {
                // SAFETY: an array is followed by a `btf_array`.
                let array = unsafe { &entry.following::<libbpf_sys::btf_array>(1)[0] };
                let element = self.resolve(array.type_, depth + 1)?;
                let len = array.nelems as usize;
                size = element.size.checked_mul(len).ok_or(Bad::TooLarge { id })?;
                Shape::Array {
                    element: Box::new(element),
                    len,
                }
            }
            libbpf_sys::BTF_KIND_STRUCT => Shape::Struct {
                members: self.members(id, entry, depth)?,
            },
            libbpf_sys::BTF_KIND_UNION => Shape::Union {
                members: self.members(id, entry, depth)?,
            },
            libbpf_sys::BTF_KIND_DATASEC => Shape::Struct {
                members: self.variables(id, entry, depth)?,
            },
            libbpf_sys::BTF_KIND_ENUM | libbpf_sys::BTF_KIND_ENUM64 => Shape::Enum {
                signed: entry.flag(),
                names: self.enumerators(entry),
            },
            libbpf_sys::BTF_KIND_FLOAT => Shape::Float,
            kind => return Err(Bad::NoValues { id, kind }),
        };
        Ok(Type { name, size, shape })
    }

    fn is_function(&self, id: u32) -> Result<bool, Bad> {
        Ok(self.skip(id)?.1.kind() == libbpf_sys::BTF_KIND_FUNC_PROTO)
    }

    /// Follows typedefs and qualifiers; returns the type behind them and its ID.
    fn skip(&self, mut id: u32) -> Result<(u32, Entry<'btf>), Bad> {
        for _ in 0..=MAX_DEPTH {
            let entry = self.btf.entry(id)?;
            match entry.kind() {
                libbpf_sys::BTF_KIND_TYPEDEF
                | libbpf_sys::BTF_KIND_VOLATILE
                | libbpf_sys::BTF_KIND_CONST
                | libbpf_sys::BTF_KIND_RESTRICT
                | libbpf_sys::BTF_KIND_TYPE_TAG
                | libbpf_sys::BTF_KIND_VAR => id = entry.size_or_type(),
                _ => return Ok((id, entry)),
            }
        }
        Err(Bad::TooDeep)
    }

    /// The members of a struct or union.
    fn members(&mut self, id: u32, entry: Entry<'_>, depth: u32) -> Result<Vec<Member>, Bad> {
        // SAFETY: a struct or union is followed by its members.
        let members = unsafe { entry.following::<libbpf_sys::btf_member>(entry.parts()) };
        let mut found = Vec::with_capacity(members.len());
        for member in members {
            let (bit_offset, bits) = if entry.flag() {
                (member.offset & 0x00ff_ffff, member.offset >> 24)
            } else {
                (member.offset, 0)
            };
            let member = Member {
                name: self.btf.name(member.name_off),
                bit_offset: bit_offset as usize,
                bits: (bits != 0).then_some(bits),
                ty: self.resolve(member.type_, depth + 1)?,
            };
            let is_number = matches!(
                member.ty.shape,
                Shape::Integer { .. } | Shape::Char { .. } | Shape::Bool | Shape::Enum { .. }
            );
            let amid_a_byte = !member.bit_offset.is_multiple_of(8);
            if (member.bits.is_none() && amid_a_byte)
                || (member.bits.is_some() && !is_number)
                || member.bit_size() > 8 * member.ty.size
                || member.bit_offset + member.bit_size() > 8 * entry.size()
            {
                return Err(Bad::Beyond { id });
            }
            found.push(member);
        }
        Ok(found)
    }

    /// The variables of a section, as members of a struct.
    fn variables(&mut self, id: u32, entry: Entry<'_>, depth: u32) -> Result<Vec<Member>, Bad> {
        // SAFETY: a section is followed by its variables.
        let variables = unsafe { entry.following::<libbpf_sys::btf_var_secinfo>(entry.parts()) };
        let mut found = Vec::with_capacity(variables.len());
        for variable in variables {
            let name = self.btf.entry(variable.type_)?.raw.name_off;
            let member = Member {
                name: self.btf.name(name),
                bit_offset: 8 * variable.offset as usize,
                bits: None,
                ty: self.resolve(variable.type_, depth + 1)?,
            };
            if member.bit_offset + member.bit_size() > 8 * entry.size() {
                return Err(Bad::Beyond { id });
            }
            found.push(member);
        }
        Ok(found)
    }

    fn enumerators(&self, entry: Entry<'_>) -> Vec<Enumerator> {
        let enumerator = |name, value| Enumerator {
            name: self.btf.name(name),
            value,
        };
        let count = entry.parts();
        if entry.kind() == libbpf_sys::BTF_KIND_ENUM {
            // SAFETY: an enum is followed by its enumerators.
            let names = unsafe { entry.following::<libbpf_sys::btf_enum>(count) };
            let value = |value: i32| match entry.flag() {
                true => i128::from(value),
                false => i128::from(value.cast_unsigned()),
            };
            let names = names.iter();
            names
                .map(|name| enumerator(name.name_off, value(name.val)))
                .collect()
        } else {
            // SAFETY: an enum of 64 bits is followed by its enumerators.
            let names = unsafe { entry.following::<libbpf_sys::btf_enum64>(count) };
            let value = |low: u32, high: u32| {
                let value = u64::from(high) << 32 | u64::from(low);
                match entry.flag() {
                    true => i128::from(value.cast_signed()),
                    false => i128::from(value),
                }
            };
            let names = names.iter();
            names
                .map(|name| enumerator(name.name_off, value(name.val_lo32, name.val_hi32)))
                .collect()
        }
    }
}

/// Size of a pointer in BPF memory, on every machine.
const POINTER: usize = 8;

fn integer(name: &str, size: usize, encoding: u32) -> Shape {
    let is = |flag| encoding & flag != 0;
    let signed = is(libbpf_sys::BTF_INT_SIGNED);
    if is(libbpf_sys::BTF_INT_BOOL) {
        Shape::Bool
    } else if size == 1 && (name == "char" || is(libbpf_sys::BTF_INT_CHAR)) {
        // In BTF from compilers, only the name distinguishes characters from small integers.
        Shape::Char { signed }
    } else {
        Shape::Integer { signed }
    }
}
