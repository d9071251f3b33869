//! Who waits for what: appends for room, callers for a hand-over or a sync.
//!
//! Wakers are taken out under the lock and woken after it is released, all in one pass. A waiter is never forgotten: each
//! registration is removed by whoever wakes it, or by the future that made it when it is dropped.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Duration;

use super::reach::Goal;

/// Names one registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    number: u64,
    issued: u64,
}

/// When a waiter was woken to lead while others depend on it. Cleared when any thread leads.
///
/// The future that was woken may be kept and never polled, or its thread may be blocked. After [`LEAD_WITHIN`] the syncer leads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offers {
    pub(crate) write: Option<Duration>,
    pub(crate) commit: Option<Duration>,
}

/// How long a waiter that was woken to lead may take to do so.
pub(crate) const LEAD_WITHIN: Duration = Duration::from_millis(5);

/// All registrations.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    issued: u64,
    room: BTreeMap<Ticket, Waker>,
    written: BTreeMap<Ticket, Waker>,
    handed_over: BTreeMap<Ticket, Waker>,
    durable: BTreeMap<Ticket, Waker>,
    synced: BTreeMap<Ticket, Waker>,
    finished: BTreeMap<Ticket, Waker>,
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
    pub(crate) fn wait_for(
        &mut self,
        goal: Goal,
        number: u64,
        ticket: &mut Option<Ticket>,
        waker: &Waker,
    ) {
        let ticket = *ticket.get_or_insert_with(|| self.ticket(number));
        self.list(goal).insert(ticket, waker.clone());
    }

    pub(crate) fn leave(&mut self, goal: Goal, ticket: Ticket) {
        self.list(goal).remove(&ticket);
    }

    pub(crate) fn wait_for_room(&mut self, ticket: &mut Option<Ticket>, waker: &Waker) {
        let ticket = *ticket.get_or_insert_with(|| self.ticket(0));
        self.room.insert(ticket, waker.clone());
    }

    pub(crate) fn leave_room(&mut self, ticket: Ticket) {
        self.room.remove(&ticket);
    }

    /// Those for whom there may be room now.
    pub(crate) fn take_room(&mut self, into: &mut Vec<Waker>) {
        into.extend(std::mem::take(&mut self.room).into_values());
    }

    /// The waiters for `number` or less, and the first of the others, which is to lead next. Also says whether more waiters
    /// depend on it.
    #[must_use]
    pub(crate) fn take_reached(&mut self, goal: Goal, number: u64, into: &mut Vec<Waker>) -> bool {
        let list = self.list(goal);
        while let Some(entry) = list.first_entry() {
            let reached = entry.key().number <= number;
            into.push(entry.remove());
            if !reached {
                break;
            }
        }
        !list.is_empty()
    }

    /// Those who wait for a piece of housekeeping.
    pub(crate) fn take_finished(&mut self, into: &mut Vec<Waker>) {
        into.extend(std::mem::take(&mut self.finished).into_values());
    }

    /// Everyone: the log is closed or poisoned.
    pub(crate) fn take_all(&mut self, into: &mut Vec<Waker>) {
        for list in [
            &mut self.room,
            &mut self.written,
            &mut self.handed_over,
            &mut self.durable,
            &mut self.synced,
            &mut self.finished,
        ] {
            into.extend(std::mem::take(list).into_values());
        }
    }
}
