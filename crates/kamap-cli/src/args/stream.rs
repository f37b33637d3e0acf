//! The arguments of the commands that print events.

use kamap::{Builder, Kinds};

/// The arguments of the commands that print events.
#[derive(Debug, clap::Args)]
pub(crate) struct StreamArgs {
    /// Which events to print (separated by commas)
    ///
    /// `exec_failed` makes every system call of the machine a little slower, because it runs when one
    /// returns. Before Linux 5.17 it keeps at most 256 arguments. The file and arguments of an exec that
    /// fails past the point of no return need Linux 6.10.
    #[arg(
        short,
        long,
        value_name = "KIND",
        value_delimiter = ',',
        default_value = "exec,exit"
    )]
    kind: Vec<Kind>,

    /// How many bytes of arguments an event can hold; longer ones are truncated and counted
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(..=131_072))]
    max_args: u32,

    /// Size in bytes of the ring in which events wait to be printed: a power of two [default: 4194304]
    #[arg(long, value_name = "BYTES", value_parser = ring_size)]
    ring_size: Option<u32>,
}

impl StreamArgs {
    /// The kinds of events to print.
    pub(crate) fn kinds(&self) -> Kinds {
        let kinds = self.kind.iter().map(|kind| match kind {
            Kind::Fork => Kinds::FORK,
            Kind::Exec => Kinds::EXEC,
            Kind::ExecFailed => Kinds::EXEC_FAILED,
            Kind::Exit => Kinds::EXIT,
        });
        kinds.fold(Kinds::default(), |all, kind| all | kind)
    }

    /// Sets up the size of the ring and of its events.
    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        let builder = builder.max_args(self.max_args);
        match self.ring_size {
            Some(bytes) => builder.ring_size(bytes),
            None => builder,
        }
    }
}

/// A kind of event.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    Fork,
    Exec,
    #[value(name = "exec_failed")]
    ExecFailed,
    Exit,
}

pub(crate) fn ring_size(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(bytes) if bytes.is_power_of_two() && bytes >= 4096 => Ok(bytes),
        _ => Err("must be a power of two, 4096 to 2147483648".to_owned()),
    }
}
