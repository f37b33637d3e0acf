//! Changing part of a value.

use super::super::bits::Composed;
use super::super::{Member, Shape, Type};
use super::{Parser, collect_names, find, one_like};
use crate::Result;

impl Type {
    /// Changes part of `value`, which has this type, by an assignment: `state=RUNNING`,
    /// `ports[1]=443`, `peer.name="x"`. Everything else stays unchanged, including padding. Padding
    /// inside the part changes only if the part is given as `hex:`.
    ///
    /// The left side consists of member names and indices. If a name is ambiguous, the longest one
    /// counts: `f.counter` is a variable of that name, even if `f` has a member `counter`. Quotes
    /// select the shorter one: `"f".counter=1`. The right side is a literal, see
    /// [`parse`](Self::parse).
    ///
    /// `what` is the name of the whole value in errors, such as `value`.
    ///
    /// # Errors
    ///
    /// [`Error::BadLiteral`](crate::Error::BadLiteral), which names the position in the type.
    /// `value` is unchanged then.
    ///
    /// # Panics
    ///
    /// If `value` does not have as many bytes as the type.
    pub fn assign(&self, what: &str, value: &mut [u8], assignment: &str) -> Result<()> {
        assert_eq!(value.len(), self.size, "bytes of the type");
        let mut parser = Parser::new(self, what, assignment);
        let Part { ty, at, bits } = parser.part(self)?;
        if !parser.take("=") {
            return Err(parser.expected("`=`, `.` or `[`"));
        }
        parser.value(ty, at, bits)?;
        let mut new = parser.end()?;
        // Members that the literal left out become zero.
        mark(&mut new, ty, at, bits);
        new.apply(value);
        Ok(())
    }
}

/// Part of a value: its type, its first bit, and its width if it is a bitfield.
struct Part<'ty> {
    ty: &'ty Type,
    at: usize,
    bits: Option<u32>,
}

/// Marks everything in a value of this type at bit `at` as written, except padding.
fn mark(out: &mut Composed, ty: &Type, at: usize, bits: Option<u32>) {
    match &ty.shape {
        Shape::Struct { members } | Shape::Union { members } => {
            for member in members {
                mark(out, &member.ty, at + member.bit_offset, member.bits);
            }
        }
        Shape::Array { element, len } if element.size > 0 => {
            for i in 0..*len {
                mark(out, element, at + 8 * element.size * i, None);
            }
        }
        _ => out.mark(at, bits.map_or(8 * ty.size, |bits| bits as usize)),
    }
}

impl Parser<'_> {
    /// Parses the member names and indices, of which there must be at least one.
    fn part<'ty>(&mut self, whole: &'ty Type) -> Result<Part<'ty>> {
        self.skip_space();
        let mut part = Part {
            ty: whole,
            at: 0,
            bits: None,
        };
        part = if self.rest.starts_with('[') {
            part
        } else {
            self.member(&part)?
        };
        loop {
            part = match self.rest.chars().next() {
                Some('[') => self.element(&part)?,
                Some('.') => {
                    self.take(".");
                    self.member(&part)?
                }
                _ => return Ok(part),
            };
        }
    }

    fn member<'ty>(&mut self, of: &Part<'ty>) -> Result<Part<'ty>> {
        let (Shape::Struct { members } | Shape::Union { members }) = &of.ty.shape else {
            return Err(self.expected("no member, because the type has no known members"));
        };
        let (name, rest) = match self.rest.starts_with('"') {
            true => self.peek_name(),
            false => {
                let name = longest_name(members, self.rest);
                (name.into(), &self.rest[name.len()..])
            }
        };
        let Some((offset, member)) = find(members, &name) else {
            return Err(self.expected(&one_like(members, &name)));
        };
        self.rest = rest;
        self.skip_space();
        self.enter(format_args!(".{name}"));
        Ok(Part {
            ty: &member.ty,
            at: of.at + offset,
            bits: member.bits,
        })
    }

    fn element<'ty>(&mut self, of: &Part<'ty>) -> Result<Part<'ty>> {
        let Shape::Array { element, len } = &of.ty.shape else {
            return Err(self.expected("no index, because this is not an array"));
        };
        self.take("[");
        let index = self.peek_word();
        let Some(number) = index.parse().ok().filter(|index: &usize| index < len) else {
            return Err(self.expected(&format!("an index below {len}")));
        };
        self.rest = &self.rest[index.len()..];
        self.close("]", "`]` after the index")?;
        self.enter(format_args!("[{number}]"));
        Ok(Part {
            ty: element,
            at: of.at + 8 * element.size * number,
            bits: None,
        })
    }
}

