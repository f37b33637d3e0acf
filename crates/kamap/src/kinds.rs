//! Kinds of events.

use std::ops::BitOr;

use crate::skel::types::kamap_event_kind;

/// Which kinds of events to tell of. They add up: `Kinds::EXEC | Kinds::EXIT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kinds(pub(crate) u32);

impl Kinds {
    /// A process has started.
    pub const FORK: Self = Self(kamap_event_kind::KAMAP_EVENT_FORK.0);
    /// A process has exec'd.
    pub const EXEC: Self = Self(kamap_event_kind::KAMAP_EVENT_EXEC.0);
    /// A process has ended.
    pub const EXIT: Self = Self(kamap_event_kind::KAMAP_EVENT_EXIT.0);
    /// An exec has failed. As long as this is asked for, every system call of the machine
    /// takes a little longer, for their ends are looked at. Before Linux 5.17 at most 256
    /// arguments are kept, or fewer where some are longer than 511 bytes: each such piece counts.
    /// On x86-64 only.
    pub const EXEC_FAILED: Self = Self(kamap_event_kind::KAMAP_EVENT_EXEC_FAILED.0);
    /// What makes up a life: fork, exec and exit.
    pub const LIFE: Self = Self(Self::FORK.0 | Self::EXEC.0 | Self::EXIT.0);
    /// All of them.
    pub const ALL: Self = Self(Self::LIFE.0 | Self::EXEC_FAILED.0);

    /// Their names, as in `--kind` and in JSON.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (Self::FORK, "fork"),
            (Self::EXEC, "exec"),
            (Self::EXEC_FAILED, "exec_failed"),
            (Self::EXIT, "exit"),
        ];
        let there_are = all
            .into_iter()
            .filter(move |(kind, _)| self.contains(*kind));
        there_are.map(|(_, name)| name)
    }

    /// Whether all of `others` are among these.
    pub fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

impl BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
