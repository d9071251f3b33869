//! Changes from outside to the directory of an open log, and what must hold then: no acknowledged record is lost, no lost
//! record is acknowledged, and a log at the old path is untouched. Damage to bytes is in the sweep.

use wal_core::blocking::Wal;
use wal_core::{Error, Lsn, Position, RecordRef, SegmentId};
use wal_io::fault::{Background, Image};

use crate::oracle::{Violation, fail_if};
use crate::place::{Displaced, Neighbour};
use crate::program::Meddling;
use crate::runner::{Next, Runner, Stop, broken};
use crate::space::{segment_name, segments_of};
use crate::states::States;

/// The file that users may take for stale; see docs/durability.md.
const LOCK_NAME: &str = "lock";
/// The records of another log at the old path.
const NEIGHBOUR_RECORDS: u64 = 8;
/// Its identities are its own.
const NEIGHBOUR_SEED: u64 = 0x0BAD_CAFE;

impl Runner {
    /// At most one of these in a life, but for the lock's file.
    pub(crate) fn meddle(&mut self, wal: &Wal, by: Meddling) -> Result<Next, Stop> {
        if self.place.is_displaced() {
            return Ok(Next::Go);
        }
        if by == Meddling::RemoveLock {
            // Somebody may have deleted it before.
            let _ = self.storage.remove_file(LOCK_NAME);
            return self.second_writer();
        }
        let Some(displaced) = self.newest(wal, by)? else {
            return Ok(Next::Go);
        };
        // The log does not check the names of files that it no longer writes.
        if by == Meddling::RemoveNewest && self.place.written != Some(displaced.newest) {
            return Ok(Next::Go);
        }
        let durable = wal.durable_lsn().get();
        self.place.displaced = Some(displaced);
        match by {
            Meddling::Move => self.move_away()?,
            Meddling::Replace => {
                let old = self.place.name.clone();
                self.move_away()?;
                self.settle_beside(old)?;
            }
            Meddling::RemoveDirectory => {
                self.watching.0 = None;
                self.oracle.forbid_above(durable);
                self.control.forbid();
                self.storage.remove_directory().map_err(unexpected)?;
                self.storage = self.storage.at_the_same_path();
            }
            Meddling::RemoveNewest => {
                self.watching.0 = None;
                self.oracle
                    .forbid_above(durable.max(displaced.before_newest));
                let file = segment_name(displaced.newest);
                self.storage.remove_file(&file).map_err(unexpected)?;
            }
            Meddling::RemoveLock => {}
        }
        Ok(Next::Go)
    }

    /// The newest segment, if the log can tell.
    fn newest(&mut self, wal: &Wal, by: Meddling) -> Result<Option<Displaced>, Stop> {
        let files = self.storage.image();
        let newest = wal.list_segments().and_then(|segments| {
            // While the log lives in its reserve, the newest segment has no file of its own.
            let has_file = |id: &SegmentId| files.get(&segment_name(*id)).is_some();
            let Some(newest) = segments.last().copied().filter(has_file) else {
                return Ok(None);
            };
            let first = wal.read_segment(newest)?.next_record()?;
            let last = self.oracle.last();
            Ok(Some(Displaced {
                by,
                newest,
                before_newest: first.map_or(last, |(_, position)| position.lsn.get() - 1),
            }))
        });
        match newest {
            Ok(newest) => Ok(newest),
            Err(error) if self.excused(&error) => Ok(None),
            Err(error) if self.is_loud(&error) => Err(Stop::Loud),
            Err(error) => broken(format!("finding the newest segment: {error}")),
        }
    }

    fn move_away(&mut self) -> Result<(), Stop> {
        self.place.moves += 1;
        let name = format!("moved-{}", self.place.moves);
        self.storage = self.storage.move_directory(&name).map_err(unexpected)?;
        self.place.name = name;
        Ok(())
    }

    /// Another log takes the old path.
    fn settle_beside(&mut self, name: String) -> Result<(), Stop> {
        let old = self.storage.beside(&name);
        let len = (self.setup.config.max_segment_size / 6) as usize;
        let settled = self
            .open_in(&old, self.seed ^ NEIGHBOUR_SEED)
            .and_then(|wal| {
                for number in 0..NEIGHBOUR_RECORDS {
                    wal.append(RecordRef::data(&vec![number as u8; len]))?;
                }
                wal.close()
            });
        match settled {
            Ok(()) => self.place.neighbours.push(Neighbour {
                name,
                segments: segments_of(&old),
            }),
            Err(error) if self.excused(&error) => {}
            Err(error) => return broken(format!("another log at the old path: {error}")),
        }
        Ok(())
    }

