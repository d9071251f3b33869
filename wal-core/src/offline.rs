//! The tools for a log that is not open: verify, repair, truncate.

mod remove;

use std::path::Path;

use wal_format::Lsn;
use wal_io::{DiskStorage, Storage};

pub use self::remove::Truncation;
use self::remove::{Mode, truncate};
use crate::sync::Arc;
use crate::{Error, RepairOptions, RepairReport, Result, VerifyOptions, VerifyReport};

/// A log that is not open here. Its calls work on the log's files, and each takes the lock only if it changes them.
///
/// ```
/// use wal_core::{Offline, RepairMode, VerifyOptions, WalConfig, blocking::Wal};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("log");
/// Wal::open(&dir, WalConfig::default())?.close()?;
/// let log = Offline::at(&dir);
/// assert_eq!(log.verify(VerifyOptions::default())?.damage().count(), 0);
/// assert!(log.repair(RepairMode::DryRun)?.is_whole());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Offline {
    storage: Arc<dyn Storage>,
}

impl Offline {
    /// The log in the directory `dir`.
    pub fn at(dir: impl AsRef<Path>) -> Self {
        Self::on(Arc::new(DiskStorage::new(dir.as_ref())))
    }

    /// The log in `storage`.
    #[must_use]
    pub fn on(storage: Arc<dyn Storage>) -> Self {
        Self { storage }
    }

    /// Reads every byte of the log and reports what is damaged. Takes no lock and changes nothing.
    ///
    /// Uses one thread per core ([`VerifyOptions`] has less) and 256 KiB of memory for each (more for a larger record).
    ///
    /// # Errors
    /// The log could not be read at all: [`NotALog`](Error::NotALog), [`UnknownVersion`](Error::UnknownVersion),
    /// [`Io`](Error::Io), or a file without a valid header. Damage found later is in the report.
    pub fn verify(&self, options: VerifyOptions) -> Result<VerifyReport> {
        options.run(&self.storage)
    }

    /// Repairs the log, or reports what a repair would do: [`RepairMode`](crate::RepairMode).
    ///
    /// Records keep their LSNs. LSNs without a record become a gap that the log knows of: it opens, and readers [say
    /// so](Error::Gap) in their place. The next record never gets an LSN that was given before, as far as anything in the files tells.
    /// Of a batch that lost a record the others are kept. Damaged files are kept whole under `quarantine/`. Without damage nothing is
    /// done. It reads the whole log, and the repaired one again.
    ///
    /// A log that has a segment of version 2 of the format is repaired in place. Each damaged or missing segment before the newest is
    /// written anew under its own name, with the records that can be read. If the newest is damaged, what can be read of it is copied
    /// to a new segment. No other segment changes, so a repair needs at most twice the space of the damaged ones.
    ///
    /// In a log of version 1, every record that can be read from the first damaged segment on is copied to new segments of the log's
    /// size. If only the newest segment is damaged, only that one is copied. [`RepairOptions::format_version`] repairs such a log in place as well.
    ///
    /// The repaired log is verified, and damage that the first had hidden is repaired too: a dry run cannot tell that.
    ///
    /// # Durability
    /// With [`RepairMode::Apply`](crate::RepairMode::Apply) the repaired log is durable when it returns. In version 2, one rename commits the repair of each
    /// segment. A crash on the way leaves the damaged log as it was, the repaired one, or in version 2 one with less damage; repair it
    /// again.
    ///
    /// # Errors
    /// [`Locked`](Error::Locked) if a writer has the log; [`NoSpace`](Error::NoSpace) if there is no room for the copies, with the number
    /// of bytes, in a dry run too: nothing has changed; [`Corruption`](Error::Corruption) if nothing at all can be read;
    /// [`NotALog`](Error::NotALog), [`UnknownVersion`](Error::UnknownVersion) or [`Io`](Error::Io).
    pub fn repair(&self, options: impl Into<RepairOptions>) -> Result<RepairReport> {
        options.into().run(&self.storage)
    }

    /// Removes the records before `lsn` without opening the log and without writing a byte.
    ///
    /// Opening a log after an unclean stop may need space for a copy of the records that nothing proves durable. If there is no
    /// space, [`Wal::truncate_before`](crate::blocking::Wal::truncate_before) cannot be called. This call drops records that are
    /// proven durable, and removes the segments that hold no others, if there are any. The file of the oldest one is renamed, so
    /// that its name remembers the log's first LSN until a segment does. This takes no space.
    ///
    /// # Durability
    /// Durable when it returns. A crash inside leaves the log with its old first LSN or the new one.
    ///
    /// # Errors
    /// [`NotAppended`](Error::NotAppended) if `lsn` is beyond the log's end, [`Locked`](Error::Locked), and what opening the log
    /// for reading gives: [`NotALog`](Error::NotALog), [`Corruption`](Error::Corruption),
    /// [`MissingSegment`](Error::MissingSegment), [`UnknownVersion`](Error::UnknownVersion), [`ControlLost`](Error::ControlLost),
    /// [`Io`](Error::Io).
    pub fn truncate_before(&self, lsn: impl Into<Lsn>) -> Result<Truncation> {
        truncate(&self.storage, lsn.into(), Mode::Apply)
    }

    /// Reports what [`truncate_before`](Self::truncate_before) would do. Changes no byte.
    ///
    /// # Errors
    /// As [`truncate_before`](Self::truncate_before).
    pub fn plan_truncate_before(&self, lsn: impl Into<Lsn>) -> Result<Truncation> {
        truncate(&self.storage, lsn.into(), Mode::Plan)
    }

    /// Bytes that can still be allocated on the log's file system, if it reports them.
    ///
    /// # Errors
    /// [`Io`](Error::Io): the system call failed.
    pub fn free_space(&self) -> Result<Option<u64>> {
        let io = |error| Error::io(self.storage.location(), "asking for the free space", error);
        self.storage.free_space().map_err(io)
    }
}
