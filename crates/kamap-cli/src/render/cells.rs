//! The text of a process in a column.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use kamap::{FieldValue, ProcessAt};
use uzers::{Users, UsersCache};

use super::charset::Charset;
use super::column::Column;
use super::command::command;
use super::duration::duration;
use super::escape::escape_in;
use super::quote::quote;
use super::status::status;

/// Renders the cells of columns; remembers the names of users.
pub(crate) struct Cells {
    charset: Charset,
    users: RefCell<UsersCache>,
}

impl Cells {
    /// Cells of these characters.
    pub(crate) fn new(charset: Charset) -> Self {
        Self {
            charset,
            users: RefCell::default(),
        }
    }

    /// The characters of the cells.
    pub(crate) fn charset(&self) -> Charset {
        self.charset
    }

    /// What `column` shows of a process, on one line. Empty where there is nothing to show.
    pub(crate) fn text(&self, column: Column, of: &ProcessAt<'_>) -> String {
        match column {
            Column::Field(field) => self.value(field.value(of)),
            Column::User => self.user(of.process.uid),
            Column::Command => command(self.charset, of.process),
            Column::Status => of.exit.map(status).unwrap_or_default(),
            // Only a table knows other processes.
            Column::Descendants | Column::TreeExecs => String::new(),
        }
    }

    fn value(&self, value: FieldValue<'_>) -> String {
        match value {
            FieldValue::Number(number) => number.to_string(),
            FieldValue::Flag(true) => "yes".to_owned(),
            FieldValue::Flag(false) => "no".to_owned(),
            FieldValue::Text(bytes) => self.name(&String::from_utf8_lossy(&bytes)),
            FieldValue::Texts(texts) => {
                quote(self.charset, texts.into_iter().map(OsStr::from_bytes))
            }
            FieldValue::Span(span) => duration(span),
            FieldValue::Process { pid, .. } => pid.to_string(),
            // It depends on the clock, which a table has.
            _ => String::new(),
        }
    }

    /// A name that somebody else chose.
    pub(crate) fn name(&self, name: &str) -> String {
        escape_in(self.charset, OsStr::new(name))
    }

    /// The name of a user, or the number of one without a name.
    pub(crate) fn user(&self, uid: u32) -> String {
        let users = self.users.borrow();
        match users.get_user_by_uid(uid) {
            Some(user) => escape_in(self.charset, user.name()),
            None => uid.to_string(),
        }
    }
}
