//! Footers of rotated segments, and files that are no longer needed.

use std::io;

use wal_format::{FileName, segment_name};
use wal_io::OpenMode;

use super::engine::{Engine, Right, StateGuard};
use super::rights::{GIVE_BACK, RETIRE, SEAL};
use crate::Result;
use crate::recovery::{self, Surplus};
use crate::segment::write_footer;
use crate::sync::Arc;

impl Engine {
    /// Writes the oldest footer.
    pub(super) fn seal(&self, right: Right<'_, SEAL>, mut state: StateGuard<'_>) -> Result<()> {
        let Some(sealing) = state.segments.next_to_seal().map(Arc::clone) else {
            state.give_back(right);
            return Ok(());
        };
        // A later cut may be in the successor, and lost with it: then the log ends here.
        let log_first = state.truncations.log_first().min(sealing.end_lsn.next());
        drop(state);
        let outcome = write_footer(&sealing, log_first);
        let id = sealing.segment.id();
        let mut state = self.state();
        state.give_back(right);
        state.segments.sealed(id);
        if let Err(error) = outcome {
            return Err(state.poison((format!("sealing segment {id}"), error)));
        }
        // A rotation may be waiting for it.
        state.waiters.wake_for_room();
        Ok(())
    }

    /// Gives back the space after the end of a segment that this session has not written, and lets segments go that hold nothing of
    /// the log. What replaces them is durable. Best effort: the next open retries what failed.
    pub(super) fn give_back(&self, right: Right<'_, GIVE_BACK>, mut state: StateGuard<'_>) {
        let replaced = state.leftovers.take_replaced();
        drop(state);
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
        state.give_back(right);
        let superseded = replaced.map(|replaced| replaced.superseded);
        state.leftovers.retire(superseded.unwrap_or_default());
    }

    /// Unlinks what truncations left behind, oldest first.
    pub(super) fn retire(&self, right: Right<'_, RETIRE>, state: StateGuard<'_>) -> Result<()> {
        drop(state);
        self.forget_all();
        loop {
            let name = self.look().leftovers.retiring().cloned();
            let Some(name) = name else { break };
            let removed =
                recovery::remove_or_reuse(&*self.storage, &name, self.settings.reserve(), || {
                    self.sync_directory().map_err(|(_, error)| error)
                });
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    // The truncation itself is durable: what stays is a leftover that the next open removes.
                    self.state().leftovers.give_up();
                    break;
                }
                Ok(()) | Err(_) => {
                    // Its space is free once no process has it open.
                    if let FileName::Segment(id) = FileName::parse(&name) {
                        self.files.forget(id);
                    }
                    self.state().leftovers.retired();
                }
            }
        }
        // There may be room now.
        self.renew_reserve();
        let outcome = self.sync_directory();
        let mut state = self.state();
        state.give_back(right);
        // Also for a log that lives in its reserve.
        if state.segments.in_reserve().is_some() {
            state.background.spare.want();
        }
        if let Err(failure) = outcome {
            return Err(state.poison(failure));
        }
        state.waiters.wake_for_housekeeping();
        Ok(())
    }

    /// Makes the reserve again, if it was used.
    pub(super) fn renew_reserve(&self) {
        let reserve = self.settings.reserve();
        let files = {
            let state = self.look();
            if state.reserve {
                return;
            }
            reserve.files - usize::from(state.segments.in_reserve().is_some())
        };
        let made = recovery::ensure_reserve(&*self.storage, reserve, files);
        self.state().reserve |= made;
    }
}
