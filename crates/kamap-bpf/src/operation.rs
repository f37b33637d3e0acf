//! What is done with a map, and what the kernel's answers to it mean.

/// An operation, as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    /// Whether a frozen map refuses it.
    pub(super) writes: bool,
    /// The Linux version that has it for all kinds that offer it, where that is
    /// newer than the oldest that kamap supports.
    pub(super) since: Option<&'static str>,
}

const fn reads(name: &'static str) -> Operation {
    Operation {
        name,
        writes: false,
        since: None,
    }
}

const fn writes(name: &'static str) -> Operation {
    Operation {
        writes: true,
        ..reads(name)
    }
}

impl Operation {
    pub(super) const LOOK_UP: Self = reads("look up");
    pub(super) const NEXT_KEY: Self = reads("find the next key");
    pub(super) const READ_BATCH: Self = reads("read a batch");
    pub(super) const READ_MAPS: Self = Self {
        since: Some("5.19"),
        ..reads("read a batch")
    };
    pub(super) const PEEK: Self = reads("peek");
    pub(super) const INSERT: Self = writes("insert");
    pub(super) const REMOVE: Self = writes("remove");
    pub(super) const TAKE: Self = writes("take");
    pub(super) const TAKE_BATCH: Self = writes("take a batch");
    pub(super) const INSERT_BATCH: Self = writes("insert a batch");
    pub(super) const REMOVE_BATCH: Self = writes("remove a batch");
    pub(super) const PUSH: Self = writes("push");
    pub(super) const POP: Self = writes("pop");
    pub(super) const CLONE: Self = reads("duplicate the file descriptor");
    pub(super) const FREEZE: Self = writes("freeze");
}
