//! Rendering that several commands share: from what the library says to what is shown.

mod cells;
mod charset;
mod column;
mod command;
mod counts;
mod duration;
mod escape;
mod json;
mod quote;
mod status;
mod terminal;
mod tree;

pub(crate) use cells::Cells;
pub(crate) use charset::Charset;
pub(crate) use column::{Column, columns};
pub(crate) use command::attempted_command;
pub(crate) use counts::{attached, counted, losses};
pub(crate) use duration::duration;
pub(crate) use escape::escape;
pub(crate) use json::json_line;
pub(crate) use quote::quote;
pub(crate) use status::status;
pub(crate) use terminal::{cut, terminal_size};
pub(crate) use tree::tree_lines;

pub(crate) use kamap::json::VERSION;

#[cfg(test)]
pub(crate) use escape::{
    escape_in,
    tests::{any_name, config},
};
