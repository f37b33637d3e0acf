use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Enumerator, Value};
use super::*;

fn scalar(name: &str, size: usize, shape: Shape) -> Type {
    Type {
        name: name.to_owned(),
        size,
        shape,
    }
}

pub(super) fn unsigned(size: usize) -> Type {
    scalar("unsigned", size, Shape::Integer { signed: false })
}

fn text(len: usize) -> Type {
    array(scalar("char", 1, Shape::Char { signed: true }), len)
}

pub(super) fn array(element: Type, len: usize) -> Type {
    let size = element.size * len;
    let element = Box::new(element);
    scalar("", size, Shape::Array { element, len })
}

fn state() -> Type {
    let name = |name: &str, value| Enumerator {
        name: name.to_owned(),
        value,
    };
    let names = vec![name("IDLE", 0), name("RUNNING", 1), name("DEAD", -1)];
    let signed = true;
    scalar("state", 4, Shape::Enum { signed, names })
}

/// A struct of these members, with a byte of padding after each.
pub(super) fn structure(parts: Vec<(&str, Type)>) -> Type {
    let mut size = 0;
    let mut members = Vec::new();
    for (name, ty) in parts {
        members.push(member(name, 8 * size, None, &ty));
        size += ty.size + 1;
    }
    scalar("", size, Shape::Struct { members })
}

pub(super) fn union(parts: Vec<(&str, Type)>) -> Type {
    let size = parts.iter().map(|(_, ty)| ty.size).max().unwrap_or(0);
    let members = parts.iter().map(|(name, ty)| member(name, 0, None, ty));
    let members = members.collect();
    scalar("", size, Shape::Union { members })
}

fn member(name: &str, bit_offset: usize, bits: Option<u32>, ty: &Type) -> Member {
    Member {
        name: name.to_owned(),
        bit_offset,
        bits,
        ty: ty.clone(),
    }
}

/// `{ u32 pid; char comm[16]; enum state state; u16 ports[2]; union { u32 v4; u64 wide; } }`
pub(super) fn process() -> Type {
    structure(vec![
        ("pid", unsigned(4)),
        ("comm", text(16)),
        ("state", state()),
        ("ports", array(unsigned(2), 2)),
        ("", union(vec![("v4", unsigned(4)), ("wide", unsigned(8))])),
    ])
}

fn any_leaf() -> impl Strategy<Value = Type> {
    let size = || prop_oneof![Just(1_usize), Just(2), Just(4), Just(8), Just(16)];
    prop_oneof![
        (size(), any::<bool>()).prop_map(|(size, signed)| scalar(
            "int",
            size,
            Shape::Integer { signed }
        )),
        Just(scalar("_Bool", 1, Shape::Bool)),
        Just(scalar("float", 4, Shape::Float)),
        Just(scalar("double", 8, Shape::Float)),
        Just(scalar("", 8, Shape::Pointer)),
        Just(state()),
        Just(Type::unknown(3)),
        (0..9_usize).prop_map(text),
    ]
}

/// A struct that begins with a bitfield of three bits.
pub(super) fn with_bitfield(mut ty: Type, signed: bool) -> Type {
    if let Shape::Struct { members } = &mut ty.shape {
        for member in &mut *members {
            member.bit_offset += 16;
        }
        let of = scalar("int", 2, Shape::Integer { signed });
        members.insert(0, member("bits", 3, Some(7), &of));
        ty.size += 2;
    }
    ty
}

/// Any type. Members that share a name are numbered.
fn any_type() -> impl Strategy<Value = Type> {
    let ty = any_leaf().prop_recursive(4, 32, 4, |inner| {
        let parts = || vec((any::<bool>(), inner.clone()), 0..5);
        let named = |parts: Vec<(bool, Type)>| -> Vec<(&str, Type)> {
            let name = |named| if named { "x" } else { "" };
            let parts = parts.into_iter();
            parts.map(|(named, ty)| (name(named), ty)).collect()
        };
        prop_oneof![
            (inner.clone(), 0..4_usize).prop_map(|(ty, len)| array(ty, len)),
            parts().prop_map(move |parts| structure(named(parts))),
            parts().prop_map(move |parts| union(named(parts))),
            (parts(), any::<bool>())
                .prop_map(move |(parts, signed)| with_bitfield(structure(named(parts)), signed)),
        ]
    });
    ty.prop_map(|mut ty| {
        rename(&mut ty, &mut 0);
        ty.number_members();
        ty
    })
}

