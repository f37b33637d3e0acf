//! Which characters text for people can have.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

/// The characters that the terminal, or another reader of text, is assumed to understand. JSON is
/// always UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charset {
    Ascii,
    Utf8,
}

impl Charset {
    /// The characters of the locale in which kamap runs.
    pub(crate) fn of_output() -> Self {
        static OF_OUTPUT: OnceLock<Charset> = OnceLock::new();
        *OF_OUTPUT.get_or_init(|| Self::of_locale(|name| env::var_os(name)))
    }

    /// The locale is the first of these variables that is set and not empty. If none is, POSIX does not
    /// define it. A service or container without these variables rarely means that its output cannot be
    /// UTF-8.
    fn of_locale(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let names = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter();
        let mut locales = names
            .filter_map(variable)
            .filter(|locale| !locale.is_empty());
        let Some(locale) = locales.next() else {
            return Self::Utf8;
        };
        // language_TERRITORY.charset@modifier
        let parts = locale.as_bytes().splitn(2, |&byte| byte == b'.');
        let charset = parts.skip(1).flatten().take_while(|byte| **byte != b'@');
        let charset: Vec<_> = charset
            .filter(|byte| **byte != b'-')
            .map(u8::to_ascii_lowercase)
            .collect();
        if charset == b"utf8" {
            Self::Utf8
        } else {
            Self::Ascii
        }
    }

    pub(crate) fn has(self, c: char) -> bool {
        self == Self::Utf8 || c.is_ascii()
    }

    /// Shown where text was truncated.
    pub(crate) fn cut(self) -> &'static str {
        match self {
            Self::Ascii => "...",
            Self::Utf8 => "…",
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing(&[], Charset::Utf8)]
    #[case::empty(&[("LC_ALL", ""), ("LANG", "")], Charset::Utf8)]
    #[case::c(&[("LC_ALL", "C")], Charset::Ascii)]
    #[case::posix(&[("LANG", "POSIX")], Charset::Ascii)]
    #[case::c_with_utf_8(&[("LANG", "C.UTF-8")], Charset::Utf8)]
    #[case::another_spelling(&[("LANG", "de_DE.utf8@euro")], Charset::Utf8)]
    #[case::no_charset(&[("LANG", "de_DE")], Charset::Ascii)]
    #[case::another_charset(&[("LANG", "de_DE.ISO-8859-1")], Charset::Ascii)]
    #[case::all_goes_first(&[("LC_ALL", "C"), ("LC_CTYPE", "C.UTF-8"), ("LANG", "C.UTF-8")], Charset::Ascii)]
    #[case::the_type_goes_before_the_language(&[("LC_CTYPE", "C"), ("LANG", "C.UTF-8")], Charset::Ascii)]
    #[case::an_empty_one_does_not_count(&[("LC_ALL", ""), ("LANG", "C")], Charset::Ascii)]
    fn the_locale_decides(#[case] set: &[(&str, &str)], #[case] charset: Charset) {
        let variable = |name: &str| set.iter().find(|(set, _)| *set == name);
        let value = |name: &str| variable(name).map(|(_, value)| value.into());
        assert_eq!(Charset::of_locale(value), charset);
    }
}
