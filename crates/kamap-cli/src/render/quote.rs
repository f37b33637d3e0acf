//! Command lines as text that a shell reads back.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use shell_quote::{Bash, QuoteRefExt};

use super::charset::Charset;
use super::escape::acts;

/// Words of bash's grammar where it expects a command. Those that have other characters than letters
/// are quoted anyway.
const RESERVED: [&str; 17] = [
    "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in",
    "select", "then", "time", "until", "while",
];

/// `args` with spaces between them, each quoted where bash needs it: pasted there, they are the same
/// arguments again, so that no two command lines have the same text. Nothing is left that a terminal
/// would act on or that the locale does not have, and a mark after it that says that arguments are
/// truncated ([`Charset::cut`]) cannot be taken for one of them.
pub(crate) fn quote<'a>(charset: Charset, args: impl IntoIterator<Item = &'a OsStr>) -> String {
    let words = args.into_iter().enumerate();
    let words: Vec<_> = words.map(|(at, arg)| word(charset, arg, at == 0)).collect();
    words.join(" ")
}

fn word(charset: Charset, arg: &OsStr, first: bool) -> String {
    let bytes = arg.as_bytes();
    let Some(text) = str::from_utf8(bytes)
        .ok()
        .filter(|text| shows(charset, text))
    else {
        return bytes.quoted(Bash);
    };
    if is_plain(text, first) && !text.ends_with(charset.cut()) {
        text.to_owned()
    } else if text.chars().any(|c| c == '\'' || c.is_control()) {
        text.quoted(Bash)
    } else {
        // Easier to read than the library's `$'…'`.
        format!("'{text}'")
    }
}

/// Whether the library would leave nothing in `text` that a terminal acts on or that the locale does not
/// have: it escapes only ASCII.
fn shows(charset: Charset, text: &str) -> bool {
    let shows = |c: char| c.is_ascii() || (charset.has(c) && !acts(c));
    text.chars().all(shows)
}