    /// A record was given its place: in a segment that was begun in a displaced log, none is acknowledged.
    pub(crate) fn place_found(&mut self, position: Position) {
        self.place.written = Some(position.segment_id);
        if let Some(displaced) = self.place.displaced
            && position.segment_id > displaced.newest
        {
            self.oracle.forbid_above(position.lsn.get() - 1);
        }
    }

    /// Records were dropped from the end: what is left has been copied out of the newest segment, which is no part of the log any more.
    pub(crate) fn cut_while_displaced(&mut self, dropped: bool) {
        if dropped && self.place.by() == Some(Meddling::RemoveNewest) {
            self.place.displaced = None;
            self.oracle.allow();
            self.control.allow();
        }
    }

    /// A close has succeeded: then nothing was wrong.
    pub(crate) fn check_closed(&self) -> Result<(), Stop> {
        match self.place.by() {
            Some(by) if !self.storage.has_lost_power() => {
                broken(format!("a close says nothing of {by:?}"))
            }
            _ => Ok(()),
        }
    }

    /// What must hold after a session in which the directory was changed.
    pub(crate) fn after_meddling(&mut self) -> Result<(), Stop> {
        self.check_neighbours()?;
        self.place.written = None;
        let Some(displaced) = self.place.displaced.take() else {
            return Ok(());
        };
        self.oracle.allow();
        self.control.allow();
        match displaced.by {
            Meddling::RemoveDirectory => {
                self.oracle.start_over();
                self.control = States::default();
                self.settled();
                Ok(())
            }
            Meddling::RemoveNewest => {
                self.check_remains(displaced.before_newest)?;
                Err(Stop::Loud)
            }
            Meddling::Move | Meddling::Replace | Meddling::RemoveLock => Ok(()),
        }
    }

    /// No byte of another log was touched.
    pub(crate) fn check_neighbours(&mut self) -> Result<(), Violation> {
        if self.oracle.is_distrusted() {
            self.place.neighbours.clear();
        }
        for neighbour in &self.place.neighbours {
            let found = segments_of(&self.storage.beside(&neighbour.name));
            fail_if!(
                !is_untouched(&neighbour.segments, &found),
                "the log at the old path {} became {found:?}, it was {:?}",
                neighbour.name,
                neighbour.segments
            );
            self.outcome.neighbours += 1;
        }
        Ok(())
    }

    /// A segment was deleted: records acknowledged before it are in the log, or their loss is reported.
    fn check_remains(&mut self, before: u64) -> Result<(), Stop> {
        self.relieve();
        self.storage.set_background(Background::Idle);
        let must = match self.oracle.cut_asked() {
            Some(_) => 0,
            // All of these were removed, perhaps with their segments.
            None if before < self.oracle.first() => 0,
            None => self.oracle.must(self.after).min(before),
        };
        let wal = match self.open() {
            Ok(wal) => wal,
            Err(Error::MissingSegment { .. } | Error::Corruption(_) | Error::NotALog { .. }) => {
                return Ok(());
            }
            Err(error) => return broken(format!("a segment was deleted: {error}")),
        };
        let last = wal.last_lsn().get();
        fail_if!(
            last < must && !self.oracle.is_distrusted(),
            "a segment was deleted, and the log ends at LSN {last} without a word, {must} are before it"
        );
        let reader = wal.read_from(Lsn::ZERO);
        for step in reader.map_err(|error| Violation(error.to_string()))? {
            match step {
                Ok((record, position)) => {
                    let lsn = position.lsn.get();
                    // The file may have been all that said that newer records were dropped.
                    if !self.oracle.was_dropped(lsn, &record.value) {
                        self.oracle.check_record(lsn, &record.value)?;
                    }
                }
                // A sync that has lied has lost it, not whoever deleted the segment.
                Err(_) if self.oracle.is_distrusted() => return Ok(()),
                // The loss is reported.
                Err(Error::Corruption(_)) => return Ok(()),
                Err(error) => return broken(format!("a segment was deleted: {error}")),
            }
        }
        Ok(())
    }
}

/// A cut at a segment's end may be undone by a power loss: what it gave back is space, nothing else.
fn is_untouched(before: &Image, now: &Image) -> bool {
    before.files().count() == now.files().count()
        && before
            .files()
            .all(|(name, bytes)| now.get(name).is_some_and(|now| now.starts_with(bytes)))
}

fn unexpected(error: impl std::fmt::Display) -> Stop {
    Stop::Broken(Violation(format!("meddling: {error}")))
}
