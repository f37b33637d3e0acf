//! Conversion of literals to bytes, according to their type.

mod assign;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write;

use super::bits::{self, Composed};
use super::{Member, Shape, Type};
use crate::{Error, Result};

impl Type {
    /// Parses a literal of this type, in the format in which a [`Value`](super::Value) is displayed
    /// or serialized to JSON:
    ///
    /// - numbers: `-7`, `0x1f`, `1_000`, floating point `2.5e-3`;
    /// - `true` and `false`; the names of an enum, or their numbers;
    /// - text for an array of bytes: `"a\n\x00\u{e4}"`; the rest of the array is zero;
    /// - `[1, 2, 3]` for an array, `{pid: 7, name: "x"}` for a struct, in any order. Every member is
    ///   required unless the literal ends with `..`, which makes the rest zero. A union needs only one
    ///   member; if there are several, they must agree. Members that share a name have numbers:
    ///   `counter#1`;
    /// - `hex: 01 02 ff` for any type, with exactly as many bytes as it has.
    ///
    /// In JSON, names of members and enums and infinite numbers are in quotes. `{"hex": "0102ff"}`
    /// works for any type except a struct or union that has a member `hex`. For an array of bytes
    /// it can be shorter than the array, like text.
    ///
    /// For an unknown type, use `hex:`, or a number if the type has 1, 2, 4, 8 or 16 bytes. Padding
    /// is zero.
    ///
    /// `what` is the name of the value in errors, such as `key`.
    ///
    /// # Errors
    ///
    /// [`Error::BadLiteral`], which names the position in the type.
    pub fn parse(&self, what: &str, literal: &str) -> Result<Vec<u8>> {
        let mut parser = Parser::new(self, what, literal);
        parser.value(self, 0, None)?;
        Ok(parser.end()?.bytes)
    }
}

/// The position in the text, and in the value that is composed from it.
struct Parser<'text> {
    rest: &'text str,
    out: Composed,
    /// The position in the value, for errors.
    path: String,
}

impl<'text> Parser<'text> {
    fn new(ty: &Type, what: &str, text: &'text str) -> Self {
        Self {
            rest: text,
            out: Composed::new(ty.size),
            path: what.to_owned(),
        }
    }

    /// Returns the composed value. An error if any text is left.
    fn end(mut self) -> Result<Composed> {
        self.skip_space();
        if !self.rest.is_empty() {
            return Err(self.expected("nothing more"));
        }
        Ok(self.out)
    }

    /// Parses a value of this type and writes it at bit `at`; `bits` is the width of a bitfield.
    fn value(&mut self, ty: &Type, at: usize, field: Option<u32>) -> Result<()> {
        let bits = field.map_or(8 * ty.size, |bits| bits as usize);
        self.skip_space();
        if field.is_none() && self.takes_hex() {
            return self.hex(ty.size, at);
        }
        if field.is_none() && self.takes_hex_object(ty) {
            return self.hex_object(ty, at);
        }
        match &ty.shape {
            Shape::Struct { members } => self.members(ty, members, at),
            Shape::Union { members } => self.members(ty, members, at),
            Shape::Array { element, len } => {
                if is_byte(element) && self.rest.starts_with('"') {
                    self.text(*len, at)
                } else {
                    self.list(element, *len, at)
                }
            }
            Shape::Float => self.float(ty, at),
            Shape::Bool => self.number(ty, at, bits, false, |word| match word {
                "false" => Some(0),
                "true" => Some(1),
                _ => None,
            }),
            Shape::Enum { signed, names } => self.number(ty, at, bits, *signed, |word| {
                let named = names.iter().find(|name| name.name == word);
                named.map(|name| name.value)
            }),
            Shape::Integer { signed } | Shape::Char { signed } => {
                self.number(ty, at, bits, *signed, |_| None)
            }
            Shape::Pointer => self.number(ty, at, bits, false, |_| None),
            Shape::Unknown if [1, 2, 4, 8, 16].contains(&ty.size) => {
                let signed = self.rest.starts_with('-');
                self.number(ty, at, bits, signed, |_| None)
            }
            Shape::Unknown => Err(self.expected(&describe(ty, bits))),
        }
    }

