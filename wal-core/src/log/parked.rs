//! What the state knows about the background threads: which sleep, and until when.

use std::time::Duration;

/// A background thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Syncer,
    Keeper,
}

/// A piece of the keeper's work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Maintenance {
    #[default]
    SyncRotated,
    Extend,
    MakeSpare,
    Seal,
    GiveBack,
    Retire,
    Stamp,
    WriteAhead,
}

/// What a background thread is doing, so that no thread is woken without need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Park {
    /// At work: it reads the state again before it sleeps.
    #[default]
    Awake,
    /// Asleep until this time.
    Until(Duration),
    /// Asleep until it is woken.
    Idle,
}

impl Park {
    /// Whether it would sleep past `deadline`.
    pub(crate) fn misses(self, deadline: Option<Duration>) -> bool {
        match (self, deadline) {
            (Self::Awake, _) | (_, None) => false,
            (Self::Idle, Some(_)) => true,
            (Self::Until(end), Some(deadline)) => deadline < end,
        }
    }
}

/// The background threads and the leaders that sleep.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    pub(crate) writer: Park,
    pub(crate) syncer: Park,
    pub(crate) keeper: Park,
    pub(crate) leaders: usize,
}

impl Parked {
    pub(crate) fn of(&self, role: Role) -> Park {
        match role {
            Role::Writer => self.writer,
            Role::Syncer => self.syncer,
            Role::Keeper => self.keeper,
        }
    }

    pub(crate) fn of_mut(&mut self, role: Role) -> &mut Park {
        match role {
            Role::Writer => &mut self.writer,
            Role::Syncer => &mut self.syncer,
            Role::Keeper => &mut self.keeper,
        }
    }
}
