//! What the keeper does beside the appends: spares, steps of allocation, footers, retired files.
//!
//! A segment is made ready as a spare under a name of its own: allocated, its header written, synced, its directory synced.
//! So a file under its final name was complete. The rename is done with the first write into it.

use std::io;

use wal_format::{
    Epoch, FileName, FooterFacts, GroupWriter, LogId, Lsn, Origin, SegmentHeader, SegmentId,
};
use wal_io::{OpenMode, Storage, StorageFile, StorageFileExt};

use super::ahead::Prewritten;
use super::state::{Active, LiveSegment, Provision, Sealing, Spare, State, Status};
use super::{Engine, Settings};
use crate::entropy::Entropy;
use crate::error::is_no_space;
use crate::recovery;
use crate::sync::{Arc, wake_all};
use crate::{Error, Result, sabotage};

/// With `preallocate: false` a segment grows by this much.
const ALLOCATION_STEP: u64 = 1 << 20;
/// The next step is taken when less than this is left.
const ALLOCATION_AHEAD: u64 = ALLOCATION_STEP / 2;

/// Creates a segment file under `name`: allocate, header, sync. The directory is the caller's to sync. On an error the file
/// is deleted.
pub(crate) fn create_segment_file(
    storage: &dyn Storage,
    name: &str,
    header: &SegmentHeader,
) -> io::Result<Arc<dyn StorageFile>> {
    let file = match storage.open(name, OpenMode::CreateNew) {
        // A failed attempt has left it. A file with such a name is not part of the log.
        Err(error) if is_left_over(name, &error) => {
            storage.remove(name)?;
            storage.open(name, OpenMode::CreateNew)?
        }
        opened => opened?,
    };
    // A full disk is met before a record is accepted.
    let made = sabotage::unless("space-not-allocated", || {
        allocate(&*file, 0, header.allocated)
    })
    .and_then(|()| file.write_all_at(&header.encode(), 0))
    // Invariant 6: the file is complete before it gets its name.
    .and_then(|()| sabotage::unless("spare-sync-skipped", || file.sync_data()));
    if let Err(error) = made {
        drop(file);
        // Best effort: what stays is a leftover that the next open removes.
        let _ = storage.remove(name);
        return Err(error);
    }
    Ok(file)
}

fn is_left_over(name: &str, error: &io::Error) -> bool {
    let not_a_segment = !matches!(FileName::parse(name), FileName::Segment(_));
    error.kind() == io::ErrorKind::AlreadyExists && not_a_segment
}

/// The header of a segment that this log makes next.
pub(super) fn new_header(
    settings: &Settings,
    entropy: &dyn Entropy,
    id: SegmentId,
    log_id: LogId,
) -> io::Result<SegmentHeader> {
    let mut epoch = 0;
    while epoch == 0 {
        epoch = entropy.next()?;
        // Each file has an epoch of its own: bytes of another do not verify in it.
        if sabotage::is("epoch-not-new") {
            epoch = 1;
        }
    }
    Ok(SegmentHeader {
        log_id,
        segment_id: id,
        epoch: Epoch::new(epoch),
        capacity: settings.config.max_segment_size,
        record_limit: settings.record_limit,
        node_id: settings.config.node_id,
        alignment: settings.alignment,
        allocated: settings.config.max_segment_size,
        origin: Origin::Spare,
        version: settings.version,
        replaces: None,
        log_capacity: settings.config.max_segment_size,
        log_record_limit: settings.record_limit,
    })
}

