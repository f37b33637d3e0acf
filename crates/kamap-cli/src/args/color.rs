//! Whether output is coloured.

use clap::ColorChoice;

use crate::render::Colors;

/// The option that says whether output is coloured.
#[derive(Debug, clap::Args)]
pub(crate) struct ColorArgs {
    /// When to use colours. `auto`: on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    color: ColorChoice,
}

impl ColorArgs {
    /// The colours of what goes to a terminal, or elsewhere.
    pub(crate) fn colors(&self, on_terminal: bool) -> Colors {
        Colors::of(self.color, on_terminal)
    }
}
