//! Colours, where they are wanted.

use std::borrow::Cow;
use std::env;

use clap::ColorChoice;

/// What a text is to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Heading,
    /// Has just come.
    New,
    /// Has just gone.
    Gone,
    /// Has ended, and is not reaped.
    Ended,
    /// A thread of the kernel.
    Kernel,
    /// Has failed.
    Failed,
    /// Tells of a loss.
    Lost,
}

impl Style {
    /// What a terminal is sent for it (SGR).
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Heading => "1",
            Self::New => "32",
            Self::Gone | Self::Failed => "31",
            Self::Ended => "35",
            Self::Kernel => "90",
            Self::Lost => "1;31",
        }
    }
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colors(bool);

impl Colors {
    pub(crate) const NONE: Self = Self(false);

    /// As was asked for. Without a choice: on a terminal, unless `NO_COLOR` is set.
    pub(crate) fn of(choice: ColorChoice, on_terminal: bool) -> Self {
        Self::chosen(choice, on_terminal, |name| {
            env::var(name).ok().filter(|value| !value.is_empty())
        })
    }

    fn chosen(
        choice: ColorChoice,
        on_terminal: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        Self(match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let is_dumb = variable("TERM").is_none_or(|term| term == "dumb");
                on_terminal && !is_dumb && variable("NO_COLOR").is_none()
            }
        })
    }

    /// Whether there are any.
    pub(crate) fn any(self) -> bool {
        self.0
    }

    /// `text` in this style.
    pub(crate) fn paint(self, style: Style, text: &str) -> Cow<'_, str> {
        let code = style.code();
        match self.0 && !code.is_empty() && !text.is_empty() {
            true => Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m")),
            false => Cow::Borrowed(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::terminal(ColorChoice::Auto, true, &[("TERM", "xterm")], true)]
    #[case::pipe(ColorChoice::Auto, false, &[("TERM", "xterm")], false)]
    #[case::dumb(ColorChoice::Auto, true, &[("TERM", "dumb")], false)]
    #[case::no_term(ColorChoice::Auto, true, &[], false)]
    #[case::no_color(ColorChoice::Auto, true, &[("TERM", "xterm"), ("NO_COLOR", "1")], false)]
    #[case::never(ColorChoice::Never, true, &[("TERM", "xterm")], false)]
    #[case::always(ColorChoice::Always, false, &[("NO_COLOR", "1")], true)]
    fn colours_are_for_terminals_unless_somebody_says_otherwise(
        #[case] choice: ColorChoice,
        #[case] on_terminal: bool,
        #[case] set: &[(&str, &str)],
        #[case] colors: bool,
    ) {
        let variable = |name: &str| set.iter().find(|(set, _)| *set == name);
        let value = |name: &str| variable(name).map(|(_, value)| (*value).to_owned());
        assert_eq!(Colors::chosen(choice, on_terminal, value).any(), colors);
    }

    #[test]
    fn what_is_painted_is_plain_again_after_it() {
        assert_eq!(Colors(true).paint(Style::New, "x"), "\x1b[32mx\x1b[0m");
        assert_eq!(Colors(true).paint(Style::Plain, "x"), "x");
        assert_eq!(Colors(true).paint(Style::New, ""), "");
        assert_eq!(Colors::NONE.paint(Style::New, "x"), "x");
    }
}