/// Reserves the file's space between two offsets.
pub(crate) fn allocate(file: &dyn StorageFile, from: u64, to: u64) -> io::Result<()> {
    loop {
        match file.allocate(from, to - from) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

impl Engine {
    /// The spare takes over. The caller has seen that there is one, and that the frozen queue is empty.
    pub(super) fn rotate(&self, state: &mut State) {
        state.freeze(&*self.clock);
        if let Some(spare) = state.spare.take() {
            state.next_spare.wanted = false;
            state.next_spare.failed = None;
            state.activate(spare);
            self.locked.figures.changed(state);
            self.counters.rotated();
        }
    }

    /// Whether a spare should be made now: someone waits for it, or the active segment is three quarters full.
    pub(super) fn spare_due(state: &State) -> bool {
        // A close makes the files that it needs itself, and removes the others.
        if state.spare.is_some() || state.next_spare.busy || !matches!(state.status, Status::Open) {
            return false;
        }
        let nearly_full = state.active.as_ref().is_some_and(|active| {
            !active.spare_tried && state.filling.end().get() > Self::spare_from(active)
        });
        state.next_spare.wanted || nearly_full
    }

    /// From this file offset on the next segment is made ready.
    pub(super) fn spare_from(active: &Active) -> u64 {
        active.segment.data_limit / 4 * 3
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

    /// Makes a spare: the caller has set `next_spare.busy`.
    pub(super) fn make_spare(&self) -> Result<()> {
        let (id, log_id, open, in_reserve) = {
            let state = self.state();
            (
                state.next_segment,
                state.log_id,
                matches!(state.status, Status::Open),
                state.in_reserve().is_some(),
            )
        };
        let reserve = self.settings.reserve();
        let begun = self.clock.monotonic();
        let header = new_header(&self.settings, &*self.entropy, id, log_id);
        let made = header.and_then(|mut header| {
            header.allocated = self.first_allocation(&header, open);
            let mut name = wal_format::spare_name(id);
            // Invariant 6: until it is complete and durable, a file has a name of its own.
            if sabotage::is("made-under-its-final-name") {
                name = wal_format::segment_name(id);
            }
            // A log leaves the reserve only where the reserve is whole afterwards.
            let leaves = in_reserve && !sabotage::is("reserve-left-without-another");
            if leaves && !recovery::ensure_reserve(&*self.storage, reserve, reserve.files) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let file = create_segment_file(&*self.storage, &name, &header)?;
            self.renew_reserve();
            Ok((header, file))
        });
        // A failed sync of the directory is final; a file that could not be made is not.
        let made = match made {
            // Invariant 6: the spare's own name first.
            Ok((header, file)) => {
                match sabotage::unless("spare-name-sync-skipped", || self.sync_directory()) {
                    Ok(()) => Ok(Spare {
                        allocated: header.allocated,
                        prewritten: Prewritten::none(),
                        segment: Arc::new(LiveSegment::new(header, file)),
                    }),
                    Err((during, error)) => return Err(self.poison(self.state(), during, error)),
                }
            }
            // A failed open is not a failed sync.
            Err(error) if sabotage::is("failed-open-poisons") => {
                return Err(self.poison(self.state(), "making a segment".into(), error));
            }
            // A file cannot be made in a directory that was deleted.
            Err(error) => match self.check_place() {
                Ok(()) => Err(error),
                Err((during, cause)) => return Err(self.poison(self.state(), during, cause)),
            },
        };
        self.counters
            .provided(self.clock.monotonic().saturating_sub(begun));
        let mut state = self.state();
        if let Some(active) = &mut state.active {
            active.spare_tried = true;
        }
        let outcome = match made {
            Ok(spare) => {
                state.spare = Some(spare);
                Ok(())
            }
            Err(error) => Err(self.provision_error("the next segment", error)),
        };
        let state_ref = &mut *state;
        Self::provided(&mut state_ref.next_spare, outcome);
        Self::tell_of_room(state);
        Ok(())
    }

    fn provided(provision: &mut Provision, outcome: Result<()>) {
        provision.busy = false;
        provision.wanted = false;
        provision.attempts += 1;
        provision.failed = outcome.err();
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

    /// Whether the active segment should get its next step of allocation.
    pub(super) fn extension_due(state: &State) -> bool {
        let Some(active) = &state.active else {
            return false;
        };
        let segment = &active.segment;
        let reserve = segment.header.capacity - segment.data_limit;
        let left = active
            .allocated
            .saturating_sub(state.filling.end().get() + reserve);
        let ahead = left < ALLOCATION_AHEAD && state.extension.failed.is_none();
        // A close has cut the file, or is about to.
        matches!(state.status, Status::Open)
            && active.allocated < segment.header.capacity
            && active.in_reserve.is_none()
            && !state.extension.busy
            && (state.extension.wanted || ahead)
    }

    /// Allocates the next step: the caller has set `extension.busy`.
    pub(super) fn extend(&self) {
        let (segment, from, to) = {
            let state = self.state();
            let Some(active) = &state.active else { return };
            let most = active.segment.header.capacity;
            let reserve = most - active.segment.data_limit;
            let wanted = state.extension.need.max(state.filling.end().get()) + reserve;
            let to = (wanted + ALLOCATION_STEP)
                .max(active.allocated + ALLOCATION_STEP)
                .min(most);
            (Arc::clone(&active.segment), active.allocated, to)
        };
        let outcome = allocate(&*segment.file, from, to);
        let mut state = self.state();
        let outcome = match outcome {
            Ok(()) => {
                if let Some(active) = &mut state.active
                    && active.segment.id() == segment.id()
                {
                    active.allocated = to;
                }
                Ok(())
            }
            Err(error) => Err(self.provision_error("the record", error)),
        };
        let state_ref = &mut *state;
        Self::provided(&mut state_ref.extension, outcome);
        Self::tell_of_room(state);
    }

    /// Whether a rotated segment waits for its sync, which nothing else will do soon.
    pub(super) fn rotated_sync_due(state: &State) -> bool {
        !state.syncing
            && state.dirty.len() > 1
            && state
                .dirty
                .front()
                .is_some_and(|first| first.end == Some(first.written))
            && matches!(state.status, Status::Open | Status::Closing)
    }

    /// Whether the oldest rotated segment may get its footer: its data and its successor's name are synced.
    pub(super) fn seal_due(state: &State) -> bool {
        !state.sealing_busy
            && !state.ahead.is_busy()
            && matches!(state.status, Status::Open | Status::Closing)
            && state.sealing.front().is_some_and(|sealing| {
                // A footer says that all before it is durable, and names a successor that is.
                let named = state.dir_synced >= sealing.successor
                    || sabotage::is("sealed-before-the-successor-is-named");
                let synced = state
                    .dirty
                    .front()
                    .is_none_or(|dirty| dirty.segment.id() > sealing.segment.id());
                (named && synced) || sabotage::is("sealed-before-it-is-synced")
            })
    }

    /// Writes the oldest footer: the caller has set `sealing_busy`.
    pub(super) fn seal(&self) -> Result<()> {
        let (sealing, log_first) = {
            let mut state = self.state();
            let Some(sealing) = state.sealing.pop_front() else {
                state.sealing_busy = false;
                return Ok(());
            };
            // A later cut may be in the successor, and lost with it: then the log ends here.
            let log_first = state.log_first.min(sealing.end_lsn.next());
            (sealing, log_first)
        };
        let outcome = write_footer(&sealing, log_first);
        // A sealed segment is closed.
        if sabotage::is("sealed-segment-kept-open") {
            std::mem::forget(Arc::clone(&sealing.segment));
        }
        let mut state = self.state();
        state.sealing_busy = false;
        if let Err(error) = outcome {
            let during = format!("sealing segment {}", sealing.segment.id());
            return Err(self.poison(state, during, error));
        }
        // A rotation may be waiting for it.
        Self::tell_of_room(state);
        Ok(())
    }

    /// Makes the reserve again, if it was used.
    fn renew_reserve(&self) {
        let reserve = self.settings.reserve();
        let files = {
            let state = self.state();
            if state.reserve || sabotage::is("reserve-not-made-again") {
                return;
            }
            state.reserve_files(reserve)
        };
        let made = recovery::ensure_reserve(&*self.storage, reserve, files);
        self.state().reserve |= made;
    }

    /// Unlinks what a truncation left behind, oldest first: the caller has set `retiring_busy`.
    pub(super) fn retire(&self) -> Result<()> {
        self.forget_all();
        loop {
            let name = self.state().retiring.front().cloned();
            let Some(name) = name else { break };
            let removed =
                recovery::remove_or_reuse(&*self.storage, &name, self.settings.reserve(), || {
                    self.sync_directory().map_err(|(_, error)| error)
                });
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    // The truncation itself is durable: what stays is a leftover that the next open removes.
                    let mut state = self.state();
                    state.retiring.clear();
                    break;
                }
                Ok(()) | Err(_) => {
                    // Its space is free once no process has it open.
                    if let FileName::Segment(id) = FileName::parse(&name)
                        && !sabotage::is("removed-file-kept-open")
                    {
                        self.files.forget(id);
                    }
                    self.state().retiring.pop_front();
                }
            }
        }
        // There may be room now.
        self.renew_reserve();
        let outcome = self.sync_directory();
        let mut state = self.state();
        state.retiring_busy = false;
        // Also for a log that lives in its reserve.
        state.next_spare.wanted |= state.in_reserve().is_some();
        if let Err((during, error)) = outcome {
            return Err(self.poison(state, during, error));
        }
        let mut wakers = Vec::new();
        state.waiters.take_finished(&mut wakers);
        drop(state);
        wake_all(wakers);
        Ok(())
    }
}

/// Footer, sync, cut. All before the footer is durable, so the footer's own sync is the only one on the file.
pub(crate) fn write_footer(sealing: &Sealing, log_first: Lsn) -> io::Result<()> {
    let mut groups = GroupWriter::new(sealing.segment.frame, 0);
    groups.reset(
        sealing.segment.frame,
        sealing.end_offset,
        sealing.end_digest,
        sealing.end_lsn.next(),
    );
    groups.set_time(sealing.until);
    let header = &sealing.segment.header;
    let room = match header.origin {
        // It is short, and has no room for an index.
        Origin::Reserve => 0,
        _ => header.layout().index_room(sealing.end_offset.get()),
    };
    let mut more = sealing.index.write(&mut groups, room);
    more.control = sealing.control.clone();
    more.time_greatest = more.time_greatest.max(sealing.until);
    let entries = sealing.index.entries();
    groups.footer(&FooterFacts {
        record_count: sealing.records,
        successor: sealing.successor,
        log_first,
        index: entries,
        more: Some(&more),
    });
    let file = &sealing.segment.file;
    file.write_all_at(groups.bytes(), groups.start().get())?;
    // The clean mark is durable before the file is cut behind it.
    sabotage::unless("footer-sync-skipped", || file.sync_data())?;
    if header.origin == Origin::Reserve && sealing.successor == SegmentId::NONE {
        // It keeps its space: it becomes the reserve again.
        return Ok(());
    }
    // Not synced: a file that is longer after a crash is read by its groups.
    file.set_len(groups.end().get())
}