/// Gives a name to each member, except to structs and unions without one.
fn rename(ty: &mut Type, count: &mut usize) {
    match &mut ty.shape {
        Shape::Array { element, .. } => rename(element, count),
        Shape::Struct { members } | Shape::Union { members } => {
            for member in members {
                *count += 1;
                if member.inner().is_none() {
                    member.name = ["hex", "f.x", "x", "y", "z"][*count % 5].to_owned();
                }
                rename(&mut member.ty, count);
            }
        }
        _ => {}
    }
}

/// A type, and bytes for it that are often zero.
fn any_bytes() -> impl Strategy<Value = (Type, Vec<u8>)> {
    any_type().prop_flat_map(|ty| {
        let byte = prop_oneof![Just(0), Just(1), Just(b'a'), any::<u8>()];
        let bytes = vec(byte, ty.size);
        (Just(ty), bytes)
    })
}

/// Checks that the output of `show` parses to the same bytes, except for padding.
fn is_read_again(
    ty: &Type,
    bytes: &[u8],
    show: impl Fn(Value<'_>) -> String,
) -> Result<(), TestCaseError> {
    let parse = |bytes: &[u8]| {
        let shown = show(ty.read(bytes));
        ty.parse("value", &shown)
            .map_err(|err| TestCaseError::fail(format!("{err} in {shown}")))
    };
    // All bits except padding.
    let meaning = parse(&vec![0xff; ty.size])?;
    let expected: Vec<_> = bytes
        .iter()
        .zip(&meaning)
        .map(|(byte, mask)| byte & mask)
        .collect();
    prop_assert_eq!(parse(bytes)?, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Miri is several hundred times slower.
        cases: if cfg!(miri) { 8 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_shown_is_read_again((ty, bytes) in any_bytes()) {
        is_read_again(&ty, &bytes, |value| value.to_string())?;
    }

    #[test]
    fn a_member_that_is_assigned_as_it_is_shown_stays((ty, bytes) in any_bytes()) {
        let bytes = ty.parse("value", &ty.read(&bytes).to_string());
        let bytes = bytes.map_err(|err| TestCaseError::fail(err.to_string()))?;
        if let Value::Struct(fields) = ty.read(&bytes) {
            for (name, value) in fields.iter() {
                let mut assigned = bytes.clone();
                let assignment = format!("{name}={value}");
                ty.assign("value", &mut assigned, &assignment)
                    .map_err(|err| TestCaseError::fail(format!("{err} in {assignment}")))?;
                prop_assert_eq!(&assigned, &bytes, "{}", assignment);
            }
        }
    }

    #[test]
    #[cfg(feature = "serde")]
    fn what_is_serialized_is_read_again((ty, bytes) in any_bytes()) {
        let json = |value: Value<'_>| serde_json::to_string(&value).expect("names are text");
        is_read_again(&ty, &bytes, json)?;
        let pretty = |value: Value<'_>| serde_json::to_string_pretty(&value).expect("as above");
        is_read_again(&ty, &bytes, pretty)?;
    }

    #[test]
    fn no_text_is_too_strange((ty, bytes) in any_bytes(), cut in any::<prop::sample::Index>(),
                              with in "[\\PC\\n\"\\\\{}:,.x0-9]{0,4}") {
        let mut shown = ty.read(&bytes).to_string();
        let chars: Vec<_> = shown.char_indices().map(|(at, _)| at).collect();
        if !chars.is_empty() {
            shown.insert_str(*cut.get(&chars), &with);
        }
        if let Ok(read) = ty.parse("value", &shown) {
            prop_assert_eq!(read.len(), ty.size);
        }
    }
}

#[test]
fn a_value_is_shown_as_its_type_says() {
    let ty = process();
    let literal =
        r#"{ports: [80, 0x1bb], wide: 7, state: RUNNING, comm: "a\"\x00\u{202e}\xff", pid: 7}"#;
    let bytes = ty.parse("value", literal).expect("it is a literal");
    assert_eq!(
        ty.read(&bytes).to_string(),
        r#"{pid: 7, comm: "a\"\0\u{202e}\xff", state: RUNNING, ports: [80, 443], v4: 7, wide: 7}"#
    );
    assert_eq!(ty.read(&bytes[1..]).to_string()[..4], *"hex:");
    let rest = ty
        .parse("value", "{state: DEAD, ..}")
        .expect("the rest is zero");
    assert_eq!(
        ty.read(&rest).to_string(),
        r#"{pid: 0, comm: "", state: DEAD, ports: [0, 0], v4: 0, wide: 0}"#
    );
}

#[test]
fn one_of_several_members_of_a_name_is_given_by_its_number() {
    let inner = || structure(vec![("x", unsigned(1))]);
    let mut ty = structure(vec![("", inner()), ("x", unsigned(1)), ("", inner())]);
    ty.number_members();
    let bytes = ty
        .parse("value", "{x#3: 3, x#1: 1, x#2: 2}")
        .expect("it is a literal");
    assert_eq!(ty.read(&bytes).to_string(), "{x#1: 1, x#2: 2, x#3: 3}");
    refused(
        &ty,
        "{x: 1, ..}",
        "value: expected one of several members (`x#1`, `x#2`, `x#3`), found `x`",
    );
    refused(
        &ty,
        "{x#1: 1, x#2: 2}",
        "value: expected `x#3` too (or `..` at the end, for zeros), found no more",
    );
    refused(
        &ty,
        "{x#1: 1, x#1: 2, ..}",
        "value: expected each member once, `x#1` is there, found `x#1`",
    );
}

#[track_caller]
fn refused(ty: &Type, literal: &str, reason: &str) {
    let error = ty.parse("value", literal).expect_err("it is refused");
    assert_eq!(error.to_string(), reason, "{literal}");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let ty = process();
    let refused = |literal: &str, reason: &str| refused(&ty, literal, reason);
    refused(
        "{pid: -1, ..}",
        "value.pid: expected a whole number from 0 to 4294967295, found `-1`",
    );
    refused(
        "{ports: [1, 65536], ..}",
        "value.ports[1]: expected a whole number from 0 to 65535, found `65536`",
    );
    refused(
        "{ports: [1], ..}",
        "value.ports: expected a list of 2 elements, in [ ] (or `..` at its end, for zeros), \
         found 1",
    );
    refused(
        "{ports: [1, 2, 3], ..}",
        "value.ports: expected a list of 2 elements, in [ ], found more",
    );
    refused(
        "{state: RUN, ..}",
        "value.state: expected `IDLE`, `RUNNING`, `DEAD` or a whole number from -2147483648 to \
         2147483647, found `RUN`",
    );
    refused(
        "{comm: \"12345678901234567\", ..}",
        "value.comm: expected text of at most 16 bytes, found 17 bytes",
    );
    refused(
        "{prot: 1, ..}",
        "value: expected a member (`pid`, `comm`, `state`, `ports`, `v4`, `wide`), found `prot`",
    );
    refused(
        "{pid: 1, pid: 2, ..}",
        "value: expected each member once, `pid` is there, found `pid`",
    );
    refused(
        "{pid: 1}",
        "value: expected `comm` too (or `..` at the end, for zeros), found no more",
    );
    refused(
        "{pid: 1, comm: \"\", state: 0, ports: [..]}",
        "value: expected a member (`v4`, `wide`) too (or `..` at the end, for zeros), found no \
         more",
    );
    refused(
        "{v4: 1, wide: 2, ..}",
        "value.wide: expected the same bytes as another member of the union, found `2`",
    );
    refused("{pid 1, ..}", "value: expected `:` after `pid`, found `1`");
    refused("{pid: 1", "value: expected `,` or `}`, found the end");
    refused("{..", "value: expected `}` after `..`, found the end");
    refused("{.., pid: 1}", "value: expected `}` after `..`, found `,`");
    refused(
        "{ports: [.., 1], ..}",
        "value.ports: expected `]` after `..`, found `,`",
    );
    refused(
        "{pid: \"7\", ..}",
        "value.pid: expected a whole number from 0 to 4294967295, found `\"7\"`",
    );
    refused(
        "{comm: \"7, ..}",
        "value.comm: expected text that ends with `\"`, in which `\\` is followed by n, r, t, b, f, \
         0, \\, /, \", xHH, u{H} or uHHHH, found `\"7, ..}`",
    );
    refused("{..} x", "value: expected nothing more, found `x`");
    refused("hex: 01 02", "value: expected 41 bytes, found 2");
    refused(
        "hex: 01 0",
        "value: expected pairs of hexadecimal digits, found `0`",
    );
    refused(
        "7",
        "value: expected a member (`pid`, `comm`, `state`, `ports`, `v4`, `wide`) in { }, found \
         `7`",
    );
}

#[test]
fn numbers_have_the_range_of_their_bits() {
    let number = |literal| unsigned(1).parse("key", literal).ok();
    assert_eq!(number("255"), Some(vec![255]));
    assert_eq!(number("0xfF"), Some(vec![255]));
    assert_eq!(number(" 2_5_5 "), Some(vec![255]));
    for bad in [
        "256", "-1", "0x100", "+1", "1.0", "", "_", "0x", "-", "١", "1 2",
    ] {
        assert_eq!(number(bad), None, "{bad}");
    }
    let signed = scalar("int", 16, Shape::Integer { signed: true });
    for literal in [i128::MIN, -1, 0, i128::MAX] {
        let bytes = signed.parse("key", &literal.to_string());
        assert_eq!(bytes.ok(), Some(literal.to_ne_bytes().to_vec()));
    }
    refused(
        &signed,
        "170141183460469231731687303715884105728",
        "value: expected a whole number from -170141183460469231731687303715884105728 to \
         170141183460469231731687303715884105727, found `170141183460469231731687303715884105728`",
    );
    let bits = with_bitfield(structure(vec![]), true);
    refused(
        &bits,
        "{bits: 64}",
        "value.bits: expected a whole number from -64 to 63, found `64`",
    );
    let bytes = bits.parse("value", "{bits: -64}").expect("it fits");
    assert_eq!(bits.read(&bytes).to_string(), "{bits: -64}");
}

#[test]
fn a_number_that_is_too_large_is_not_infinite() {
    let [float, double] = [4, 8].map(|size| scalar("float", size, Shape::Float));
    refused(
        &float,
        "1e39",
        "value: expected a number up to 3.4028235e38, found `1e39`",
    );
    refused(
        &double,
        "-1e400",
        "value: expected a number up to 1.7976931348623157e308, found `-1e400`",
    );
    for literal in ["inf", "-inf", "3.4028235e38", "1e-50"] {
        assert!(float.parse("value", literal).is_ok(), "{literal}");
        assert!(double.parse("value", literal).is_ok(), "{literal}");
    }
}

#[test]
fn json_is_a_literal() {
    let ty = process();
    let json = r#"{"pid": 7, "comm": "\u0041\/\ud83d\ude00\b\f", "state": "RUNNING",
                   "ports": [80, 443], "v4": 1, "wide": 1}"#;
    let bytes = ty.parse("value", json).expect("it is JSON");
    assert_eq!(
        ty.read(&bytes).to_string(),
        r#"{pid: 7, comm: "A/😀\u{8}\u{c}", state: RUNNING, ports: [80, 443], v4: 1, wide: 1}"#
    );
    // Parts of JSON can be left out or given as literals, too.
    let bytes = ty.parse("value", r#"{"comm": {"hex": "ff61"}, pid: 1, ..}"#);
    let bytes = bytes.expect("it is a literal");
    assert!(
        ty.read(&bytes)
            .to_string()
            .starts_with(r#"{pid: 1, comm: "\xffa", state: IDLE"#)
    );
    let float = scalar("double", 8, Shape::Float);
    for number in [f64::INFINITY, f64::NEG_INFINITY] {
        let bytes = float.parse("value", &format!("\"{number}\""));
        assert_eq!(bytes.ok(), Some(number.to_ne_bytes().to_vec()));
    }
    let nan = float.parse("value", r#"{"hex": "0000000000f8ff7f"}"#);
    assert_eq!(nan.ok(), Some(vec![0, 0, 0, 0, 0, 0xf8, 0xff, 0x7f]));
}

#[test]
fn a_member_hex_is_not_taken_for_bytes() {
    let ty = structure(vec![("hex", text(4))]);
    let bytes = ty.parse("value", r#"{"hex": "0102"}"#).expect("it is JSON");
    assert_eq!(bytes, b"0102\0");
    let other = structure(vec![("x", text(4))]);
    let bytes = other.parse("value", r#"{"hex": "3031323300"}"#);
    assert_eq!(bytes.ok(), Some(b"0123\0".to_vec()));
}

#[test]
fn what_json_does_not_print_is_refused() {
    let ty = process();
    let refused = |literal: &str, reason: &str| refused(&ty, literal, reason);
    refused(
        r#"{"state": "RUN", ..}"#,
        "value.state: expected `IDLE`, `RUNNING`, `DEAD` or a whole number from -2147483648 to \
         2147483647, found `\"RUN\"`",
    );
    refused(
        r#"{"state": "1", ..}"#,
        "value.state: expected `IDLE`, `RUNNING`, `DEAD` or a whole number from -2147483648 to \
         2147483647, found `\"1\"`",
    );
    refused(
        r#"{"pid": null, ..}"#,
        "value.pid: expected a whole number from 0 to 4294967295, found `null`",
    );
    refused(
        r#"{"pid": {"hex": "0102"}, ..}"#,
        "value.pid: expected 4 bytes, found 2",
    );
    refused(
        r#"{"comm": {"hex": "0102030405060708090a0b0c0d0e0f1011"}, ..}"#,
        "value.comm: expected at most 16 bytes, found 17",
    );
    for digits in ["0", "0g", "é", "+1"] {
        refused(
            &format!(r#"{{"pid": {{"hex": "{digits}"}}, ..}}"#),
            &format!(
                "value.pid: expected pairs of hexadecimal digits, in quotes, found `\"{digits}\"`"
            ),
        );
    }
    refused(
        r#"{"pid": {"hex": "01020304", ..}, ..}"#,
        "value.pid: expected `}` after the bytes, found `,`",
    );
    for escape in [
        r"\ud83d",
        r"\ude00",
        r"\ud83d\u0041",
        r"\u004",
        r"\u+041",
        r"\ud83d\u",
    ] {
        let literal = format!(r#"{{"comm": "{escape}", ..}}"#);
        assert!(ty.parse("value", &literal).is_err(), "{literal}");
    }
}

#[test]
fn what_has_no_type_is_bytes_or_a_number() {
    let four = Type::unknown(4);
    let bytes = four.parse("key", "-2").expect("it fits");
    assert_eq!(bytes, (-2_i32).to_ne_bytes());
    assert_eq!(
        four.parse("key", "hex: 0102 03ff").ok(),
        Some(vec![1, 2, 3, 255])
    );
    assert_eq!(four.read(&[1, 2, 3, 255]).to_string(), "hex: 01 02 03 ff");
    refused(
        &four,
        "01 02 03 04",
        "value: expected nothing more, found `02`",
    );
    refused(
        &Type::unknown(3),
        "1",
        "value: expected `hex:` and 3 bytes, found `1`",
    );
}