    /// Parses a number of at most `bits` bits, or a name that stands for one.
    fn number(
        &mut self,
        ty: &Type,
        at: usize,
        bits: usize,
        signed: bool,
        named: impl Fn(&str) -> Option<i128>,
    ) -> Result<()> {
        let (word, rest) = self.peek_name();
        let number = match named(&word) {
            Some(value) => Some(value.cast_unsigned()),
            None if self.rest.starts_with('"') => None,
            None => number(&word, bits, signed),
        };
        let Some(number) = number.filter(|_| bits <= bits::WIDEST) else {
            return Err(self.expected(&describe(ty, bits)));
        };
        self.write(at, bits, number)?;
        self.rest = rest;
        Ok(())
    }

    fn float(&mut self, ty: &Type, at: usize) -> Result<()> {
        let (word, rest) = self.peek_name();
        // JSON has no infinite numbers, so they are in quotes there.
        if self.rest.starts_with('"') && !matches!(&*word, "inf" | "-inf") {
            return Err(self.expected(&describe(ty, 8 * ty.size)));
        }
        // Digits that are too large parse as infinity, too.
        let has_digits = word.contains(|c: char| c.is_ascii_digit());
        let number = match ty.size {
            4 => word
                .parse()
                .ok()
                .filter(|number: &f32| !(has_digits && number.is_infinite()))
                .map(|number| u128::from(number.to_bits())),
            8 => word
                .parse()
                .ok()
                .filter(|number: &f64| !(has_digits && number.is_infinite()))
                .map(|number| u128::from(number.to_bits())),
            _ => None,
        };
        let Some(number) = number else {
            return Err(self.expected(&describe(ty, 8 * ty.size)));
        };
        self.write(at, 8 * ty.size, number)?;
        self.rest = rest;
        Ok(())
    }

    fn list(&mut self, element: &Type, len: usize, at: usize) -> Result<()> {
        let expected = || match len {
            1 => "a list of 1 element, in [ ]".to_owned(),
            _ => format!("a list of {len} elements, in [ ]"),
        };
        if !self.take("[") {
            return Err(self.expected(&expected()));
        }
        let mut count = 0;
        // Elements without a size have no values to parse.
        let len = if element.size == 0 { 0 } else { len };
        while !self.take("]") {
            if self.take("..") {
                return self.close("]", "`]` after `..`");
            }
            if count == len {
                return Err(self.bad(expected(), "more".to_owned()));
            }
            let path = self.enter(format_args!("[{count}]"));
            self.value(element, at + 8 * element.size * count, None)?;
            self.path.truncate(path);
            count += 1;
            if !self.take(",") {
                self.close("]", "`,` or `]`")?;
                break;
            }
        }
        if count < len {
            return Err(self.bad(
                expected() + " (or `..` at its end, for zeros)",
                count.to_string(),
            ));
        }
        Ok(())
    }

    fn members(&mut self, ty: &Type, members: &[Member], at: usize) -> Result<()> {
        if !self.take("{") {
            return Err(self.expected(&describe(ty, 8 * ty.size)));
        }
        let mut given = HashSet::new();
        while !self.take("}") {
            if self.take("..") {
                return self.close("}", "`}` after `..`");
            }
            let (name, rest) = self.peek_name();
            let Some((offset, member)) = find(members, &name) else {
                return Err(self.expected(&one_like(members, &name)));
            };
            if !given.insert(member.name.as_str()) {
                return Err(self.expected(&format!("each member once, `{name}` is there")));
            }
            self.rest = rest;
            if !self.take(":") {
                return Err(self.expected(&format!("`:` after `{name}`")));
            }
            let path = self.enter(format_args!(".{name}"));
            self.value(&member.ty, at + offset, member.bits)?;
            self.path.truncate(path);
            if !self.take(",") {
                self.close("}", "`,` or `}`")?;
                break;
            }
        }
        match missing(ty, &given) {
            None => Ok(()),
            Some(missing) => Err(self.bad(
                format!("{missing} too (or `..` at the end, for zeros)"),
                "no more".to_owned(),
            )),
        }
    }

    fn text(&mut self, len: usize, at: usize) -> Result<()> {
        let start = self.rest;
        let Some((text, rest)) = unquote(start) else {
            return Err(self.bad(
                "text that ends with `\"`, in which `\\` is followed by n, r, t, b, f, 0, \\, /, \
                 \", xHH, u{H} or uHHHH"
                    .to_owned(),
                quote(start),
            ));
        };
        if text.len() > len {
            return Err(self.bad(
                format!("text of at most {len} bytes"),
                format!("{} bytes", text.len()),
            ));
        }
        self.fill(&text, len, at)?;
        self.rest = rest;
        Ok(())
    }

