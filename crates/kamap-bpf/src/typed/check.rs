//! Comparison of a map's layout with the Rust types.

use super::kinds::Kind;
use crate::btf::{self, Member, Type, Types};
use crate::data::{Field, Layout, MapData, Shape, is_padding};
use crate::error::Difference;
use crate::raw::Info;
use crate::{Error, Result};

/// How an existing map is checked before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Check {
    /// Its kind, sizes and, from its BTF, the layout of its keys and values: name, offset and type
    /// of each field.
    ///
    /// Names of types are not compared. An integer also matches an enum, a pointer or a character,
    /// and an array of `u8` matches anything of its size. If a union has no name, members that
    /// cover all its bytes are enough.
    Layout,
    /// Like `Layout` if the map has BTF that may be read (which needs `CAP_SYS_ADMIN`), otherwise
    /// like `Sizes`. [`Map::checked`] returns which.
    ///
    /// [`Map::checked`]: crate::Map::checked
    LayoutOrSizes,
    /// Only its kind and sizes.
    Sizes,
}

/// How the layout of a map's keys and values was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Checked {
    /// It matches the Rust types.
    Layout,
    /// Only the sizes match: the map has no BTF.
    NoBtf,
    /// Only the sizes match: its BTF may not be read.
    NotPermitted,
    /// Only the sizes match: the check was for sizes.
    Sizes,
}

/// Checks a map of kind `T` whose sizes match.
pub(super) fn check<T: Kind>(info: &Info, check: Check) -> Result<Checked> {
    let allowed = check == Check::LayoutOrSizes;
    if check == Check::Sizes {
        return Ok(Checked::Sizes);
    }
    let map = || info.name.clone();
    match Types::find(info)? {
        Types::Known { key, value } => {
            let mut differences = Vec::new();
            // The kernel creates arrays only with indices of 32 bits, and treats them as unsigned,
            // even if BTF has no type or a signed one.
            let key = key.filter(|_| !T::TYPE.is_array());
            let parts = [("key", T::KEY, key), ("value", Some(T::VALUE), value)];
            for (part, rust, btf) in parts {
                match (rust, btf) {
                    // A section of variables ends with the last variable.
                    (Some(rust), Some(btf)) if rust.fits_without_end(btf.size as u32) => {
                        compare_shapes(part, rust, &btf, &mut differences);
                    }
                    (Some(rust), Some(btf)) => compare(part, rust, &btf, &mut differences),
                    _ => {}
                }
            }
            if differences.is_empty() {
                Ok(Checked::Layout)
            } else {
                Err(Error::LayoutDiffers {
                    map: map(),
                    differences,
                })
            }
        }
        Types::None if allowed => Ok(Checked::NoBtf),
        Types::None => Err(Error::NoBtf { map: map() }),
        Types::NotPermitted if allowed => Ok(Checked::NotPermitted),
        Types::NotPermitted => Err(Error::BtfNotPermitted { map: map() }),
    }
}

fn compare(path: &str, rust: &Layout, btf: &Type, differences: &mut Vec<Difference>) {
    if rust.size != btf.size {
        let bytes = |size| format!("{size} bytes");
        differences.push(Difference {
            path: path.to_owned(),
            btf: bytes(btf.size),
            rust: bytes(rust.size),
        });
        // The differences of its fields show the reason.
        if !matches!(
            (rust.shape, &btf.shape),
            (Shape::Struct { .. }, btf::Shape::Struct { .. })
        ) {
            return;
        }
    }
    compare_shapes(path, rust, btf, differences);
}

fn compare_shapes(path: &str, rust: &Layout, btf: &Type, differences: &mut Vec<Difference>) {
    let mut differ = |btf: String, rust: String| {
        differences.push(Difference {
            path: path.to_owned(),
            btf,
            rust,
        });
    };
    match (rust.shape, &btf.shape) {
        (Shape::Integer { signed }, btf::Shape::Integer { signed: in_btf }) => {
            // An integer of one byte can be text, whose sign depends on the architecture.
            if rust.size > 1 && signed != *in_btf {
                differ(sign(*in_btf).to_owned(), sign(signed).to_owned());
            }
        }
        (
            Shape::Integer { .. },
            btf::Shape::Char { .. }
            | btf::Shape::Bool
            | btf::Shape::Enum { .. }
            | btf::Shape::Pointer,
        )
        | (Shape::Float, btf::Shape::Float) => {}
        (Shape::Array { element, .. }, _) if is_byte(element) => {}
        (
            Shape::Array { element, len },
            btf::Shape::Array {
                element: in_btf,
                len: len_in_btf,
            },
        ) => {
            if len == *len_in_btf {
                compare(&format!("{path}[]"), element, in_btf, differences);
            } else {
                differ(
                    format!("an array of {len_in_btf}"),
                    format!("an array of {len}"),
                );
            }
        }
        (Shape::Struct { .. }, btf::Shape::Struct { members }) => {
            compare_fields(path, rust, members, differences);
        }
        _ => differ(what(btf), format!("`{rust}`")),
    }
}

