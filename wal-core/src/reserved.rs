//! Calls that work on a full disk, in the space that the log keeps for them.

use wal_format::{Lsn, RecordRef};

use crate::blocking::Wal;
use crate::shell::Shell;
use crate::{Position, Result};

impl Wal {
    /// Appends `record`, with at most 4 KiB of key and value, and removes the records before `lsn`, which stays. Both are in one write. On a
    /// full disk, the log goes on in the space that it keeps for that, if its segments have version 2. There is room for 16 of these
    /// calls, until a segment can be allocated again.
    ///
    /// # Durability
    /// Durable when it returns. After a crash inside, the log has neither, only the record, or both.
    ///
    /// # Errors
    /// As [`truncate_before`](Self::truncate_before), and [`TooLarge`](crate::Error::TooLarge).
    #[doc(hidden)]
    pub fn truncate_before_with<'a>(
        &self,
        lsn: impl Into<Lsn>,
        record: impl Into<RecordRef<'a>>,
    ) -> Result<Position> {
        let (engine, lsn) = (self.engine()?, lsn.into());
        let done = engine.truncate_before_with(lsn, record.into(), Shell::Blocking);
        crate::blocking::wait(engine, done)
    }

    /// Appends `record`, with at most 512 bytes of key and value. On a full disk, the log goes on in the space that it keeps for
    /// that, if its segments have version 2. There is room for 64 of these records, besides the calls of
    /// [`truncate_before_with`](Self::truncate_before_with), until a segment can be allocated again.
    ///
    /// # Durability
    /// As [`append`](Self::append).
    ///
    /// # Errors
    /// As [`append`](Self::append).
    #[doc(hidden)]
    pub fn append_reserved<'a>(&self, record: impl Into<RecordRef<'a>>) -> Result<Position> {
        let engine = self.engine()?;
        crate::blocking::wait(
            engine,
            engine.append_reserved(record.into(), Shell::Blocking),
        )
    }
}

#[cfg(feature = "tokio")]
impl crate::Wal {
    /// As [`blocking::Wal::truncate_before_with`](crate::blocking::Wal::truncate_before_with).
    ///
    /// # Errors
    /// The same.
    ///
    /// # Cancel safety
    /// Once the record is appended, the truncation takes place all the same.
    #[doc(hidden)]
    pub async fn truncate_before_with<'a>(
        &self,
        lsn: impl Into<Lsn>,
        record: impl Into<RecordRef<'a>>,
    ) -> Result<Position> {
        let (engine, lsn, record) = (self.engine()?, lsn.into(), record.into());
        engine.truncate_before_with(lsn, record, Shell::Async).await
    }

    /// As [`blocking::Wal::append_reserved`](crate::blocking::Wal::append_reserved).
    ///
    /// # Errors
    /// The same.
    ///
    /// # Cancel safety
    /// As [`append`](Self::append).
    #[doc(hidden)]
    pub async fn append_reserved<'a>(&self, record: impl Into<RecordRef<'a>>) -> Result<Position> {
        let (engine, record) = (self.engine()?, record.into());
        engine.append_reserved(record, Shell::Async).await
    }
}