    /// Writes these bytes and fills up with zeros to `len`.
    fn fill(&mut self, bytes: &[u8], len: usize, at: usize) -> Result<()> {
        for i in 0..len {
            let byte = bytes.get(i).copied().unwrap_or(0);
            self.write(at + 8 * i, 8, byte.into())?;
        }
        Ok(())
    }

    /// Consumes `{"hex":` if it comes next, unless it can be a struct with a member `hex`.
    fn takes_hex_object(&mut self, ty: &Type) -> bool {
        if let Shape::Struct { members } | Shape::Union { members } = &ty.shape
            && find(members, "hex").is_some()
        {
            return false;
        }
        let start = self.rest;
        let taken = self.take("{") && self.take("\"hex\"") && self.take(":");
        if !taken {
            self.rest = start;
        }
        taken
    }

    /// Parses what follows `{"hex":`.
    fn hex_object(&mut self, ty: &Type, at: usize) -> Result<()> {
        let digits = unquote(self.rest);
        let bytes = digits.and_then(|(digits, rest)| Some((hex_bytes(&digits)?, rest)));
        let Some((bytes, rest)) = bytes else {
            return Err(self.expected("pairs of hexadecimal digits, in quotes"));
        };
        // Text that is not UTF-8 is printed like this, without the zeros at its end.
        let is_text = matches!(&ty.shape, Shape::Array { element, .. } if is_byte(element));
        if bytes.len() > ty.size || (bytes.len() < ty.size && !is_text) {
            let most = if is_text { "at most " } else { "" };
            return Err(self.bad(format!("{most}{} bytes", ty.size), bytes.len().to_string()));
        }
        self.fill(&bytes, ty.size, at)?;
        self.rest = rest;
        self.close("}", "`}` after the bytes")
    }

    /// Consumes `hex:` if it comes next.
    fn takes_hex(&mut self) -> bool {
        let Some(after) = self.rest.strip_prefix("hex") else {
            return false;
        };
        let Some(after) = after.trim_start().strip_prefix(':') else {
            return false;
        };
        self.rest = after;
        true
    }

    fn hex(&mut self, size: usize, at: usize) -> Result<()> {
        let mut count = 0;
        loop {
            self.skip_space();
            let Some(byte) = self.rest.get(..2).and_then(hex_byte) else {
                break;
            };
            if count < size {
                self.write(at + 8 * count, 8, byte.into())?;
            }
            count += 1;
            self.rest = &self.rest[2..];
        }
        let end = self.rest.starts_with([',', ']', '}']) || self.rest.is_empty();
        if !end {
            return Err(self.expected("pairs of hexadecimal digits"));
        }
        if count != size {
            return Err(self.bad(format!("{size} bytes"), count.to_string()));
        }
        Ok(())
    }

    fn write(&mut self, at: usize, bits: usize, number: u128) -> Result<()> {
        if self.out.write(at, bits, number) {
            Ok(())
        } else {
            Err(self.expected("the same bytes as another member of the union"))
        }
    }

    /// Appends a part to the path. Returns the length to which the path is truncated afterwards.
    fn enter(&mut self, part: std::fmt::Arguments<'_>) -> usize {
        let len = self.path.len();
        // Writing to a string cannot fail.
        let _ = self.path.write_fmt(part);
        len
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Consumes `token` if it comes next.
    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        let Some(rest) = self.rest.strip_prefix(token) else {
            return false;
        };
        self.rest = rest;
        self.skip_space();
        true
    }

    fn close(&mut self, bracket: &str, expected: &str) -> Result<()> {
        if self.take(bracket) {
            return Ok(());
        }
        Err(self.expected(expected))
    }

