//! Where the log starts, what its truncations have dropped, and those that are asked for.

use wal_format::{Lsn, SegmentId};

use super::requests::Requests;
use crate::segment::Eras;
use crate::{Error, Result};

/// A request to go on in a new segment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rewind {
    /// To drop the records above this LSN.
    To(Lsn),
    /// To go on in the reserve, with all records.
    IntoReserve,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Truncations {
    log_first: Lsn,
    /// The buffer that holds the last change of the first LSN.
    cut_serial: u64,
    /// And its segment, which stays: nothing else is sure to know the log's first LSN.
    cut_segment: SegmentId,
    eras: Eras,
    /// Truncations of the newest records, and moves into the reserve.
    pub(super) rewinds: Requests<Rewind>,
    /// Truncations of the oldest records for which the disk had no room.
    pub(super) forgets: Requests<Lsn>,
}

impl Truncations {
    pub(super) fn new(log_first: Lsn, eras: Eras) -> Self {
        Self {
            log_first,
            cut_serial: 0,
            cut_segment: SegmentId::NONE,
            eras,
            rewinds: Requests::default(),
            forgets: Requests::default(),
        }
    }

    pub(super) fn log_first(&self) -> Lsn {
        self.log_first
    }

    /// Lets the log start at `lsn`, if it does not start behind it.
    pub(super) fn raise_first(&mut self, lsn: Lsn) {
        self.log_first = self.log_first.max(lsn);
    }

    /// The buffer `serial` says that, in `segment`.
    pub(super) fn note_cut(&mut self, serial: u64, segment: SegmentId) {
        self.cut_serial = serial;
        self.cut_segment = segment;
    }

    pub(super) fn cut_serial(&self) -> u64 {
        self.cut_serial
    }

    pub(super) fn cut_segment(&self) -> SegmentId {
        self.cut_segment
    }

    pub(super) fn eras(&self) -> &Eras {
        &self.eras
    }

    /// The newest records were dropped, or copied into a segment of the reserve: the log goes on in `segment`.
    pub(super) fn rewound(&mut self, dropped_after: Option<Lsn>, segment: SegmentId) {
        self.cut_segment = segment;
        if let Some(kept) = dropped_after {
            self.eras.begin(kept, segment);
        }
    }

    /// The records before `lsn` are no longer in the log; with `kept`, those above it.
    pub(super) fn error(&self, kept: Option<Lsn>) -> Error {
        Error::Truncated {
            first: self.log_first,
            kept,
        }
    }

    /// The last LSN that stays of a log that ends with `last`, if records above `lsn` are dropped; `None` if there are none.
    pub(super) fn kept_by(&self, lsn: Lsn, last: Lsn) -> Result<Option<Lsn>> {
        if lsn > last {
            let next = last.next();
            return Err(Error::NotAppended { lsn, next });
        }
        let before = self.log_first.prev();
        if lsn < before && lsn != Lsn::ZERO {
            return Err(self.error(None));
        }
        let kept = lsn.max(before);
        Ok((kept < last).then_some(kept))
    }
}
