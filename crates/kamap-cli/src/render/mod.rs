//! Rendering that several commands share: from what the library says to what is shown.

mod canvas;
mod cells;
mod charset;
mod color;
mod column;
mod command;
mod counts;
mod duration;
mod escape;
mod gap;
mod group;
mod json;
mod keys;
mod quote;
mod status;
mod terminal;
mod tree;

pub(crate) use canvas::{Canvas, help_lines};
pub(crate) use cells::Cells;
pub(crate) use charset::Charset;
pub(crate) use color::{Colors, Style};
pub(crate) use column::{Column, columns};
pub(crate) use command::attempted_command;
pub(crate) use counts::{attached, counted, losses};
pub(crate) use duration::duration;
pub(crate) use escape::{acts, escape, escape_in};
pub(crate) use gap::{date_and_time, gap_line, gap_text};
pub(crate) use group::{group_heading, group_member, group_name, group_text, number_lines};
pub(crate) use json::json_line;
pub(crate) use keys::Key;
pub(crate) use quote::quote;
pub(crate) use status::status;
pub(crate) use terminal::{clip, cut, is_screen, terminal_size};
pub(crate) use tree::tree_lines;

pub(crate) use kamap::json::VERSION;

#[cfg(test)]
pub(crate) use escape::tests::{any_name, config};
