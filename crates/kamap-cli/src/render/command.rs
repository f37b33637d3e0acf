//! A process's command line.

use std::ffi::OsStr;
use std::iter;
use std::path::Path;

use kamap::{Origin, Process};

use super::charset::Charset;
use super::escape::escape_in;
use super::quote::quote;

/// The arguments; of a process without arguments the executable, or else its name.
pub(crate) fn command(charset: Charset, process: &Process) -> String {
    if process.kernel_thread {
        return format!(
            "[{}]",
            escape_in(charset, OsStr::new(process.comm().as_ref()))
        );
    }
    let mut args: Vec<_> = process.args().collect();
    let has_words = args.iter().any(|arg| !arg.is_empty());
    // Left over where a process wrote its title over its arguments. ps does not show it either.
    if process.origin == Origin::Seed && has_words {
        while args.pop_if(|arg| arg.is_empty()).is_some() {}
    }
    let mut text = quote(charset, args);
    // Without words: the executable, or else the name. Parentheses in arguments would be quoted.
    if !has_words {
        let comm = process.comm();
        let what = process.exe().map_or(OsStr::new(&*comm), Path::as_os_str);
        let space = if text.is_empty() { "" } else { " " };
        text += &format!("{space}({})", escape_in(charset, what));
    }
    if process.args_cut {
        text += charset.cut();
    }
    text
}

/// What a failed exec was to execute: the file, which the arguments need not name, and the arguments
/// after the first.
pub(crate) fn attempted_command(charset: Charset, process: &Process) -> String {
    let file = process.file().map(Path::as_os_str).unwrap_or_default();
    let mut words = quote(charset, iter::once(file).chain(process.args().skip(1)));
    if process.args_cut {
        words += charset.cut();
    }
    words
}
