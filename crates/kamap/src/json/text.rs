//! Text that need not be UTF-8.

use std::fmt::Write;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Adds `name` to an object, and `name_hex` with the exact bytes where some are not UTF-8.
pub(super) fn entry<M: SerializeMap>(
    map: &mut M,
    name: &str,
    bytes: &[u8],
) -> Result<(), M::Error> {
    map.serialize_entry(name, &String::from_utf8_lossy(bytes))?;
    match str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(_) => map.serialize_entry(&format!("{name}_hex"), &hex(bytes)),
    }
}

/// Adds the list `name` to an object, and `name_hex` with all of it where one text is not UTF-8.
pub(super) fn entries<M: SerializeMap>(
    map: &mut M,
    name: &str,
    texts: &[&[u8]],
) -> Result<(), M::Error> {
    let shown: Vec<_> = texts
        .iter()
        .map(|bytes| String::from_utf8_lossy(bytes))
        .collect();
    map.serialize_entry(name, &shown)?;
    match texts.iter().all(|bytes| str::from_utf8(bytes).is_ok()) {
        true => Ok(()),
        false => {
            let exact: Vec<_> = texts.iter().map(|bytes| hex(bytes)).collect();
            map.serialize_entry(&format!("{name}_hex"), &exact)
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        // Writing to a string does not fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// A name that the kernel has for a process, as `comm` of the object around it.
#[derive(Debug)]
pub(super) struct Comm<'a>(pub(super) &'a [u8]);

impl Serialize for Comm<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        entry(&mut map, "comm", self.0)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::tests::{any_name, config};
    use super::*;

    fn bytes(digits: &str) -> Vec<u8> {
        let digit = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
        (0..digits.len()).step_by(2).map(digit).collect()
    }

    proptest! {
        #![proptest_config(config(2048))]

        #[test]
        fn exact_bytes_follow_where_some_were_replaced(name in any_name()) {
            let object = serde_json::to_value(Comm(&name))?;
            let comm = object["comm"].as_str().expect("it is text");
            let exact = object.get("comm_hex").and_then(Value::as_str);
            prop_assert_eq!(exact.is_some(), comm.as_bytes() != name);
            let exact = exact.map_or(comm.as_bytes().to_vec(), bytes);
            prop_assert_eq!(exact, name);
        }
    }

    /// The list of arguments, as an object.
    struct Args<'a>(&'a [&'a [u8]]);

    impl Serialize for Args<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            entries(&mut map, "args", self.0)?;
            map.end()
        }
    }

    #[test]
    fn all_arguments_have_their_exact_bytes_where_one_was_replaced() {
        let json = |args: &[&[u8]]| serde_json::to_string(&Args(args)).expect("it has text keys");
        assert_eq!(json(&[b"a", "ä".as_bytes()]), r#"{"args":["a","ä"]}"#);
        let replaced = "{\"args\":[\"a\",\"\u{fffd}\",\"\"],\"args_hex\":[\"61\",\"ff\",\"\"]}";
        assert_eq!(json(&[b"a", b"\xff", b""]), replaced);
    }
}
