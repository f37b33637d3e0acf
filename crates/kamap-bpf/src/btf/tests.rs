use crate::MapType;
use crate::raw::Info;
use std::ffi::CString;
use std::ptr::NonNull;

use super::*;

/// BTF that is built without the kernel. Each method returns the ID of the new type.
pub(crate) struct Built(pub(crate) Btf);

/// A member: name, type, bit offset and, for a bitfield, width.
pub(crate) type Part<'a> = (&'a str, u32, u32, u32);

impl Built {
    pub(crate) fn new() -> Self {
        // SAFETY: returns null, or a pointer that we free.
        let btf = NonNull::new(unsafe { libbpf_sys::btf__new_empty() });
        Self(Btf(btf.expect("there is memory")))
    }

    /// `add` gets the BTF and `name`.
    #[track_caller]
    fn add(
        &mut self,
        name: &str,
        add: impl FnOnce(*mut libbpf_sys::btf, *const libc::c_char) -> i32,
    ) -> u32 {
        let name = CString::new(name).expect("it has no zero");
        u32::try_from(add(self.0.0.as_ptr(), name.as_ptr())).expect("it is valid")
    }

    pub(crate) fn int(&mut self, name: &str, size: u64, encoding: u32) -> u32 {
        // SAFETY: here and below, the pointers are valid BTF and a C string.
        self.add(name, |btf, name| unsafe {
            libbpf_sys::btf__add_int(btf, name, size, encoding as i32)
        })
    }

    pub(crate) fn float(&mut self, name: &str, size: u64) -> u32 {
        // SAFETY: see `int`.
        self.add(name, |btf, name| unsafe {
            libbpf_sys::btf__add_float(btf, name, size)
        })
    }

    pub(crate) fn typedef(&mut self, name: &str, of: u32) -> u32 {
        // SAFETY: see `int`.
        self.add(name, |btf, name| unsafe {
            libbpf_sys::btf__add_typedef(btf, name, of as i32)
        })
    }

    pub(crate) fn constant(&mut self, of: u32) -> u32 {
        // SAFETY: see `int`.
        self.add("", |btf, _| unsafe {
            libbpf_sys::btf__add_const(btf, of as i32)
        })
    }

    pub(crate) fn pointer(&mut self, to: u32) -> u32 {
        // SAFETY: see `int`.
        self.add("", |btf, _| unsafe {
            libbpf_sys::btf__add_ptr(btf, to as i32)
        })
    }

    fn function(&mut self) -> u32 {
        // SAFETY: see `int`.
        self.add("", |btf, _| unsafe {
            libbpf_sys::btf__add_func_proto(btf, 0)
        })
    }

    pub(crate) fn array(&mut self, of: u32, len: u32) -> u32 {
        // SAFETY: see `int`.
        self.add("", |btf, _| unsafe {
            libbpf_sys::btf__add_array(btf, of as i32, of as i32, len)
        })
    }