/// Whether every shell reads `text` as one plain word. The library quotes more than needed: each `=`, as
/// in `--color=always`.
fn is_plain(text: &str, first: bool) -> bool {
    let harmless = |c: char| c.is_alphanumeric() || "_-./,:+@%=".contains(c);
    let is_command = !text.contains('=') && !RESERVED.contains(&text);
    !text.is_empty() && text.chars().all(harmless) && (!first || is_command)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use proptest::collection::vec;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::escape::tests::{any_name, config};
    use super::*;

    fn quoted_in(charset: Charset, args: &[impl AsRef<[u8]>]) -> String {
        let args = args.iter().map(|arg| OsStr::from_bytes(arg.as_ref()));
        quote(charset, args)
    }

    fn quoted(args: &[impl AsRef<[u8]>]) -> String {
        quoted_in(Charset::Utf8, args)
    }

    #[rstest]
    #[case::ordinary(&["cc", "-O2", "-DN=1", "a,b", "../x_y.c", "u@h:~", "50%"], "cc -O2 -DN=1 a,b ../x_y.c 'u@h:~' 50%")]
    #[case::letters(&["grün", "日本"], "grün 日本")]
    #[case::empty(&["", ""], "'' ''")]
    #[case::spaces(&["sh", "-c", "exit 3"], "sh -c 'exit 3'")]
    #[case::backslash(&["a\\b"], "'a\\b'")]
    #[case::quotes(&["it's", "\"x\""], "$'it\\'s' '\"x\"'")]
    #[case::controls(&["a\nb", "\x1b[31m"], "$'a\\nb' $'\\e[31m'")]
    #[case::direction(&["\u{202e}txt"], "$'\\xE2\\x80\\xAEtxt'")]
    #[case::ellipsis(&["…"], "'…'")]
    #[case::assignment(&["A=1", "A=1"], "'A=1' A=1")]
    #[case::grammar(&["time", "time"], "'time' time")]
    #[case::history(&["x!y", "it's!"], "'x!y' $'it\\'s!'")]
    fn arguments_are_quoted_where_a_shell_needs_that(#[case] args: &[&str], #[case] text: &str) {
        assert_eq!(quoted(args), text);
    }

    #[rstest]
    #[case::letters(&["grün"], "$'gr\\xC3\\xBCn'")]
    #[case::ellipsis(&["./...", "a..b"], "'./...' a..b")]
    fn a_locale_without_utf_8_has_ascii(#[case] args: &[&str], #[case] text: &str) {
        assert_eq!(quoted_in(Charset::Ascii, args), text);
    }

    #[test]
    fn bytes_that_are_no_text_are_escaped() {
        assert_eq!(quoted(&[b"\xff\x80a"]), "$'\\xFF\\x80a'");
    }

    #[test]
    fn all_words_of_the_grammar_of_bash_are_known() {
        let words = duct::cmd!("bash", "-c", "compgen -k")
            .read()
            .expect("it runs");
        assert!(words.contains("while"));
        for word in words.lines() {
            assert_eq!(quoted(&[word]), format!("'{word}'"));
        }
    }

    /// The arguments that bash makes of `text`, typed as after a prompt, where `!` is special
    /// as well.
    fn pasted(text: &str, locale: &str) -> Vec<Vec<u8>> {
        let mut bash = Command::new("bash")
            .arg("--norc")
            .env("LC_ALL", locale)
            .env("HISTFILE", "")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stdin = bash.stdin.take().expect("it is piped");
        write!(
            stdin,
            "set -o history -o histexpand\nprintf '%s\\0' {text}\n"
        )
        .expect("it reads");
        drop(stdin);
        let printed = bash.wait_with_output().expect("it ends").stdout;
        let mut args: Vec<_> = printed
            .split(|byte| *byte == 0)
            .map(<[u8]>::to_vec)
            .collect();
        assert_eq!(args.pop(), Some(Vec::new()), "each is terminated");
        args
    }

    /// Whatever an argument can be.
    fn any_arg() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any_name(),
            "[ -~\t\n]{0,4}".prop_map(String::into_bytes),
            prop_oneof!["…", "'", "\\\\", "!", "~", "=", "time"].prop_map(String::into_bytes),
        ];
        vec(piece, 0..3).prop_map(|pieces| {
            let mut arg = pieces.concat();
            arg.retain(|byte| *byte != 0);
            arg
        })
    }

    fn any_charset() -> impl Strategy<Value = Charset> {
        prop_oneof![Just(Charset::Ascii), Just(Charset::Utf8)]
    }

    proptest! {
        #![proptest_config(config(192))]

        #[test]
        fn what_is_pasted_is_what_was_executed(
            args in vec(any_arg(), 1..6),
            locale in prop_oneof![Just("C"), Just("C.UTF-8")],
            charset in any_charset(),
        ) {
            let text = quoted_in(charset, &args);
            prop_assert_eq!(pasted(&text, locale), args, "{}", text);
        }
    }

    proptest! {
        #![proptest_config(config(4096))]

        #[test]
        fn different_command_lines_have_different_texts(
            one in vec("[a '\\\\…=$]{0,3}", 0..4),
            other in vec("[a '\\\\…=$]{0,3}", 0..4),
            charset in any_charset(),
        ) {
            let same = quoted_in(charset, &one) == quoted_in(charset, &other);
            prop_assert_eq!(same, one == other);
        }

        #[test]
        fn quoted_arguments_are_harmless(args in vec(any_arg(), 0..4), charset in any_charset()) {
            let text = quoted_in(charset, &args);
            prop_assert!(!text.chars().any(acts), "{}", text);
            prop_assert!(text.chars().all(|c| charset.has(c)), "{}", text);
        }

        #[test]
        fn a_mark_behind_a_command_line_is_no_argument(
            args in vec("[a .…]{0,4}", 0..4),
            charset in any_charset(),
        ) {
            prop_assert!(!quoted_in(charset, &args).ends_with(charset.cut()));
        }
    }
}
