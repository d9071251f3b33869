//! Writing: condition, limits, entry into the log and change of the index, under one lock, in the order of the log.
//!
//! The lock is the index's writer lock. It is held for as long as memory takes and never across I/O: a write that finds no room in
//! the log lets go of it and tries again. No read takes it. Deliberately absent: waiting for room and for the disk (`call.rs`).

use std::time::Duration;

use bytes::Bytes;
use wal_core::{FsyncPolicy, Position, Prepared, RecordRef, UnixMillis};

use super::Core;
use super::limits::Room;
use crate::batch::{Batch, Records};
use crate::config::{Condition, MAX_KEY};
use crate::history::shifted;
use crate::index::{Change, Version};
use crate::sync::Ordering;
use crate::{Error, Result};

/// What one try to write came to.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It is in the log and in the index.
    Entered(Written),
    /// The log has no room now: wait for some, and try again.
    NoRoom,
    /// Keys that have expired are to make room in memory, and the log has none for the mark of their sweep: wait for some, and try
    /// again. If there will be none, this is why the write is refused.
    NoRoomForMark(Error),
    /// The log is at its bound: wait for a snapshot, and try again.
    AtBound,
    /// The value is to have another expiry than the write was prepared with: prepare it again.
    ExpiryChanged,
    /// The condition does not hold. `seen` is the LSN of what was found, if that is not durable yet.
    Refused {
        found: Option<Bytes>,
        seen: Option<u64>,
    },
}

/// What must hold when a write takes its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard<'a> {
    pub(crate) condition: &'a Condition,
    /// A put has the expiry of the value that it replaces.
    pub(crate) keeps_expiry: bool,
}

/// A write that is ready to enter the log.
#[derive(Debug)]
pub(crate) struct Ready<'a> {
    pub(crate) prepared: Prepared<'a>,
    /// The log has expiries by the wall clock; this is how far it was ahead of the store's steady time.
    offset: i64,
}

/// A write that is in the log and in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) first: Position,
    /// LSN of the last record.
    pub(crate) last: u64,
}

impl Core {
    /// The record of a change.
    pub(crate) fn prepare<'a>(&self, change: &Change<'a>) -> Result<Ready<'a>> {
        let offset = self.index.time().offset();
        let record = match change {
            Change::Put {
                key,
                value,
                expires_at,
            } => {
                let record = RecordRef::put(key, value);
                match expires_at {
                    Some(at) => record.with_expiry(shifted(*at, offset)),
                    None => record,
                }
            }
            Change::Delete { key } => RecordRef::delete(key),
        };
        check_key(change.key())?;
        let prepared = self.wal.prepare(record)?;
        Ok(Ready { prepared, offset })
    }

    /// The records of a batch; each time to live begins now.
    pub(crate) fn records(&self, batch: Batch) -> Records {
        let time = self.index.time();
        batch.into_records(time.offset(), |ttl| time.after(ttl))
    }

    pub(crate) fn prepare_batch<'a>(&self, records: &'a Records) -> Result<Ready<'a>> {
        for record in records.as_slice() {
            check_key(&record.key)?;
        }
        Ok(Ready {
            prepared: self.wal.prepare_batch(records.as_slice())?,
            offset: records.offset(),
        })
    }

    /// Has the records say what they have to since the time was corrected.
    pub(crate) fn correct(&self, records: &mut Records) {
        records.move_to(self.index.time().offset());
    }

    /// When a key expires that lives for `ttl` from now on.
    pub(crate) fn after(&self, ttl: Duration) -> UnixMillis {
        self.index.time().after(ttl)
    }

    /// Whether a write is to wait for the disk before it returns, when its caller has not asked for that.
    pub(crate) fn waits(&self) -> bool {
        self.background.policy() == FsyncPolicy::Always
    }

    /// Tries to write. Once it has entered the log it is in the index too, at its place.
    pub(crate) fn attempt(
        &self,
        ready: &Ready<'_>,
        changes: &[Change<'_>],
        guard: Option<Guard<'_>>,
    ) -> Result<Attempt> {
        let mut writer = self.index.writer();
        if let (Some(guard), Some(change)) = (guard, changes.first()) {
            if let Some(refused) = self.refuse(guard.condition, change.key()) {
                return Ok(refused);
            }
            if guard.keeps_expiry && change.expires_at() != self.expiry(change.key()) {
                return Ok(Attempt::ExpiryChanged);
            }
        }
        // The time was corrected since it was prepared.
        if ready.offset != self.index.time().offset() && changes.iter().any(Change::expires) {
            return Ok(Attempt::ExpiryChanged);
        }
        if let Room::AfterAMark(error) = self.check_memory(&mut writer, changes)? {
            return Ok(Attempt::NoRoomForMark(error));
        }
        if self.is_at_bound(changes) {
            return Ok(Attempt::AtBound);
        }
        let Some(appended) = self.wal.try_append(&ready.prepared)? else {
            return Ok(Attempt::NoRoom);
        };
        let (first, last) = (appended.first, appended.last_lsn.get());
        let log_bytes = self.logged(first, ready.prepared.encoded_len());
        if !changes.is_empty() {
            let begin = first.lsn.get();
            let durable = || self.durable();
            if !self.index.apply(&mut writer, changes, begin, durable) {
                self.background.has_backlog();
            }
        }
        drop(writer);
        self.background.logged(log_bytes);
        if changes.iter().any(Change::expires) {
            self.background.has_expiring_keys();
        }
        Ok(Attempt::Entered(Written { first, last }))
    }

    /// When the value expires that a write would replace now, if there is one, by the steady time.
    pub(crate) fn expiry(&self, key: &[u8]) -> Option<UnixMillis> {
        let version = self.live(self.index.newest(key))?;
        let time = self.index.time();
        let is_steady = version.lsn() >= time.first();
        let at = version.expires_at()?;
        Some(if is_steady {
            at
        } else {
            shifted(at, -time.offset())
        })
    }

    fn refuse(&self, condition: &Condition, key: &[u8]) -> Option<Attempt> {
        let newest = self.index.newest(key);
        // What the caller is told must not be taken back by a crash.
        let seen = newest.as_ref().map(Version::lsn);
        let live = self.live(newest);
        let holds = match (condition, &live) {
            (Condition::Absent, live) => live.is_none(),
            (Condition::Present, live) => live.is_some(),
            (Condition::ValueIs(value), Some(live)) => live.value() == value,
            (Condition::LsnIs(lsn), Some(live)) => live.lsn() == lsn.get(),
            (Condition::ValueIs(_) | Condition::LsnIs(_), None) => false,
        };
        (!holds).then(|| Attempt::Refused {
            found: live.map(|live| live.value_bytes()),
            seen: seen.filter(|seen| *seen > self.durable()),
        })
    }

    /// Notes a write of `len` bytes, with the head of its group; under the lock of writers. Returns how long the log is by now.
    pub(super) fn logged(&self, first: Position, len: u64) -> u64 {
        let counters = &self.counters;
        let (segment, offset) = (first.segment_id.get(), first.offset.get());
        let end = counters.end_offset.swap(offset + len, Ordering::Relaxed);
        let same = counters.end_segment.swap(segment, Ordering::Relaxed) == segment;
        // The heads of segments are their own: `disk_bound` has them.
        let bytes = len + if same { offset.saturating_sub(end) } else { 0 };
        counters.log_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes
    }
}

fn check_key(key: &[u8]) -> Result<()> {
    if key.len() <= MAX_KEY {
        return Ok(());
    }
    Err(Error::KeyTooLarge {
        len: key.len(),
        limit: MAX_KEY,
    })
}