    /// The number or name that comes next; empty if there is none.
    fn peek_word(&self) -> &'text str {
        let end = self.rest.find(|c: char| {
            !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '+' | '$' | '#'))
        });
        &self.rest[..end.unwrap_or(self.rest.len())]
    }

    /// The name that comes next, with or without quotes, and the text after it.
    fn peek_name(&self) -> (Cow<'text, str>, &'text str) {
        if let Some((text, rest)) = unquote(self.rest)
            && let Ok(text) = String::from_utf8(text)
        {
            return (Cow::Owned(text), rest);
        }
        let word = self.peek_word();
        (Cow::Borrowed(word), &self.rest[word.len()..])
    }

    fn expected(&self, expected: &str) -> Error {
        let next = match self.peek_word() {
            "" => self.rest.split_inclusive(|_| true).next().unwrap_or(""),
            word => word,
        };
        let found = if let Some((_, after)) = unquote(self.rest) {
            quote(&self.rest[..self.rest.len() - after.len()])
        } else if next.is_empty() {
            "the end".to_owned()
        } else {
            quote(next)
        };
        self.bad(expected.to_owned(), found)
    }

    fn bad(&self, expected: String, found: String) -> Error {
        Error::BadLiteral {
            path: self.path.clone(),
            expected,
            found,
        }
    }
}

/// The beginning of `text` in quotes, for an error.
fn quote(text: &str) -> String {
    let begin: String = text.chars().take(40).collect();
    let dots = if begin.len() < text.len() { "…" } else { "" };
    format!("`{begin}{dots}`")
}

/// The smallest and the largest number of `bits` bits (at most 128).
fn range(bits: usize, signed: bool) -> (i128, u128) {
    let all = u128::MAX
        .checked_shr((bits::WIDEST - bits) as u32)
        .unwrap_or(0);
    if signed {
        let highest = all >> 1;
        (-highest.cast_signed() - 1, highest)
    } else {
        (0, all)
    }
}

/// Parses a decimal or hexadecimal number. `None` if it does not fit into `bits` bits.
fn number(word: &str, bits: usize, signed: bool) -> Option<u128> {
    let (lowest, highest) = range(bits.min(bits::WIDEST), signed);
    let (negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word),
    };
    let (radix, digits) = match digits.strip_prefix("0x") {
        Some(digits) => (16, digits),
        None => (10, digits),
    };
    let digits = digits.replace('_', "");
    // The parser of the standard library would accept a sign here.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = u128::from_str_radix(&digits, radix).ok()?;
    let most = if negative {
        lowest.unsigned_abs()
    } else {
        highest
    };
    let number = if negative {
        magnitude.wrapping_neg()
    } else {
        magnitude
    };
    (magnitude <= most).then_some(number)
}

/// Describes what a number or name of this type can be, for an error.
fn describe(ty: &Type, bits: usize) -> String {
    let whole = |signed| {
        let (lowest, highest) = range(bits.min(bits::WIDEST), signed);
        format!("a whole number from {lowest} to {highest}")
    };
    match &ty.shape {
        Shape::Bool => "`true` or `false`".to_owned(),
        Shape::Integer { signed } | Shape::Char { signed } => whole(*signed),
        Shape::Pointer => whole(false),
        Shape::Enum { signed, names } => {
            let names: Vec<_> = names.iter().map(|name| name.name.as_str()).collect();
            format!("{} or {}", listed(&names), whole(*signed))
        }
        Shape::Float if ty.size == 4 => format!("a number up to {:e}", f32::MAX),
        Shape::Float if ty.size == 8 => format!("a number up to {:e}", f64::MAX),
        Shape::Unknown if [1, 2, 4, 8, 16].contains(&ty.size) => {
            format!("`hex:` and {} bytes, or {}", ty.size, whole(false))
        }
        Shape::Float | Shape::Unknown => format!("`hex:` and {} bytes", ty.size),
        Shape::Array { len, .. } => format!("a list of {len} elements, in [ ]"),
        Shape::Struct { members } | Shape::Union { members } => {
            format!("{} in {{ }}", one_of(members))
        }
    }
}

fn one_of(members: &[Member]) -> String {
    let mut names = Vec::new();
    collect_names(members, &mut names);
    match listed(&names) {
        none if names.is_empty() => format!("no member{none}"),
        listed => format!("a member ({listed})"),
    }
}

/// Describes what `name` could mean if it is not a member: one of several members that share it.
fn one_like(members: &[Member], name: &str) -> String {
    let mut names = Vec::new();
    collect_names(members, &mut names);
    names.retain(|of| {
        of.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('#'))
    });
    match names.as_slice() {
        [] => one_of(members),
        _ => format!("one of several members ({})", listed(&names)),
    }
}

/// Lists some of the names, for an error.
fn listed(names: &[&str]) -> String {
    const MOST: usize = 8;
    let shown: Vec<_> = names
        .iter()
        .take(MOST)
        .map(|name| format!("`{name}`"))
        .collect();
    let mut list = shown.join(", ");
    if names.len() > MOST {
        // Writing to a string cannot fail.
        let _ = write!(list, " and {} more", names.len() - MOST);
    }
    list
}