fn is_byte(layout: &Layout) -> bool {
    *layout == *u8::LAYOUT
}

fn sign(signed: bool) -> &'static str {
    if signed { "signed" } else { "unsigned" }
}

fn what(btf: &Type) -> String {
    let kind = match &btf.shape {
        btf::Shape::Integer { .. } => "an integer",
        btf::Shape::Char { .. } => "a character",
        btf::Shape::Bool => "a boolean",
        btf::Shape::Float => "a floating-point number",
        btf::Shape::Pointer => "a pointer",
        btf::Shape::Enum { .. } => "an enum",
        btf::Shape::Array { .. } => "an array",
        btf::Shape::Struct { .. } => "a struct",
        btf::Shape::Union { .. } => "a union",
        btf::Shape::Unknown => "something",
    };
    match btf.name.as_str() {
        "" => kind.to_owned(),
        name => format!("{kind} (`{name}`)"),
    }
}

/// A member of a struct, or of a struct or union without a name inside it.
struct Found<'a> {
    member: &'a Member,
    bit_offset: usize,
    /// Index of the outermost union without a name of which it is a part.
    union: Option<usize>,
}

fn find<'a>(
    members: &'a [Member],
    (bit_offset, union): (usize, Option<usize>),
    found: &mut Vec<Found<'a>>,
) {
    for member in members {
        let bit_offset = bit_offset + member.bit_offset;
        match &member.ty.shape {
            btf::Shape::Struct { members } if member.name.is_empty() => {
                find(members, (bit_offset, union), found);
            }
            btf::Shape::Union { members } if member.name.is_empty() => {
                let union = union.or(Some(found.len()));
                find(members, (bit_offset, union), found);
            }
            _ => found.push(Found {
                member,
                bit_offset,
                union,
            }),
        }
    }
}