    fn parts(&mut self, parts: &[Part<'_>]) {
        for (name, ty, offset, bits) in parts {
            // SAFETY: see `int`.
            self.add(name, |btf, name| unsafe {
                libbpf_sys::btf__add_field(btf, name, *ty as i32, *offset, *bits)
            });
        }
    }

    pub(crate) fn structure(&mut self, name: &str, size: u32, parts: &[Part<'_>]) -> u32 {
        // SAFETY: see `int`.
        let id = self.add(name, |btf, name| unsafe {
            libbpf_sys::btf__add_struct(btf, name, size)
        });
        self.parts(parts);
        id
    }

    pub(crate) fn union(&mut self, name: &str, size: u32, parts: &[Part<'_>]) -> u32 {
        // SAFETY: see `int`.
        let id = self.add(name, |btf, name| unsafe {
            libbpf_sys::btf__add_union(btf, name, size)
        });
        self.parts(parts);
        id
    }

    pub(crate) fn enumeration(&mut self, size: u32, names: &[(&str, i64)]) -> u32 {
        // SAFETY: see `int`.
        let id = self.add("state", |btf, name| unsafe {
            libbpf_sys::btf__add_enum(btf, name, size)
        });
        for (name, value) in names {
            // SAFETY: see `int`.
            self.add(name, |btf, name| unsafe {
                libbpf_sys::btf__add_enum_value(btf, name, *value)
            });
        }
        id
    }

    pub(crate) fn enumeration_64(&mut self, signed: bool, names: &[(&str, u64)]) -> u32 {
        // SAFETY: see `int`.
        let id = self.add("wide", |btf, name| unsafe {
            libbpf_sys::btf__add_enum64(btf, name, 8, signed)
        });
        for (name, value) in names {
            // SAFETY: see `int`.
            self.add(name, |btf, name| unsafe {
                libbpf_sys::btf__add_enum64_value(btf, name, *value)
            });
        }
        id
    }

    fn variables(&mut self, name: &str, size: u32, variables: &[(&str, u32, u32, u32)]) -> u32 {
        let ids: Vec<_> = variables
            .iter()
            .map(|(name, ty, ..)| {
                // SAFETY: see `int`.
                self.add(name, |btf, name| unsafe {
                    libbpf_sys::btf__add_var(btf, name, 1, *ty as i32)
                })
            })
            .collect();
        // SAFETY: see `int`.
        let id = self.add(name, |btf, name| unsafe {
            libbpf_sys::btf__add_datasec(btf, name, size)
        });
        for (id, (.., offset, size)) in ids.into_iter().zip(variables) {
            // SAFETY: see `int`.
            self.add("", |btf, _| unsafe {
                libbpf_sys::btf__add_datasec_var_info(btf, id as i32, *offset, *size)
            });
        }
        id
    }

    #[track_caller]
    pub(crate) fn get(&self, id: u32) -> Type {
        self.0.find(id).expect("it is a type")
    }
}

fn u32_type(name: &str) -> Type {
    Type {
        name: name.to_owned(),
        size: 4,
        shape: Shape::Integer { signed: false },
    }
}

#[test]
#[cfg_attr(miri, ignore = "calls libbpf")]
fn typedefs_and_qualifiers_are_looked_through() {
    let mut btf = Built::new();
    let int = btf.int("unsigned int", 4, 0);
    let typedef = btf.typedef("__u32", int);
    let constant = btf.constant(typedef);
    let named = btf.typedef("count_t", constant);
    assert_eq!(btf.get(named), u32_type("unsigned int"));
    let array = btf.array(named, 3);
    let array = btf.get(array);
    assert_eq!((array.size, array.name.as_str()), (12, ""));
    let element = Box::new(u32_type("unsigned int"));
    assert_eq!(array.shape, Shape::Array { element, len: 3 });
}

#[test]
#[cfg_attr(miri, ignore = "calls libbpf")]
fn scalars_are_told_apart() {
    let mut btf = Built::new();
    let mut shape = |name: &str, size, encoding| {
        let id = btf.int(name, size, encoding);
        btf.get(id).shape
    };
    assert_eq!(shape("int", 4, 1), Shape::Integer { signed: true });
    assert_eq!(shape("__int128", 16, 1), Shape::Integer { signed: true });
    assert_eq!(shape("char", 1, 1), Shape::Char { signed: true });
    assert_eq!(shape("u8", 1, 2), Shape::Char { signed: false });
    assert_eq!(
        shape("unsigned char", 1, 0),
        Shape::Integer { signed: false }
    );
    assert_eq!(shape("_Bool", 1, 4), Shape::Bool);
    let float = btf.float("double", 8);
    assert_eq!(btf.get(float).shape, Shape::Float);
    // The target of a pointer is not resolved, so it can be anything.
    let pointer = btf.pointer(0);
    let pointer = btf.get(pointer);
    assert_eq!((pointer.size, pointer.shape), (8, Shape::Pointer));
}

#[test]
#[cfg_attr(miri, ignore = "calls libbpf")]
fn members_have_their_names_and_places() {
    let mut btf = Built::new();
    let int = btf.int("unsigned int", 4, 0);
    let inner = btf.union("", 4, &[("a", int, 0, 0), ("b", int, 0, 0)]);
    let outer = btf.structure(
        "outer",
        16,
        &[
            ("first", int, 32, 0),
            ("", inner, 64, 0),
            ("flags", int, 96, 3),
            ("rest", int, 99, 29),
        ],
    );
    let outer = btf.get(outer);
    assert_eq!((outer.name.as_str(), outer.size), ("outer", 16));
    let Shape::Struct { members } = outer.shape else {
        panic!("it is a struct");
    };
    let places: Vec<_> = members
        .iter()
        .map(|member| (member.name.as_str(), member.bit_offset, member.bits))
        .collect();
    let expected = [
        ("first", 32, None),
        ("", 64, None),
        ("flags", 96, Some(3)),
        ("rest", 99, Some(29)),
    ];
    assert_eq!(places, expected);
    assert!(matches!(&members[1].ty.shape, Shape::Union { members } if members.len() == 2));
    assert_eq!((members[2].bit_size(), members[0].bit_size()), (3, 32));
}

#[test]
#[cfg_attr(miri, ignore = "calls libbpf")]
fn enumerators_have_the_sign_of_their_enum() {
    let mut btf = Built::new();
    let unsigned = btf.enumeration(4, &[("A", 0), ("B", 0xffff_ffff)]);
    let signed = btf.enumeration(4, &[("C", -1), ("D", 7)]);
    let wide = btf.enumeration_64(false, &[("E", u64::MAX)]);
    let negative = btf.enumeration_64(true, &[("F", u64::MAX)]);
    let values = |id| {
        let Shape::Enum { signed, names } = btf.get(id).shape else {
            panic!("it is an enum");
        };
        let values: Vec<_> = names.iter().map(|name| name.value).collect();
        (signed, values)
    };
    assert_eq!(values(unsigned), (false, vec![0, 0xffff_ffff]));
    assert_eq!(values(signed), (true, vec![-1, 7]));
    assert_eq!(values(wide), (false, vec![u64::MAX.into()]));
    assert_eq!(values(negative), (true, vec![-1]));
}

#[test]
#[cfg_attr(miri, ignore = "calls libbpf")]
fn variables_are_the_members_of_their_section() {
    let mut btf = Built::new();
    let int = btf.int("unsigned int", 4, 0);
    let constant = btf.constant(int);
    let section = btf.variables(
        ".rodata",
        12,
        &[("one", constant, 0, 4), ("two", int, 8, 4)],
    );
    let section = btf.get(section);
    assert_eq!((section.name.as_str(), section.size), (".rodata", 12));
    let Shape::Struct { members } = section.shape else {
        panic!("it is like a struct");
    };
    assert_eq!(members[1].name, "two");
    assert_eq!(members[1].bit_offset, 64);
    assert_eq!(members[0].ty, u32_type("unsigned int"));
}

#[test]
#[cfg_attr(miri, ignore = "calls libbpf")]
fn members_that_share_a_name_are_numbered() {
    let mut btf = Built::new();
    let int = btf.int("unsigned int", 4, 0);
    let inner = btf.structure("", 8, &[("x", int, 0, 0), ("y", int, 32, 0)]);
    let other = btf.structure("", 8, &[("x", int, 0, 0), ("z", int, 32, 0)]);
    let parts = [
        ("", inner, 0, 0),
        ("", other, 64, 0),
        ("own", inner, 128, 0),
    ];
    let outer = btf.structure("outer", 24, &parts);
    let outer = btf.array(outer, 1);
    let section = btf.variables(
        ".bss",
        36,
        &[
            ("counter", int, 0, 4),
            ("f.counter", int, 4, 4),
            ("counter", int, 8, 4),
            ("outer", outer, 12, 24),
        ],
    );
    let section = btf.get(section);
    assert_eq!(
        section.read(&[0; 36]).to_string(),
        "{counter#1: 0, f.counter: 0, counter#2: 0, \
         outer: [{x#1: 0, y: 0, x#2: 0, z: 0, own: {x: 0, y: 0}}]}"
    );
}

#[test]
#[cfg_attr(miri, ignore = "calls libbpf")]
fn functions_of_operations_are_programs() {
    let mut btf = Built::new();
    let function = btf.function();
    let [to_function, to_nothing] = [function, 0].map(|to| btf.pointer(to));
    let parts = [("call", to_function, 0, 0), ("data", to_nothing, 64, 0)];
    let operations = btf.structure("operations", 16, &parts);
    let value: Vec<_> = [7_u64, 8].into_iter().flat_map(u64::to_ne_bytes).collect();
    let ty = btf.0.of_operations(operations, 16).expect("it is a type");
    assert_eq!(ty.read(&value).to_string(), "{call: 7, data: 0x8}");
    let ty = btf.get(operations);
    assert_eq!(ty.read(&value).to_string(), "{call: 0x7, data: 0x8}");
}

#[test]
#[cfg_attr(miri, ignore = "calls libbpf")]
fn a_type_that_the_kernel_does_not_have_is_unknown() {
    let mut info = Info::of_nothing(MapType::STRUCT_OPS);
    info.btf_id = Some(1);
    info.types.kernel_value = u32::MAX;
    let unknown = Types::Known {
        key: None,
        value: None,
    };
    assert_eq!(Types::find(&info).expect("it is not an error"), unknown);
}

#[test]
#[cfg_attr(miri, ignore = "calls libbpf")]
fn what_makes_no_sense_is_refused() {
    let mut btf = Built::new();
    let int = btf.int("unsigned int", 4, 0);
    let beyond = btf.structure("beyond", 4, &[("a", int, 0, 0), ("b", int, 32, 0)]);
    assert_eq!(btf.0.find(beyond), Err(Bad::Beyond { id: beyond }));
    let wide = btf.structure("wide", 8, &[("a", int, 0, 33)]);
    assert_eq!(btf.0.find(wide), Err(Bad::Beyond { id: wide }));
    assert_eq!(btf.0.find(0), Err(Bad::NoValues { id: 0, kind: 0 }));
    assert_eq!(btf.0.find(99), Err(Bad::NoType { id: 99 }));
    let pages = btf.array(int, u32::MAX);
    let books = btf.array(pages, u32::MAX);
    assert_eq!(btf.0.find(books), Err(Bad::TooLarge { id: books }));
    let found = 4;
    assert_eq!(btf.0.of_size(int, 8), Err(Bad::Size { found, expected: 8 }));
}

#[test]
#[cfg_attr(miri, ignore = "calls libbpf")]
fn what_contains_itself_or_too_much_has_an_end() {
    let mut btf = Built::new();
    // Two typedefs that refer to each other.
    let this = btf.typedef("this", 2);
    btf.typedef("that", this);
    assert_eq!(btf.0.find(this), Err(Bad::TooDeep));
    let itself = btf.array(3, 1);
    assert_eq!(btf.0.find(itself), Err(Bad::TooDeep));

    let mut ty = btf.int("unsigned int", 4, 0);
    for _ in 0..20 {
        ty = btf.union("twice", 4, &[("a", ty, 0, 0), ("b", ty, 0, 0)]);
    }
    assert_eq!(btf.0.find(ty), Err(Bad::TooMany));
}
