//! Queues and stacks.

use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::ptr;

use super::map::is;
use super::map::private::{Sealed, Stored};
use super::operation::Operation;
use super::{
    Access, Creatable, Error, Kind, Layout, Map, MapData, Readable, Result, Writable, encode, sys,
};

/// First in, first out (`BPF_MAP_TYPE_QUEUE`, Linux 4.20).
#[derive(Debug)]
pub struct Queue<V>(PhantomData<fn() -> V>);

/// Last in, first out (`BPF_MAP_TYPE_STACK`, Linux 4.20).
#[derive(Debug)]
pub struct Stack<V>(PhantomData<fn() -> V>);

/// [`Queue`] and [`Stack`]. They have no keys, and cannot be walked:
///
/// ```compile_fail,E0599
/// fn count(map: &kamap_bpf::Map<kamap_bpf::Queue<u64>>) -> usize {
///     map.iter().count()
/// }
/// ```
///
/// ```
/// fn count(map: &kamap_bpf::Map<kamap_bpf::Queue<u64>>) -> usize {
///     std::iter::from_fn(|| map.pop().unwrap()).count()
/// }
/// ```
pub trait Sequence: Kind {
    /// What is pushed and popped.
    type Item: MapData;
}

macro_rules! sequences {
    ($($kind:ident: $number:ident;)*) => {
        $(
            impl<V: MapData> Sealed for $kind<V> {}

            impl<V: MapData> Kind for $kind<V> {
                const TYPE: u32 = libbpf_sys::$number;
                const KEY: Option<&'static Layout> = None;
                const VALUE: &'static Layout = V::LAYOUT;
                const KEEPS_BTF: bool = false;
            }

            impl<V: MapData> Sequence for $kind<V> {
                type Item = V;
            }

            impl<V: MapData> Creatable for $kind<V> {}
        )*
    };
}

sequences! {
    Queue: BPF_MAP_TYPE_QUEUE;
    Stack: BPF_MAP_TYPE_STACK;
}

/// Operations of [queues and stacks](Sequence).
impl<T: Sequence, A: Access> Map<T, A> {
    /// What [`pop`](Self::pop) would return; it stays.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`].
    pub fn peek(&self) -> Result<Option<T::Item>>
    where
        A: Readable,
    {
        // SAFETY: `from_fd` has compared the size of the value; there is no key.
        let answer =
            unsafe { T::Item::read(1, |value| sys::lookup(self.as_fd(), ptr::null(), value, 0)) };
        self.found(Operation::PEEK, answer)
    }

    /// Takes out the oldest of a queue, or the newest of a stack.
    ///
    /// # Errors
    ///
    /// [`Error::Frozen`] or [`Error::Kernel`].
    pub fn pop(&self) -> Result<Option<T::Item>>
    where
        A: Readable + Writable,
    {
        // SAFETY: as in `peek`.
        let answer =
            unsafe { T::Item::read(1, |value| sys::take(self.as_fd(), ptr::null(), value, 0)) };
        self.found(Operation::POP, answer)
    }

    /// Puts `value` in.
    ///
    /// # Errors
    ///
    /// [`Error::Full`], [`Error::Frozen`] or [`Error::Kernel`].
    pub fn push(&self, value: &T::Item) -> Result<()>
    where
        A: Writable,
    {
        self.push_with(value, libbpf_sys::BPF_ANY)
    }

    /// Puts `value` in; where there is no room, the oldest makes some.
    ///
    /// # Errors
    ///
    /// [`Error::Frozen`] or [`Error::Kernel`].
    pub fn push_over(&self, value: &T::Item) -> Result<()>
    where
        A: Writable,
    {
        self.push_with(value, libbpf_sys::BPF_EXIST)
    }

    fn push_with(&self, value: &T::Item, flags: u32) -> Result<()> {
        let answer = encode::with_bytes(value, |value| {
            // SAFETY: as in `peek`.
            unsafe { sys::update(self.as_fd(), ptr::null(), value, u64::from(flags)) }
        });
        answer.map_err(|err| {
            if is(&err, libc::E2BIG) {
                Error::Full {
                    map: self.name().to_owned(),
                    max_entries: self.max_entries(),
                }
            } else {
                self.error(Operation::PUSH, err)
            }
        })
    }
}
