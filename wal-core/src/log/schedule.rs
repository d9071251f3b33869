//! Which work is due, and in which order it is done. Each step is one [`Work`]: a thread of the log does it, or a caller that
//! leads, or the caller that drives a deterministic test.

use std::time::Duration;

use wal_format::Version;

use super::background::{Next, Role, Work};
use super::engine::Engine;
use super::rights::{CLOSE, PREWRITE, REWIND, SYNC, WRITE};
use super::segments::ALLOCATION_STEP;
use super::state::State;
use super::waiters::LEAD_WITHIN;
use crate::FsyncPolicy;

/// The next step of an allocation is taken when less than this is left.
const ALLOCATION_AHEAD: u64 = ALLOCATION_STEP / 2;

impl Engine {
    /// What the thread of `role` does next, if there is anything to do.
    pub(super) fn schedule(&self, state: &State, role: Role) -> Option<Next> {
        // Everyone is told when a truncation of the newest records is over.
        if !state.life.is_served() || !state.rights.are_free(REWIND) {
            return None;
        }
        match role {
            Role::Writer => self.next_to_write(state),
            Role::Syncer => self.next_to_lead(state),
            Role::Keeper => self.next_to_keep(state),
        }
    }

    fn next_to_write(&self, state: &State) -> Option<Next> {
        let policy = self.settings.config.fsync_policy;
        if policy == FsyncPolicy::Always || !state.rights.are_free(WRITE) {
            return None;
        }
        let buffers = &state.buffers;
        if buffers.are_waiting() || buffers.filling().len() >= self.settings.hand_over_bytes {
            return Some(Work::HandOver.now());
        }
        let since = buffers
            .filling_since()
            .filter(|_| policy == FsyncPolicy::Os)?;
        Some(Work::HandOver.at(since + self.settings.hand_over_after))
    }

    /// For callers that cannot lead, or did not in time.
    fn next_to_lead(&self, state: &State) -> Option<Next> {
        if !state.rights.are_free(SYNC) {
            return None;
        }
        let background = &state.background;
        if background.close_requested && state.rights.are_free(CLOSE) {
            return Some(Work::Close.now());
        }
        if state.truncations.rewinds.asked().is_some() {
            return Some(Work::Rewind.now());
        }
        if background.commit_requested {
            return Some(Work::Commit.now());
        }
        let window = match self.settings.config.fsync_policy {
            // The promise of `Batch`: a timer of its own.
            FsyncPolicy::Batch(window) => {
                let since = state.progress.unsynced_since();
                let since = since.or_else(|| state.buffers.unwritten_since());
                since.map(|since| since + window)
            }
            FsyncPolicy::Always | FsyncPolicy::Os => None,
        };
        let led = |offer: Option<Duration>| offer.map(|at| at + LEAD_WITHIN);
        let offers = &background.offers;
        let commit = led(offers.commit);
        let write = led(offers.write).filter(|_| state.rights.are_free(WRITE));
        let commits = [window, commit].into_iter().flatten().min();
        let next = commits.map(|at| Work::Commit.at(at));
        let write = write.map(|at| Work::HandOver.at(at));
        next.into_iter().chain(write).min_by_key(|next| next.at)
    }

    /// The housekeeping. Kinds take turns, so that none waits forever while another is always due. Stamps and zeros are written
    /// only when nothing else is due.
    fn next_to_keep(&self, state: &State) -> Option<Next> {
        const TURNS: [Work; 6] = [
            Work::SyncRotated,
            Work::Extend,
            Work::MakeSpare,
            Work::Seal,
            Work::GiveBack,
            Work::Retire,
        ];
        let last = TURNS.iter().position(|work| *work == state.background.last);
        // In a fixed order, making segments would starve the footers.
        let next = last.map_or(0, |at| at + 1);
        let mut turns = TURNS[next..].iter().chain(&TURNS[..next]);
        if let Some(work) = turns.find(|work| Self::is_due(state, **work)) {
            return Some(work.now());
        }
        let stamp = self.stamp_at(state).map(|at| Work::Stamp.at(at));
        let zeros = self.range_ahead(state);
        let zeros = zeros.filter(|_| state.rights.are_free(PREWRITE));
        let zeros = zeros.map(|_| Work::Prewrite.at(state.prewriting.not_before()));
        stamp.into_iter().chain(zeros).min_by_key(|next| next.at)
    }

