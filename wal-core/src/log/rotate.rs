//! Rotation, and the space that is provided ahead of the appends: the next segment, and the next step of this one.
//!
//! A segment is made ready as a spare under a name of its own: allocated, its header written, synced, its directory synced.
//! So a file under its final name was complete. The rename is done with the first write into it.

use std::io;

use wal_format::SegmentHeader;

use super::engine::{Engine, Right, StateGuard};
use super::prewritten::Prewritten;
use super::rights::{EXTEND, SPARE};
use super::segments::{ALLOCATION_STEP, Spare};
use super::state::State;
use crate::error::is_no_space;
use crate::recovery;
use crate::segment::{LiveSegment, allocate, create_segment_file};
use crate::settings::new_header;
use crate::sync::Arc;
use crate::{Error, Result};

impl Engine {
    /// The spare takes over. The caller has seen that there is one, and that nothing waits to be handed over.
    pub(super) fn rotate(&self, state: &mut State) {
        state.freeze(&*self.clock);
        if let Some(spare) = state.segments.take_spare() {
            state.background.spare.used();
            state.activate(spare);
            self.counters.rotated();
        }
    }

    /// Bytes that a new segment gets at once.
    fn first_allocation(&self, header: &SegmentHeader, open: bool) -> u64 {
        if self.settings.config.preallocate && open {
            return header.capacity;
        }
        let reserve = header.layout().footer_reserve();
        // A close needs the footer's room only.
        let step = if open {
            ALLOCATION_STEP
        } else {
            header.layout().data_start() - wal_format::HEADER_LEN
        };
        (wal_format::HEADER_LEN + step + reserve).min(header.capacity)
    }

    /// Makes a spare.
    pub(super) fn make_spare(&self, right: Right<'_, SPARE>, state: StateGuard<'_>) -> Result<()> {
        let (id, log_id) = (state.segments.next(), state.segments.log_id());
        let open = state.life.is_open();
        let in_reserve = state.segments.in_reserve().is_some();
        drop(state);
        let reserve = self.settings.reserve();
        let begun = self.clock.monotonic();
        let header = new_header(&self.settings, &*self.entropy, id, log_id);
        let made = header.and_then(|mut header| {
            header.allocated = self.first_allocation(&header, open);
            // Invariant 6: until it is complete and durable, a file has a name of its own.
            let name = wal_format::spare_name(id);
            // A log leaves the reserve only where the reserve is whole afterwards.
            if in_reserve && !recovery::ensure_reserve(&*self.storage, reserve, reserve.files) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let file = create_segment_file(&*self.storage, &name, &header)?;
            self.renew_reserve();
            Ok((header, file))
        });
        let (made, failure) = match made {
            // Invariant 6: the spare's own name first. A failed sync of the directory is final.
            Ok((header, file)) => {
                let synced = self.sync_directory();
                let spare = Spare {
                    allocated: header.allocated,
                    prewritten: Prewritten::none(),
                    segment: Arc::new(LiveSegment::new(header, file)),
                };
                (Ok(spare), synced.err())
            }
            // A file that could not be made is not final either, unless its directory was deleted.
            Err(error) => (Err(error), self.check_place().err()),
        };
        self.counters
            .provided(self.clock.monotonic().saturating_sub(begun));
        let mut state = self.state();
        state.give_back(right);
        if let Some(failure) = failure {
            return Err(state.poison(failure));
        }
        if let Some(active) = state.segments.active_mut() {
            active.spare_tried = true;
        }
        let outcome = match made {
            Ok(spare) => {
                state.segments.set_spare(spare);
                Ok(())
            }
            Err(error) => Err(self.provision_error("the next segment", error)),
        };
        state.background.spare.attempted(outcome);
        state.waiters.wake_for_room();
        Ok(())
    }

    fn provision_error(&self, what: &'static str, error: io::Error) -> Error {
        if is_no_space(&error) {
            return Error::NoSpace {
                location: self.location(),
                what: what.into(),
            };
        }
        Error::io(self.location(), format!("making {what}"), error)
    }

    /// Allocates the next step of the active segment.
    pub(super) fn extend(&self, right: Right<'_, EXTEND>, mut state: StateGuard<'_>) {
        let Some(active) = state.segments.active() else {
            state.give_back(right);
            return;
        };
        let (segment, from) = (Arc::clone(&active.segment), active.allocated);
        let need = state.background.extension.need();
        let end = need.max(state.buffers.filling().end().get()) + active.footer_room();
        let to = (end + ALLOCATION_STEP)
            .max(from + ALLOCATION_STEP)
            .min(segment.header.capacity);
        drop(state);
        let outcome = allocate(&*segment.file, from, to);
        let mut state = self.state();
        state.give_back(right);
        let active = state.segments.active_mut();
        if let Some(active) = active.filter(|active| active.id() == segment.id())
            && outcome.is_ok()
        {
            active.allocated = to;
        }
        let outcome = outcome.map_err(|error| self.provision_error("the record", error));
        state.background.extension.attempted(outcome);
        state.waiters.wake_for_room();
    }
}
