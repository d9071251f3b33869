//! Records that enter the log without waiting: for a caller that keeps a state of its own in the order of the log.
//!
//! Such a caller holds a lock of its own from the entry to the change of its state. [`Wal::append`](crate::blocking::Wal::append)
//! may wait for space and for a sync; what is here waits for neither, so that the lock is never held across I/O.

use wal_format::{EncodedRecord, Record, RecordRef};

use crate::blocking::Wal;
use crate::{Appended, Position, Result};

/// Records that are encoded and checksummed, and enter the log as one batch.
#[derive(Debug)]
pub struct Prepared<'a>(Encoded<'a>);

#[derive(Debug)]
enum Encoded<'a> {
    One([EncodedRecord<'a>; 1]),
    Batch(Vec<EncodedRecord<'a>>),
}

impl<'a> Prepared<'a> {
    pub(crate) fn records(&self) -> &[EncodedRecord<'a>] {
        match &self.0 {
            Encoded::One(one) => one,
            Encoded::Batch(batch) => batch,
        }
    }

    /// Bytes that the records take in a group.
    #[must_use]
    pub fn encoded_len(&self) -> u64 {
        let records = self.records().iter();
        records.map(|record| record.len() as u64).sum()
    }
}

impl Wal {
    /// Encodes a record, so that it can enter the log.
    ///
    /// # Errors
    /// [`TooLarge`](crate::Error::TooLarge), [`InvalidRecord`](crate::Error::InvalidRecord),
    /// [`CompressionUnavailable`](crate::Error::CompressionUnavailable), [`ReadOnly`](crate::Error::ReadOnly).
    pub fn prepare<'a>(&self, record: impl Into<RecordRef<'a>>) -> Result<Prepared<'a>> {
        let encoded = self.handle.engine()?.encode(record.into())?;
        Ok(Prepared(Encoded::One([encoded])))
    }

    /// Encodes records that survive a crash all or none.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare); [`TooLarge`](crate::Error::TooLarge) also if the batch does not fit in a segment.
    pub fn prepare_batch<'a>(&self, records: &'a [Record]) -> Result<Prepared<'a>> {
        let encoded = self.handle.engine()?.encode_batch(records)?;
        Ok(Prepared(Encoded::Batch(encoded)))
    }

    /// Gives the records their place in the log if there is room for them now; never waits for I/O. `None`: nothing has entered;
    /// [`wait_for_room`](Self::wait_for_room) says when to try again. An empty batch enters nothing, at the next position.
    ///
    /// # Durability
    /// None, under any policy. Whoever needs it calls [`wait_durable`](Self::wait_durable) for the last LSN; under
    /// [`Always`](crate::FsyncPolicy::Always) somebody has to, since no timer syncs there.
    ///
    /// # Errors
    /// [`Poisoned`](crate::Error::Poisoned) or [`Closed`](crate::Error::Closed): nothing has entered.
    pub fn try_append(&self, prepared: &Prepared<'_>) -> Result<Option<Appended>> {
        let entered = self.handle.engine()?.try_append(prepared.records())?;
        Ok(entered.map(|(first, last_lsn): (Position, _)| Appended { first, last_lsn }))
    }
}
