//! Operations of queues and stacks.

use super::access::{Access, Readable, Writable};
use super::kinds::Sequence;
use super::map::Map;
use super::value::private::Stored;
use crate::Result;
use crate::data::bytes;
use crate::raw::{Operation, UpdateMode};

/// Operations of [queues and stacks](Sequence).
impl<T: Sequence, A: Access> Map<T, A> {
    /// What [`pop`](Self::pop) would return. It stays.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`](crate::Error::Kernel).
    pub fn peek(&self) -> Result<Option<T::Item>>
    where
        A: Readable,
    {
        T::Item::read(self.raw().sizes().value, |value| {
            self.raw().lookup(Operation::PEEK, &[], value, 0)
        })
    }

    /// Removes and returns the oldest value of a queue, or the newest of a stack.
    ///
    /// # Errors
    ///
    /// [`Error::Frozen`](crate::Error::Frozen) or [`Error::Kernel`](crate::Error::Kernel).
    pub fn pop(&self) -> Result<Option<T::Item>>
    where
        A: Readable + Writable,
    {
        T::Item::read(self.raw().sizes().value, |value| {
            self.raw().take(Operation::POP, &[], value, 0)
        })
    }

    /// Adds `value`.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full), [`Error::Frozen`](crate::Error::Frozen) or
    /// [`Error::Kernel`](crate::Error::Kernel).
    pub fn push(&self, value: &T::Item) -> Result<()>
    where
        A: Writable,
    {
        self.push_with(value, UpdateMode::Any)
    }

    /// Adds `value`. Where there is no room, the oldest value makes some.
    ///
    /// # Errors
    ///
    /// [`Error::Frozen`](crate::Error::Frozen) or [`Error::Kernel`](crate::Error::Kernel).
    pub fn push_over(&self, value: &T::Item) -> Result<()>
    where
        A: Writable,
    {
        // This is what `BPF_EXIST` means here.
        self.push_with(value, UpdateMode::IfPresent)
    }

    fn push_with(&self, value: &T::Item, mode: UpdateMode) -> Result<()> {
        bytes::with_bytes(value, |value| {
            self.raw().update(Operation::PUSH, &[], value, mode, 0)
        })
        .map(drop)
    }
}