    /// Whether a kind of housekeeping that takes turns is due.
    pub(super) fn is_due(state: &State, work: Work) -> bool {
        if !state.rights.are_free(work.rights()) {
            return false;
        }
        let (progress, segments) = (&state.progress, &state.segments);
        match work {
            // Nothing else syncs it soon.
            Work::SyncRotated => progress.waits_for_sync(),
            Work::Extend => is_extension_due(state),
            Work::MakeSpare => is_spare_due(state),
            // A footer says that all before it is durable, and names a successor that is.
            Work::Seal => segments.next_to_seal().is_some_and(|sealing| {
                let named = progress.named() >= sealing.successor;
                let synced = progress.is_behind(sealing.segment.id());
                // Zeros must not meet the footer.
                let free = state.rights.are_free(PREWRITE);
                free && (named && synced)
            }),
            Work::GiveBack => {
                let successor = state.leftovers.successor();
                successor.is_some_and(|id| progress.is_durable(id))
            }
            Work::Retire => {
                let asked = state.truncations.forgets.asked().is_some();
                asked || state.leftovers.retiring().is_some()
            }
            _ => false,
        }
    }

    /// When an idle log whose records no synced group proves yet gets a stamp.
    fn stamp_at(&self, state: &State) -> Option<Duration> {
        if self.settings.config.fsync_policy == FsyncPolicy::Os
            || !state.life.is_open()
            || !state.rights.are_free(SYNC | WRITE)
        {
            return None;
        }
        // In the reserve each group counts. The next session copies all of it.
        let active = state.segments.active();
        let active = active.filter(|active| active.in_reserve.is_none())?;
        let header = &active.segment.header;
        let footer = active.footer_room() - header.alignment.round_up(wal_format::CONTROL_RESERVE);
        let end = state.buffers.filling().room_for(0);
        let durable = state.progress.durable().lsn;
        let unproven = state.progress.proven() < durable || !state.changes.are_stamped();
        // From version 2 on it says that all before it is synced.
        let synced = header.version < Version::V2 || state.is_all_synced();
        let needed = unproven
            && synced
            && durable == state.buffers.last_lsn()
            && state.nothing_to_write()
            && end + footer <= active.allocated;
        needed.then(|| state.buffers.last_append() + self.settings.stamp_after)
    }

    /// Runs every step that is due, on the caller's thread. True if there was any.
    pub(crate) fn drive(&self) -> bool {
        let mut any = false;
        loop {
            let mut progress = false;
            for role in Role::ALL {
                progress |= self.step(role);
            }
            if !progress {
                return any;
            }
            any = true;
        }
    }

    /// Does the step that is due for `role`, if there is one.
    pub(super) fn step(&self, role: Role) -> bool {
        let state = self.state();
        let next = self.schedule(&state, role);
        let due = next.filter(|next| next.at.is_zero() || next.at <= self.clock.monotonic());
        let Some(next) = due else { return false };
        // An error is in the state by now.
        let _ = self.perform(state, next.work);
        true
    }

    /// Whether a thread is inside a step.
    pub(crate) fn is_at_work(&self) -> bool {
        self.look().rights.is_any_taken()
    }
}

/// Whether a spare should be made now: someone waits for it, or the active segment is three quarters full.
fn is_spare_due(state: &State) -> bool {
    // A close makes the files that it needs itself, and removes the others.
    if state.segments.spare().is_some() || !state.life.is_open() {
        return false;
    }
    let end = state.buffers.filling().end().get();
    let nearly_full = state
        .segments
        .active()
        .is_some_and(|active| !active.spare_tried && end > active.spare_from());
    state.background.spare.is_wanted() || nearly_full
}

/// Whether the active segment should get its next step of allocation.
fn is_extension_due(state: &State) -> bool {
    let Some(active) = state.segments.active() else {
        return false;
    };
    let (end, extension) = (
        state.buffers.filling().end().get(),
        &state.background.extension,
    );
    let left = active.allocated.saturating_sub(end + active.footer_room());
    let ahead = left < ALLOCATION_AHEAD && !extension.has_failed();
    // A close has cut the file, or is about to.
    state.life.is_open()
        && active.allocated < active.segment.header.capacity
        && active.in_reserve.is_none()
        && (extension.is_wanted() || ahead)
}