fn collect_names<'ty>(members: &'ty [Member], names: &mut Vec<&'ty str>) {
    for member in members {
        match member.inner() {
            Some(members) => collect_names(members, names),
            None => names.push(&member.name),
        }
    }
}

/// The member with this name, and its bit offset.
fn find<'ty>(members: &'ty [Member], name: &str) -> Option<(usize, &'ty Member)> {
    members.iter().find_map(|member| match member.inner() {
        Some(inner) => {
            let (offset, found) = find(inner, name)?;
            Some((member.bit_offset + offset, found))
        }
        None => (member.name == name).then_some((member.bit_offset, member)),
    })
}

/// The members that are missing. `given` has the names of those that were specified.
fn missing(ty: &Type, given: &HashSet<&str>) -> Option<String> {
    let is_given = |member: &Member| {
        let mut names = Vec::new();
        collect_names(std::slice::from_ref(member), &mut names);
        names.iter().any(|name| given.contains(name))
    };
    let lacks = |member: &Member| match member.inner() {
        Some(_) => missing(&member.ty, given),
        None => (!given.contains(member.name.as_str())).then(|| format!("`{}`", member.name)),
    };
    match &ty.shape {
        Shape::Struct { members } => members.iter().find_map(lacks),
        Shape::Union { members } => {
            let chosen: Vec<_> = members.iter().filter(|member| is_given(member)).collect();
            let mut names = Vec::new();
            collect_names(members, &mut names);
            // A union can be empty.
            if chosen.is_empty() && !names.is_empty() {
                return Some(one_of(members));
            }
            chosen.into_iter().find_map(lacks)
        }
        _ => None,
    }
}

/// Whether an array of such elements can be written as text.
fn is_byte(element: &Type) -> bool {
    element.size == 1 && matches!(element.shape, Shape::Char { .. } | Shape::Integer { .. })
}

/// Parses a number that consists only of hexadecimal digits.
fn hex_number(digits: &str) -> Option<u16> {
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    are_digits.then(|| u16::from_str_radix(digits, 16).ok())?
}

/// Parses two hexadecimal digits.
fn hex_byte(digits: &str) -> Option<u8> {
    u8::try_from(hex_number(digits)?).ok()
}

/// Parses pairs of hexadecimal digits.
fn hex_bytes(digits: &[u8]) -> Option<Vec<u8>> {
    let pairs = digits.chunks(2).map(|pair| match pair {
        [_, _] => hex_byte(str::from_utf8(pair).ok()?),
        _ => None,
    });
    pairs.collect()
}

/// Parses the four digits after `\u`; returns the character and the text after it. A character
/// beyond U+FFFF is a pair of surrogates, `\ud83d\ude00`, as in JSON.
fn utf16(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| hex_number(text.get(..4)?);
    let first = unit(text)?;
    let (units, rest) = match text[4..].strip_prefix("\\u") {
        Some(second) if (0xd800..0xdc00).contains(&first) => {
            (vec![first, unit(second)?], &second[4..])
        }
        _ => (vec![first], &text[4..]),
    };
    let c = char::decode_utf16(units).next()?.ok()?;
    Some((c, rest))
}

/// Parses the quoted text at the beginning; returns its bytes and the text after it.
fn unquote(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut bytes = Vec::new();
    let mut rest = text.strip_prefix('"')?;
    loop {
        let mut chars = rest.chars();
        let c = chars.next()?;
        rest = chars.as_str();
        if c == '"' {
            return Some((bytes, rest));
        }
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escaped = chars.next()?;
        rest = chars.as_str();
        match escaped {
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'b' => bytes.push(0x08),
            'f' => bytes.push(0x0c),
            '0' => bytes.push(0),
            '\\' | '"' | '\'' | '/' => bytes.push(escaped as u8),
            'x' => {
                bytes.push(hex_byte(rest.get(..2)?)?);
                rest = &rest[2..];
            }
            'u' => {
                let (c, after) = match rest.strip_prefix('{') {
                    Some(digits) => {
                        let (digits, after) = digits.split_once('}')?;
                        let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                        (c, after)
                    }
                    None => utf16(rest)?,
                };
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
            }
            _ => return None,
        }
    }
}