/// The longest member name with which `text` begins; if there is none, its first word. The names of
/// variables can contain dots.
fn longest_name<'text>(members: &[Member], text: &'text str) -> &'text str {
    let is_end = |rest: &str| {
        let next = rest.trim_start().chars().next();
        next.is_none_or(|next| matches!(next, '.' | '[' | '='))
    };
    let mut names = Vec::new();
    collect_names(members, &mut names);
    let begins = |name: &&str| text.strip_prefix(name).is_some_and(is_end);
    let longest = names.into_iter().filter(begins).map(str::len).max();
    let word = || text.find(|c: char| matches!(c, '.' | '[' | '=') || c.is_whitespace());
    &text[..longest.or_else(word).unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::super::tests::{array, process, structure, union, unsigned, with_bitfield};
    use super::*;

    /// The value after an assignment.
    #[track_caller]
    fn assigned(ty: &Type, literal: &str, assignment: &str) -> String {
        let mut value = ty.parse("value", literal).expect("it is a literal");
        ty.assign("value", &mut value, assignment)
            .expect("it is an assignment");
        ty.read(&value).to_string()
    }

    const PROCESS: &str =
        r#"{pid: 7, comm: "x", state: DEAD, ports: [80, 443], v4: 7, wide: 4294967303}"#;

    #[test]
    fn a_part_is_changed_and_all_else_stays() {
        let ty = process();
        for (assignment, from, to) in [
            ("pid=0x10", "pid: 7", "pid: 16"),
            (r#" comm = "yz" "#, r#""x""#, r#""yz""#),
            ("comm[1]=121", r#""x""#, r#""xy""#),
            ("state=IDLE", "DEAD", "IDLE"),
            (r#""state"="IDLE""#, "DEAD", "IDLE"),
            ("ports[ 1 ] = 1", "443", "1"),
            ("ports=[1, ..]", "[80, 443]", "[1, 0]"),
            ("v4=1", "v4: 7, wide: 4294967303", "v4: 1, wide: 4294967297"),
            ("pid=hex: 01 00 00 00", "pid: 7", "pid: 1"),
        ] {
            assert_eq!(
                assigned(&ty, PROCESS, assignment),
                PROCESS.replace(from, to)
            );
        }
        // No literal changes padding.
        let mut value = vec![0xff; ty.size];
        ty.assign("value", &mut value, "state=0")
            .expect("it is an assignment");
        let changed: Vec<_> = (0..ty.size).filter(|i| value[*i] != 0xff).collect();
        assert_eq!(changed, [22, 23, 24, 25]);
    }

    #[test]
    fn padding_of_a_part_stays_unless_its_bytes_are_given() {
        let inner = structure(vec![("x", unsigned(1)), ("y", unsigned(1))]);
        let ty = structure(vec![("a", inner), ("b", unsigned(1))]);
        for (assignment, expected) in [
            ("a={x: 1, ..}", [1, 0xff, 0, 0xff, 0xff, 0xff, 0xff]),
            ("a=hex: 01 02 03 04", [1, 2, 3, 4, 0xff, 0xff, 0xff]),
        ] {
            let mut value = [0xff; 7];
            ty.assign("value", &mut value, assignment)
                .expect("it is an assignment");
            assert_eq!(value, expected, "{assignment}");
        }
    }

    #[test]
    fn only_the_bits_of_a_bitfield_are_changed() {
        let ty = with_bitfield(structure(vec![]), false);
        let mut value = vec![0xff; 2];
        ty.assign("value", &mut value, "bits=0")
            .expect("it is an assignment");
        let expected: u16 = if cfg!(target_endian = "little") {
            !(0x7f << 3)
        } else {
            !(0x7f << 6)
        };
        assert_eq!(value, expected.to_ne_bytes());
    }

    #[test]
    fn parts_lie_in_parts() {
        let inner = structure(vec![
            ("x", array(array(unsigned(1), 2), 2)),
            ("y", unsigned(1)),
        ]);
        let ty = array(structure(vec![("a", inner.clone()), ("b", inner)]), 2);
        let zeros = "[..]";
        let one = "{x: [[0, 0], [0, 0]], y: 0}";
        let all = format!("[{{a: {one}, b: {one}}}, {{a: {one}, b: {one}}}]");
        assert_eq!(assigned(&ty, zeros, "[0].a.y=0"), all);
        let changed = assigned(&ty, zeros, "[1].b.x[1][0]=5");
        let at = all.rfind("[0, 0]], y").expect("it is there");
        assert_eq!(changed, format!("{}5{}", &all[..=at], &all[at + 2..]));
    }

    #[test]
    fn a_name_with_a_dot_is_the_longest_one_unless_in_quotes() {
        let inner = structure(vec![("x", unsigned(1)), ("z", unsigned(1))]);
        let ty = structure(vec![
            ("f", inner),
            ("f.x", unsigned(1)),
            ("f.xy", unsigned(1)),
        ]);
        let zeros = "{..}";
        assert_eq!(
            assigned(&ty, zeros, "f.x=1"),
            "{f: {x: 0, z: 0}, f.x: 1, f.xy: 0}"
        );
        assert_eq!(
            assigned(&ty, zeros, "f.xy=1"),
            "{f: {x: 0, z: 0}, f.x: 0, f.xy: 1}"
        );
        assert_eq!(
            assigned(&ty, zeros, "f.z=1"),
            "{f: {x: 0, z: 1}, f.x: 0, f.xy: 0}"
        );
        assert_eq!(
            assigned(&ty, zeros, r#""f".x=1"#),
            "{f: {x: 1, z: 0}, f.x: 0, f.xy: 0}"
        );
        assert_eq!(
            assigned(&ty, zeros, r#""f.x"=1"#),
            "{f: {x: 0, z: 0}, f.x: 1, f.xy: 0}"
        );
    }

    #[test]
    fn one_of_several_members_of_a_name_is_changed_by_its_number() {
        let inner = || structure(vec![("x", unsigned(1))]);
        let mut ty = union(vec![
            ("", inner()),
            ("", structure(vec![("", inner()), ("", inner())])),
        ]);
        ty.number_members();
        assert_eq!(
            assigned(&ty, "{x#1: 1, x#3: 2, ..}", "x#3=9"),
            "{x#1: 1, x#2: 1, x#3: 9}"
        );
        let mut value = vec![0; ty.size];
        let error = ty
            .assign("value", &mut value, "x=1")
            .expect_err("it is one of three");
        assert_eq!(
            error.to_string(),
            "value: expected one of several members (`x#1`, `x#2`, `x#3`), found `x`"
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_changes_nothing() {
        let ty = process();
        for (assignment, reason) in [
            (
                "prot=1",
                "value: expected a member (`pid`, `comm`, `state`, `ports`, `v4`, `wide`), found \
                 `prot`",
            ),
            (
                "ports[2]=1",
                "value.ports: expected an index below 2, found `2`",
            ),
            (
                "ports[-1]=1",
                "value.ports: expected an index below 2, found `-1`",
            ),
            (
                "ports[1=1",
                "value.ports: expected `]` after the index, found `=`",
            ),
            (
                "ports[1]=65536",
                "value.ports[1]: expected a whole number from 0 to 65535, found `65536`",
            ),
            (
                "pid.x=1",
                "value.pid: expected no member, because the type has no known members, found `x`",
            ),
            (
                "pid[0]=1",
                "value.pid: expected no index, because this is not an array, found `[`",
            ),
            (
                "[0]=1",
                "value: expected no index, because this is not an array, found `[`",
            ),
            ("pid", "value.pid: expected `=`, `.` or `[`, found the end"),
            (
                r#""pid 1"#,
                "value: expected a member (`pid`, `comm`, `state`, `ports`, `v4`, `wide`), found `\"`",
            ),
            ("pid=1 2", "value.pid: expected nothing more, found `2`"),
            (
                "=1",
                "value: expected a member (`pid`, `comm`, `state`, `ports`, `v4`, `wide`), found `=`",
            ),
            (
                "pid=",
                "value.pid: expected a whole number from 0 to 4294967295, found the end",
            ),
        ] {
            let bytes: Vec<_> = (0..ty.size as u8).collect();
            let mut value = bytes.clone();
            let error = ty.assign("value", &mut value, assignment);
            let error = error.expect_err("it is refused").to_string();
            assert_eq!(error, reason, "{assignment}");
            assert_eq!(value, bytes);
        }
        let mut value = [0; 3];
        let error = Type::unknown(3).assign("value", &mut value, "x=1");
        assert_eq!(
            error.expect_err("it has no members").to_string(),
            "value: expected no member, because the type has no known members, found `x`"
        );
    }
}
