//! Making names that somebody else chose safe to show.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::charset::Charset;

/// `text` on one line, without anything that a terminal would act on: control characters become
/// escapes (`\n`, `\u{1b}`), bytes that are not UTF-8 and characters that the locale does not have
/// become `\xNN`.
pub(crate) fn escape(text: &OsStr) -> String {
    escape_in(Charset::of_output(), text)
}

pub(crate) fn escape_in(charset: Charset, text: &OsStr) -> String {
    let mut escaped = String::with_capacity(text.len());
    for chunk in text.as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if acts(c) {
                escaped.extend(c.escape_default());
            } else if charset.has(c) {
                escaped.push(c);
            } else {
                escaped += &hex(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        escaped += &hex(chunk.invalid());
    }
    escaped
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// Whether a character is a control character, breaks lines, is invisible, looks like a space, or
/// changes the direction of the text.
pub(crate) fn acts(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    pub(crate) fn config(cases: u32) -> ProptestConfig {
        ProptestConfig {
            cases,
            failure_persistence: None,
            ..ProptestConfig::default()
        }
    }

    /// Bytes, words, and what terminals act on.
    pub(crate) fn any_name() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<[u8; 8]>().prop_map(|bytes| bytes.to_vec()),
            any::<char>().prop_map(|c| c.to_string().into_bytes()),
            Just(b"word ".to_vec()),
            Just("日本".into()),
            Just(b"\x1b]0;owned\x07\n".to_vec()),
            Just("\u{202e}\u{9b}\u{2028}".into()),
        ];
        vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    /// Of all characters those that a terminal may act on or not show, by Unicode's own
    /// account: controls, separators but for the space, what turns the direction around, and
    /// what is to be ignored.
    const ACTIVE: &str = r"[\p{Cc}\p{Z}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}--\ ]";

    #[test]
    fn no_character_that_acts_is_left() {
        let all: String = ('\0'..=char::MAX).collect();
        let active = Regex::new(ACTIVE).expect("it is a regular expression");
        assert!(active.find_iter(&all).count() > 4_000);
        assert_eq!(
            active.find(&escape_in(Charset::Utf8, OsStr::new(&all))),
            None
        );
    }

    proptest! {
        #![proptest_config(config(2048))]

        #[test]
        fn what_is_escaped_is_harmless_and_harmless_text_is_not_escaped(name in any_name()) {
            let once = escaped(&name);
            prop_assert!(!once.chars().any(acts), "{}", once);
            prop_assert_eq!(escaped(once.as_bytes()), once);
            if let Ok(text) = str::from_utf8(&name)
                && !text.chars().any(acts)
            {
                prop_assert_eq!(escaped(&name), text);
            }
        }

        #[test]
        fn a_locale_without_utf_8_has_ascii_alone(name in any_name()) {
            let escaped = escape_in(Charset::Ascii, OsStr::from_bytes(&name));
            prop_assert!(escaped.chars().all(|c| matches!(c, ' '..='~')), "{}", escaped);
        }
    }

    fn escaped(bytes: &[u8]) -> String {
        escape_in(Charset::Utf8, OsStr::from_bytes(bytes))
    }

    #[test]
    fn what_a_terminal_acts_on_is_escaped() {
        assert_eq!(escaped(b"\x1b]0;owned\x07"), "\\u{1b}]0;owned\\u{7}");
        assert_eq!(escaped(b"a\nb\r\tc"), "a\\nb\\r\\tc");
        assert_eq!(escaped(b"\x7f"), "\\u{7f}");
        assert_eq!(escaped("\u{9b}31m".as_bytes()), "\\u{9b}31m");
        assert_eq!(escaped("\u{202e}txt".as_bytes()), "\\u{202e}txt");
    }

    #[test]
    fn letters_that_the_locale_does_not_have_are_escaped() {
        let name = OsStr::from_bytes(b"gr\xc3\xbcn \xff\n");
        assert_eq!(escape_in(Charset::Ascii, name), "gr\\xc3\\xbcn \\xff\\n");
    }

    #[test]
    fn all_else_is_left_as_it_is() {
        assert_eq!(
            escaped("grün \\d+ 'x' \"日本\"".as_bytes()),
            "grün \\d+ 'x' \"日本\""
        );
    }

    #[test]
    fn every_byte_comes_out_as_something_harmless() {
        let all: Vec<u8> = (0..=255).collect();
        let text = escaped(&all);
        assert!(!text.chars().any(acts), "{text}");
        assert!(text.contains("\\x80") && text.contains("\\xff"));
    }
}
