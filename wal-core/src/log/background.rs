//! What the state knows about background work: who does it, who sleeps until when, and what was asked for.

use std::time::Duration;

use super::rights::{CLOSE, EXTEND, GIVE_BACK, PREWRITE, RETIRE, REWIND, SEAL, SPARE, SYNC, WRITE};
use super::waiters::Offers;
use crate::Error;

/// A background thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Hands buffers over.
    Writer,
    /// Syncs when the window is over, and leads for callers that must not block.
    Syncer,
    /// Does the housekeeping.
    Keeper,
}

impl Role {
    pub(super) const ALL: [Self; 3] = [Self::Writer, Self::Syncer, Self::Keeper];
}

/// A step of work, in the foreground or in the background. Each needs a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    HandOver,
    Commit,
    Close,
    Rewind,
    SyncRotated,
    Extend,
    MakeSpare,
    Seal,
    GiveBack,
    Retire,
    Stamp,
    Prewrite,
}

impl Work {
    /// The rights that it needs.
    pub(super) fn rights(self) -> u16 {
        match self {
            Self::HandOver => WRITE,
            Self::Commit | Self::SyncRotated | Self::Stamp => SYNC,
            Self::Close => SYNC | CLOSE,
            Self::Rewind => SYNC | REWIND,
            Self::Extend => EXTEND,
            Self::MakeSpare => SPARE,
            Self::Seal => SEAL,
            Self::GiveBack => GIVE_BACK,
            Self::Retire => RETIRE,
            Self::Prewrite => PREWRITE,
        }
    }

    pub(super) fn now(self) -> Next {
        self.at(Duration::ZERO)
    }

    pub(super) fn at(self, at: Duration) -> Next {
        Next { work: self, at }
    }
}

/// What to do next, and when: at once if that is zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) work: Work,
    pub(super) at: Duration,
}

/// What a background thread is doing, so that none is woken or started without need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sleep {
    /// At work: it reads the state again before it sleeps.
    Awake,
    /// Asleep until this time, or until it is woken.
    Thread(Option<Duration>),
    /// There is no such thread. An alarm is set for this time.
    NoThread(Option<Duration>),
}

impl Sleep {
    /// Whether work that is due at `at` would be missed.
    pub(super) fn misses(self, at: Duration) -> bool {
        match self {
            Self::Awake => false,
            Self::Thread(until) | Self::NoThread(until) => until.is_none_or(|until| at < until),
        }
    }
}

/// Space that is provided ahead of the appends: the next segment, or the next step of this one.
#[derive(Debug, Default)]
pub(super) struct Provision {
    wanted: bool,
    /// The highest file offset that someone needs.
    need: u64,
    /// Counts the attempts, so that a waiter can tell a new failure from an old one.
    attempts: u64,
    /// The last attempt failed with this.
    failed: Option<Error>,
}

impl Provision {
    /// Someone waits for it.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    pub(super) fn need(&self) -> u64 {
        self.need
    }

    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// Asks for it, up to `need`; fails when an attempt made since `asked_at` has failed.
    pub(super) fn ask(&mut self, need: u64, asked_at: &mut Option<u64>) -> crate::Result<()> {
        let at = *asked_at.get_or_insert(self.attempts);
        if self.attempts > at
            && let Some(error) = &self.failed
        {
            return Err(error.clone());
        }
        self.need = need;
        self.wanted = true;
        Ok(())
    }

    /// What was provided is used.
    pub(super) fn used(&mut self) {
        self.wanted = false;
        self.failed = None;
    }

    /// An attempt has ended.
    pub(super) fn attempted(&mut self, outcome: crate::Result<()>) {
        self.wanted = false;
        self.attempts += 1;
        self.failed = outcome.err();
    }
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Background {
    sleepers: [Sleep; 3],
    /// Leaders that sleep until a right is given back.
    pub(super) leaders: usize,
    pub(super) offers: Offers,
    /// A caller that must not block asks the syncer to lead.
    pub(super) commit_requested: bool,
    pub(super) close_requested: bool,
    /// The threads are to end.
    pub(super) stopping: bool,
    /// The housekeeping that was done last.
    pub(super) last: Work,
    pub(super) spare: Provision,
    pub(super) extension: Provision,
    /// Commits in a row that were for their leader alone.
    lonely: u32,
    /// Appends that the commits so far were for.
    committed: u64,
}

impl Background {
    pub(super) fn new() -> Self {
        Self {
            sleepers: [Sleep::NoThread(None); 3],
            leaders: 0,
            offers: Offers::default(),
            commit_requested: false,
            close_requested: false,
            stopping: false,
            last: Work::SyncRotated,
            spare: Provision::default(),
            extension: Provision::default(),
            lonely: 0,
            committed: 0,
        }
    }

    pub(super) fn sleep_of(&self, role: Role) -> Sleep {
        self.sleepers[role as usize]
    }

    pub(super) fn set_sleep(&mut self, role: Role, sleep: Sleep) {
        self.sleepers[role as usize] = sleep;
    }

    /// Whether there is no thread.
    pub(super) fn is_idle(&self) -> bool {
        let is_none = |sleep: &Sleep| matches!(sleep, Sleep::NoThread(_));
        self.sleepers.iter().all(is_none)
    }

    /// A commit begins, after `calls` appends.
    pub(super) fn begin_commit(&mut self, calls: u64) {
        let alone = calls - self.committed < 2;
        self.lonely = if alone {
            self.lonely.saturating_add(1)
        } else {
            0
        };
        self.committed = calls;
        self.offers.commit = None;
    }

    /// Commits in a row that were for their leader alone.
    pub(super) fn lonely(&self) -> u32 {
        self.lonely
    }

    /// Somebody waited for a commit beside its leader.
    pub(super) fn has_company(&mut self) {
        self.lonely = 0;
    }
}
