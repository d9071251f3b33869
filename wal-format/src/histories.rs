//! Which records of a segment were appended in which history.
//!
//! Deliberately absent: other segments. Whether a record's history is the one that a cursor names is decided by who sees the
//! whole chain.

use std::fmt;
use std::sync::Arc;

use crate::error::GroupError;
use crate::ids::Lsn;
use crate::limits::{LINK_BODY_LEN, MOST_STRETCHES, STRETCH_LEN};
use crate::wire::{put, u16_at, u64_at};

/// A session of appending: a random number, not 0, that every open that appends draws, and every `truncate_after`. Records keep
/// the one in which they were appended first, also where they are copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct History(u64);

impl History {
    /// No record, or one of version 1.
    pub const NONE: Self = Self(0);

    /// Takes the number as it is.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The bare number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for History {
    /// 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Records that follow each other and have the same history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The last LSN that it may have; of the last stretch 2^64 - 1.
    pub to: Lsn,
    /// Its history.
    pub history: History,
}

/// The histories of a segment's records, and of the one before them.
///
/// ```
/// use wal_format::{Histories, History, Lsn, Stretch};
///
/// let copied = Stretch { to: Lsn::new(20), history: History::new(7) };
/// let histories = Histories::after(History::new(3), &[copied], History::new(9));
/// assert_eq!(histories.of(Lsn::new(20)), History::new(7));
/// assert_eq!(histories.of(Lsn::new(21)), History::new(9));
/// assert_eq!(histories.newest(), History::new(9));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histories {
    before: History,
    stretches: Arc<[Stretch]>,
}

/// Where a link's payload has the number of stretches, and the history before the segment.
const COUNT: usize = 46;
const BEFORE: usize = 56;
/// The `to` of a last stretch.
const OPEN: Lsn = Lsn::new(u64::MAX);

impl Histories {
    /// Of a segment of version 1: nothing is known.
    #[must_use]
    pub fn unknown() -> Self {
        Self::after(History::NONE, &[], History::NONE)
    }

    /// Of a segment that begins after a record of the history `before` with copies of `copied` records, the stretches in
    /// ascending order, and whose new records have the history `new`. Neighbours of the same history become one stretch.
    #[must_use]
    pub fn after(before: History, copied: &[Stretch], new: History) -> Self {
        let last = Stretch {
            to: OPEN,
            history: new,
        };
        let mut stretches: Vec<Stretch> = Vec::with_capacity(copied.len() + 1);
        for stretch in copied.iter().copied().chain([last]) {
            match stretches.last_mut() {
                Some(before) if before.history == stretch.history => before.to = stretch.to,
                _ => stretches.push(stretch),
            }
        }
        Self {
            before,
            stretches: stretches.into(),
        }
    }

    /// The history of the record before the segment's first.
    #[must_use]
    pub fn before(&self) -> History {
        self.before
    }

    /// All stretches, in ascending order; at least one.
    #[must_use]
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// The history of the segment's new records.
    #[must_use]
    pub fn newest(&self) -> History {
        self.stretches
            .last()
            .map_or(History::NONE, |last| last.history)
    }

    /// The history of a record of the segment.
    #[must_use]
    pub fn of(&self, lsn: Lsn) -> History {
        let at = self.stretches.partition_point(|stretch| stretch.to < lsn);
        self.stretches[at.min(self.stretches.len() - 1)].history
    }

    /// The stretches of the segment's records above `after` up to `to`, in ascending order.
    #[must_use]
    pub fn between(&self, after: Lsn, to: Lsn) -> Vec<Stretch> {
        let mut between = Vec::new();
        for stretch in self.stretches.iter().filter(|stretch| stretch.to > after) {
            if after >= to || between.last().is_some_and(|last: &Stretch| last.to >= to) {
                break;
            }
            let to = stretch.to.min(to);
            between.push(Stretch { to, ..*stretch });
        }
        between
    }

    /// The part of a link's payload that version 2 adds.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        put(bytes, BEFORE, &self.before.get().to_le_bytes());
        let count = self.stretches.len() as u16;
        put(bytes, COUNT, &count.to_le_bytes());
        for stretch in &*self.stretches {
            bytes.extend_from_slice(&stretch.to.get().to_le_bytes());
            bytes.extend_from_slice(&stretch.history.get().to_le_bytes());
        }
    }

    /// Reads it; `first_lsn` is the segment's.
    pub(super) fn decode(payload: &[u8], first_lsn: Lsn) -> Result<Self, GroupError> {
        let count = usize::from(u16_at(payload, COUNT));
        if count == 0
            || count > MOST_STRETCHES
            || payload.len() != LINK_BODY_LEN + count * STRETCH_LEN
        {
            return Err(GroupError::Field(
                "the payload has not the length of its stretches",
            ));
        }
        let stretches = payload[LINK_BODY_LEN..].chunks_exact(STRETCH_LEN);
        let stretches: Arc<[Stretch]> = stretches
            .map(|bytes| Stretch {
                to: Lsn::new(u64_at(bytes, 0)),
                history: History::new(u64_at(bytes, 8)),
            })
            .collect();
        let ascends = stretches.is_sorted_by(|a, b| a.to < b.to) && stretches[0].to >= first_lsn;
        if !ascends || stretches[count - 1].to != OPEN {
            return Err(GroupError::Field("the link's stretches do not ascend"));
        }
        Ok(Self {
            before: History::new(u64_at(payload, BEFORE)),
            stretches,
        })
    }
}
