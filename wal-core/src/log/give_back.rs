//! Cleans up after a process that ended without a close, once this session has made its first segment.
//!
//! The space after the end of the previous segment is given back, and segments that hold nothing of the log are removed. Both
//! happen only when the new segment and its name are durable: until then, a crash may make the old ones the newest again.

use wal_format::{SegmentHeader, SegmentId, segment_name};
use wal_io::OpenMode;

use super::Engine;
use super::state::{State, Status};
use crate::recovery::Surplus;
use crate::sabotage;

/// To be done once `successor` is durable.
#[derive(Debug)]
pub(crate) struct Replaced {
    pub(crate) successor: SegmentId,
    /// The previous segment, and where its data ends.
    pub(crate) before: Option<(SegmentHeader, u64)>,
    /// Segments that no longer belong to the log, in the order in which they may be removed.
    pub(crate) superseded: Vec<String>,
}

impl State {
    /// The segment `successor` says where the one before it ends.
    pub(super) fn replace(&mut self, successor: SegmentId, before: Option<(SegmentHeader, u64)>) {
        let superseded = std::mem::take(&mut self.superseded);
        if before.is_some() || !superseded.is_empty() {
            self.replaced.push_back(Replaced {
                successor,
                before,
                superseded,
            });
        }
    }
}

impl Engine {
    /// Whether a segment that replaces others is durable.
    pub(super) fn give_back_due(state: &State) -> bool {
        !state.giving_back
            && matches!(state.status, Status::Open | Status::Closing)
            && state
                .replaced
                .front()
                .is_some_and(|replaced| is_durable(state, replaced.successor))
    }

    /// Gives space back. The caller has set `giving_back`. Best effort: the next open retries what failed.
    pub(super) fn give_back(&self) {
        let replaced = self.state().replaced.pop_front();
        if let Some((header, end)) = replaced.as_ref().and_then(|replaced| replaced.before) {
            let open = || {
                let name = segment_name(header.segment_id);
                self.storage.open(&name, OpenMode::Read)
            };
            let surplus = open()
                .and_then(|file| file.len())
                .and_then(|len| Surplus::find(&header, len, end, open));
            if let Ok(Some(surplus)) = surplus {
                let _ = surplus.give_back(&*self.storage);
            }
        }
        let mut state = self.state();
        state.giving_back = false;
        let superseded = replaced.map(|replaced| replaced.superseded);
        state.retiring.extend(superseded.unwrap_or_default());
    }
}

/// Whether syncs have covered the segment's link and its name.
pub(super) fn is_durable(state: &State, id: SegmentId) -> bool {
    if sabotage::is("given-back-before-the-successor-is-durable") {
        return true;
    }
    let unsynced = |dirty: &super::state::Dirty| dirty.segment.id() == id && dirty.synced == 0;
    state.dir_synced >= id && !state.dirty.iter().any(unsynced)
}
