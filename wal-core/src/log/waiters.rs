//! Who waits for what: appends for room, callers for a hand-over or a sync.
//!
//! Wakers are taken out under the lock and woken after it is released, all in one pass ([`Engine::state`](super::engine::Engine)). A waiter is never forgotten: each
//! registration is removed by whoever wakes it, or by the future that made it when it is dropped.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Duration;

/// What a caller waits for. The number that goes with it is an LSN for the first two, a buffer's serial for the next two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// The record is with the operating system.
    Written,
    /// The record is on stable storage.
    Durable,
    /// The buffer, with all its control groups, is with the operating system.
    HandedOver,
    /// The same on stable storage.
    Synced,
    /// The log is closed.
    Closed,
    /// The files of truncated records are gone.
    Retired,
    /// The newest records are dropped, or the attempt has failed.
    Rewound,
}

/// Names one registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    number: u64,
    issued: u64,
}

/// When a waiter was woken to lead while others depend on it. Cleared when any thread leads.
///
/// The future that was woken may be kept and never polled, or its thread may be blocked. After [`LEAD_WITHIN`] the syncer leads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offers {
    pub(super) write: Option<Duration>,
    pub(super) commit: Option<Duration>,
}

/// How long a waiter that was woken to lead may take to do so.
pub(super) const LEAD_WITHIN: Duration = Duration::from_millis(5);

/// All registrations.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    issued: u64,
    room: BTreeMap<Ticket, Waker>,
    written: BTreeMap<Ticket, Waker>,
    handed_over: BTreeMap<Ticket, Waker>,
    durable: BTreeMap<Ticket, Waker>,
    synced: BTreeMap<Ticket, Waker>,
    finished: BTreeMap<Ticket, Waker>,
    /// To be woken when the lock is released.
    woken: Vec<Waker>,
}

impl Waiters {
    fn ticket(&mut self, number: u64) -> Ticket {
        self.issued += 1;
        Ticket {
            number,
            issued: self.issued,
        }
    }

    fn list(&mut self, goal: Goal) -> &mut BTreeMap<Ticket, Waker> {
        match goal {
            Goal::Written => &mut self.written,
            Goal::HandedOver => &mut self.handed_over,
            Goal::Durable => &mut self.durable,
            Goal::Synced => &mut self.synced,
            Goal::Closed | Goal::Retired | Goal::Rewound => &mut self.finished,
        }
    }

    /// Registers, or renews a registration.
    pub(super) fn wait_for(
        &mut self,
        goal: Goal,
        number: u64,
        ticket: &mut Option<Ticket>,
        waker: &Waker,
    ) {
        let ticket = *ticket.get_or_insert_with(|| self.ticket(number));
        self.list(goal).insert(ticket, waker.clone());
    }

    pub(super) fn leave(&mut self, goal: Goal, ticket: Ticket) {
        self.list(goal).remove(&ticket);
    }

    pub(super) fn wait_for_room(&mut self, ticket: &mut Option<Ticket>, waker: &Waker) {
        let ticket = *ticket.get_or_insert_with(|| self.ticket(0));
        self.room.insert(ticket, waker.clone());
    }

    pub(super) fn leave_room(&mut self, ticket: Ticket) {
        self.room.remove(&ticket);
    }

    /// Wakes those for whom there may be room now.
    pub(super) fn wake_for_room(&mut self) {
        self.woken
            .extend(std::mem::take(&mut self.room).into_values());
    }

    /// Wakes the waiters for `number` or less, and the first of the others, which is to lead next. Says whether more waiters
    /// depend on it.
    #[must_use]
    pub(super) fn wake_reached(&mut self, goal: Goal, number: u64) -> bool {
        let mut woken = std::mem::take(&mut self.woken);
        let list = self.list(goal);
        while let Some(entry) = list.first_entry() {
            let reached = entry.key().number <= number;
            woken.push(entry.remove());
            if !reached {
                break;
            }
        }
        let more = !list.is_empty();
        self.woken = woken;
        more
    }

    /// Wakes those who wait for a piece of housekeeping.
    pub(super) fn wake_for_housekeeping(&mut self) {
        self.woken
            .extend(std::mem::take(&mut self.finished).into_values());
    }

    /// Wakes everyone: the log is closed or poisoned, or LSNs have changed.
    pub(super) fn wake_all(&mut self) {
        let lists = [
            &mut self.room,
            &mut self.written,
            &mut self.handed_over,
            &mut self.durable,
            &mut self.synced,
            &mut self.finished,
        ];
        for list in lists {
            self.woken.extend(std::mem::take(list).into_values());
        }
    }

    /// Whether anyone is to be woken.
    pub(super) fn are_woken(&self) -> bool {
        !self.woken.is_empty()
    }

    /// Those to be woken.
    pub(super) fn take_woken(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.woken)
    }
}