/// The fields of a struct, without padding. libbpf-cargo generates a field for a member without a
/// name, and calls it `__anon_` and a number. Its fields then count as fields of the outer struct,
/// as in BTF.
fn find_fields(layout: &Layout, offset: usize, found: &[Found<'_>], fields: &mut Vec<Field>) {
    let Shape::Struct { fields: all } = layout.shape else {
        return;
    };
    for field in all.iter().filter(|field| !field.is_padding()) {
        let offset = offset + field.offset;
        let has_no_name = field.name.starts_with("__anon_")
            && !found.iter().any(|found| found.member.name == field.name);
        if has_no_name && matches!(field.layout.shape, Shape::Struct { .. }) {
            find_fields(field.layout, offset, found, fields);
        } else {
            fields.push(Field { offset, ..*field });
        }
    }
}

/// Which bytes of a Rust type are not padding.
fn known_bytes(layout: &Layout) -> Vec<bool> {
    fn mark(layout: &Layout, bytes: &mut [bool]) {
        match layout.shape {
            _ if layout.is_dense() => bytes.fill(true),
            Shape::Array { element, .. } => {
                for bytes in bytes.chunks_exact_mut(element.size.max(1)) {
                    mark(element, bytes);
                }
            }
            Shape::Struct { fields } => {
                for field in fields.iter().filter(|field| !field.is_padding()) {
                    mark(
                        field.layout,
                        &mut bytes[field.offset..][..field.layout.size],
                    );
                }
            }
            Shape::Integer { .. } | Shape::Float => {}
        }
    }
    let mut bytes = vec![false; layout.size];
    mark(layout, &mut bytes);
    bytes
}

/// Whether a Rust type with these `known` bytes covers all bytes of a member that are not padding.
fn is_known(btf: &Type, (bit_offset, bits): (usize, Option<u32>), known: &[bool]) -> bool {
    match &btf.shape {
        btf::Shape::Struct { members } | btf::Shape::Union { members } => {
            members.iter().all(|member| {
                let place = (bit_offset + member.bit_offset, member.bits);
                is_known(&member.ty, place, known)
            })
        }
        btf::Shape::Array { element, len } if element.size > 0 => (0..*len).all(|i| {
            let place = (bit_offset + 8 * element.size * i, None);
            is_known(element, place, known)
        }),
        _ => {
            let bits = bits.map_or(8 * btf.size, |bits| bits as usize);
            let bytes = bit_offset / 8..(bit_offset + bits).div_ceil(8);
            known
                .get(bytes)
                .is_some_and(|bytes| bytes.iter().all(|known| *known))
        }
    }
}

fn compare_fields(
    path: &str,
    rust: &Layout,
    members: &[Member],
    differences: &mut Vec<Difference>,
) {
    let mut found = Vec::new();
    find(members, (0, None), &mut found);
    let mut fields = Vec::new();
    find_fields(rust, 0, &found, &mut fields);

    let place = |offset: usize| format!("at byte {offset}");
    let absent = || "absent".to_owned();
    for field in &fields {
        let path = format!("{path}.{}", field.name);
        let of_name = found.iter().find(|found| found.member.name == field.name);
        let mut differ = |btf, rust| {
            let path = path.clone();
            differences.push(Difference { path, btf, rust });
        };
        let Some(found) = of_name else {
            differ(absent(), place(field.offset));
            continue;
        };
        if let Some(bits) = found.member.bits {
            differ(
                format!("a bitfield of {bits}"),
                format!("`{}`", field.layout),
            );
            continue;
        }
        if found.bit_offset != 8 * field.offset {
            differ(place(found.bit_offset / 8), place(field.offset));
        }
        compare(&path, field.layout, &found.member.ty, differences);
    }

    // C can have members with names like padding as well, and libbpf-cargo keeps them.
    found.retain(|found| !is_padding(&found.member.name));
    let in_rust = |found: &Found<'_>| fields.iter().any(|field| field.name == found.member.name);
    let mut known = None;
    for found_one in &found {
        // Rust need not have all members of a union, if it has all their bytes.
        let mut is_known = || {
            let of_same = |other: &Found<'_>| in_rust(other) && other.union == found_one.union;
            found_one.union.is_some()
                && found.iter().any(of_same)
                && is_known(
                    &found_one.member.ty,
                    (found_one.bit_offset, found_one.member.bits),
                    known.get_or_insert_with(|| known_bytes(rust)),
                )
        };
        if !in_rust(found_one) && !is_known() {
            differences.push(Difference {
                path: format!("{path}.{}", found_one.member.name),
                btf: place(found_one.bit_offset / 8),
                rust: absent(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SpinLock;
    use crate::btf::tests::Built;

    const SIGNED: u32 = libbpf_sys::BTF_INT_SIGNED;

    #[derive(Clone, Copy, MapData)]
    #[repr(C)]
    struct Flow {
        port: u16,
        state: u32,
        peer: Peer,
        name: [u8; 4],
    }

    #[derive(Clone, Copy, MapData)]
    #[repr(C)]
    struct Peer {
        id: i32,
        counts: [u64; 2],
    }

    #[track_caller]
    fn differences<T: MapData>(make: impl FnOnce(&mut Built) -> u32) -> Vec<String> {
        let mut built = Built::new();
        let id = make(&mut built);
        let btf = built.0.find(id).expect("it is valid");
        let mut differences = Vec::new();
        compare("value", T::LAYOUT, &btf, &mut differences);
        differences.iter().map(ToString::to_string).collect()
    }

    /// The C equivalent of `Flow`, after `change`.
    fn flow(
        c: &mut Built,
        change: impl FnOnce(&mut Built, &mut Vec<(&str, u32, u32, u32)>),
    ) -> u32 {
        let (short, long) = (c.int("short unsigned int", 2, 0), c.int("long", 8, 0));
        let counts = c.array(long, 2);
        let id = c.int("int", 4, SIGNED);
        let peer = c.structure("peer_c", 24, &[("id", id, 0, 0), ("counts", counts, 64, 0)]);
        let state = c.enumeration(4, &[("A", 1)]);
        let char = c.int("char", 1, SIGNED);
        let text = c.array(char, 4);
        let mut members = vec![
            ("port", short, 0, 0),
            ("state", state, 32, 0),
            ("peer", peer, 64, 0),
            ("name", text, 256, 0),
        ];
        change(c, &mut members);
        c.structure("flow_c", 40, &members)
    }

    #[test]
    #[cfg_attr(miri, ignore = "calls libbpf")]
    fn what_lies_alike_is_alike_whatever_its_types_are_called() {
        assert_eq!(differences::<Flow>(|c| flow(c, |_, _| ())), [""; 0]);
        let lock = |c: &mut Built| {
            let int = c.int("unsigned int", 4, 0);
            c.structure("bpf_spin_lock", 4, &[("val", int, 0, 0)])
        };
        assert_eq!(differences::<SpinLock>(lock), [""; 0]);
        assert_eq!(differences::<u64>(|c| c.pointer(0)), [""; 0]);
        assert_eq!(differences::<[u8; 8]>(|c| c.float("double", 8)), [""; 0]);
        assert_eq!(differences::<[u8; 40]>(|c| flow(c, |_, _| ())), [""; 0]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "calls libbpf")]
    fn members_without_a_name_are_the_outer_ones() {
        let in_union = differences::<Flow>(|c| {
            flow(c, |c, members| {
                // `state` is in a union, and `port` in a struct.
                let union = c.union(
                    "",
                    4,
                    &[("other", members[1].1, 0, 0), ("state", members[1].1, 0, 0)],
                );
                members[1] = ("", union, 32, 0);
                let inner = c.structure("", 2, &[("port", members[0].1, 0, 0)]);
                members[0] = ("", inner, 0, 0);
            })
        });
        assert_eq!(in_union, [""; 0]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "calls libbpf")]
    fn padding_is_padding_in_c_as_in_rust() {
        let padded = differences::<Flow>(|c| {
            flow(c, |c, members| {
                let byte = c.int("u8", 1, 0);
                let pad = c.array(byte, 2);
                members.insert(1, ("__pad_2", pad, 16, 0));
            })
        });
        assert_eq!(padded, [""; 0]);
    }

    /// `union { struct { u32 a; u32 b; }; u64 c; struct { u8 d; u32 e; } f; }; u64 last;`
    fn with_union(c: &mut Built) -> u32 {
        let (byte, int, long) = (c.int("u8", 1, 0), c.int("u32", 4, 0), c.int("u64", 8, 0));
        let halves = c.structure("", 8, &[("a", int, 0, 0), ("b", int, 32, 0)]);
        let padded = c.structure("f", 8, &[("d", byte, 0, 0), ("e", int, 32, 0)]);
        let parts = [("", halves, 0, 0), ("c", long, 0, 0), ("f", padded, 0, 0)];
        let union = c.union("", 8, &parts);
        c.structure("outer", 16, &[("", union, 0, 0), ("last", long, 64, 0)])
    }

    #[test]
    #[cfg_attr(miri, ignore = "calls libbpf")]
    fn of_a_union_some_members_are_enough_if_they_have_its_bytes() {
        #[derive(Clone, Copy, MapData)]
        #[repr(C)]
        struct Whole {
            c: u64,
            last: u64,
        }
        #[derive(Clone, Copy, MapData)]
        #[repr(C)]
        struct Halves {
            a: u32,
            b: u32,
            last: u64,
        }
        #[derive(Clone, Copy, MapData)]
        #[repr(C)]
        struct Half {
            a: u32,
            last: u64,
        }
        #[derive(Clone, Copy, MapData)]
        #[repr(C)]
        struct Padded {
            f: F,
            last: u64,
        }
        #[derive(Clone, Copy, MapData)]
        #[repr(C)]
        struct F {
            d: u8,
            e: u32,
        }
        assert_eq!(differences::<Whole>(with_union), [""; 0]);
        assert_eq!(differences::<Halves>(with_union), [""; 0]);
        // `b` would be missing, and with it the end of the others.
        assert_eq!(
            differences::<Half>(with_union),
            [
                "value.b: at byte 4 in BTF, absent in Rust",
                "value.c: at byte 0 in BTF, absent in Rust",
                "value.f: at byte 0 in BTF, absent in Rust",
            ]
        );
        // Three bytes are padding only in `f`.
        assert_eq!(
            differences::<Padded>(with_union),
            [
                "value.a: at byte 0 in BTF, absent in Rust",
                "value.c: at byte 0 in BTF, absent in Rust",
            ]
        );
    }

    #[test]
    #[cfg_attr(miri, ignore = "calls libbpf")]
    fn padding_and_bits_of_a_union_are_of_no_account() {
        #[derive(Clone, Copy, MapData)]
        #[repr(C)]
        struct Known {
            pairs: [Pair; 2],
        }
        #[derive(Clone, Copy, MapData)]
        #[repr(C)]
        struct Pair {
            byte: u8,
            int: u32,
        }
        let with = |other: fn(&mut Built) -> (u32, u32)| {
            differences::<Known>(|c| {
                let (byte, int) = (c.int("u8", 1, 0), c.int("u32", 4, 0));
                let pair = c.structure("pair", 8, &[("byte", byte, 0, 0), ("int", int, 32, 0)]);
                let pairs = c.array(pair, 2);
                let (other, bits) = other(c);
                let flags = c.structure("", 8, &[("flags", other, 0, bits)]);
                let union = c.union("", 16, &[("pairs", pairs, 0, 0), ("", flags, 0, 0)]);
                c.structure("known", 16, &[("", union, 0, 0)])
            })
        };
        assert_eq!(with(|c| (c.int("u32", 4, 0), 8)), [""; 0]);
        let lost = ["value.flags: at byte 0 in BTF, absent in Rust"];
        assert_eq!(with(|c| (c.int("u32", 4, 0), 9)), lost);
        assert_eq!(with(|c| (c.int("u16", 2, 0), 0)), lost);
        let twin = |c: &mut Built| {
            let (byte, int) = (c.int("u8", 1, 0), c.int("u32", 4, 0));
            let twin = c.structure("twin", 8, &[("a", byte, 0, 0), ("b", int, 32, 0)]);
            (c.array(twin, 1), 0)
        };
        assert_eq!(with(twin), [""; 0]);
        let empty = |c: &mut Built| {
            let empty = c.structure("empty", 0, &[]);
            (c.array(empty, u32::MAX), 0)
        };
        assert_eq!(with(empty), [""; 0]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "calls libbpf")]
    fn members_without_a_name_can_have_that_of_a_skeleton() {
        #[derive(Clone, Copy, MapData)]
        #[repr(C)]
        struct __anon_1 {
            a: u32,
            b: u32,
        }
        #[derive(Clone, Copy, MapData)]
        #[repr(C)]
        struct Skeletons<T> {
            __anon_1: T,
            last: u64,
        }
        assert_eq!(differences::<Skeletons<__anon_1>>(with_union), [""; 0]);
        // A name counts if it is a name in C.
        let named = |c: &mut Built| {
            let (int, long) = (c.int("u32", 4, 0), c.int("u64", 8, 0));
            let halves = c.structure("halves", 8, &[("a", int, 0, 0), ("b", int, 32, 0)]);
            c.structure(
                "named",
                16,
                &[("__anon_1", halves, 0, 0), ("last", long, 64, 0)],
            )
        };
        assert_eq!(differences::<Skeletons<__anon_1>>(named), [""; 0]);
        assert_eq!(
            differences::<Skeletons<u64>>(with_union)[0],
            "value.__anon_1: absent in BTF, at byte 0 in Rust"
        );
    }

    #[test]
    #[cfg_attr(miri, ignore = "calls libbpf")]
    fn each_difference_is_told_by_its_field() {
        let swapped = differences::<Peer>(|c| {
            let (int, long) = (c.int("int", 4, SIGNED), c.int("long", 8, 0));
            let counts = c.array(long, 2);
            c.structure("peer", 24, &[("counts", counts, 0, 0), ("id", int, 128, 0)])
        });
        assert_eq!(
            swapped,
            [
                "value.id: at byte 16 in BTF, at byte 0 in Rust",
                "value.counts: at byte 0 in BTF, at byte 8 in Rust",
            ]
        );

        let changed = differences::<Flow>(|c| {
            flow(c, |c, members| {
                members[0].0 = "prot";
                members[1].3 = 3;
                let (id, short) = (c.int("int", 4, 0), c.int("short", 2, 0));
                let counts = c.array(short, 8);
                let peer = [("id", id, 0, 0), ("counts", counts, 64, 0)];
                members[2].1 = c.structure("peer_c", 24, &peer);
            })
        });
        assert_eq!(
            changed,
            [
                "value.port: absent in BTF, at byte 0 in Rust",
                "value.state: a bitfield of 3 in BTF, `u32` in Rust",
                "value.peer.id: unsigned in BTF, signed in Rust",
                "value.peer.counts: an array of 8 in BTF, an array of 2 in Rust",
                "value.prot: at byte 0 in BTF, absent in Rust",
            ]
        );

        assert_eq!(
            differences::<u64>(|c| c.float("double", 8)),
            ["value: a floating-point number (`double`) in BTF, `u64` in Rust"]
        );
        assert_eq!(
            differences::<[u16; 2]>(|c| {
                let int = c.int("int", 4, 0);
                c.array(int, 1)
            }),
            ["value: an array of 1 in BTF, an array of 2 in Rust"]
        );
        assert_eq!(
            differences::<[u16; 2]>(|c| {
                let int = c.int("int", 4, 0);
                c.array(int, 2)
            }),
            ["value: 8 bytes in BTF, 4 bytes in Rust"]
        );
    }
}
