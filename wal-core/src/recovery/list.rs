//! The files of a directory, by what their names say.

use std::io;

use wal_format::{FileName, Lsn, RESERVE_2_NAME, RESERVE_NAME, SegmentId};
use wal_io::{EntryKind, Storage};

use crate::directory::displaced;
use crate::error::Displacement;
use crate::{Error, Result};

/// The highest number that a file may have. New files get higher ones, and these must not run out.
const HIGHEST: SegmentId = SegmentId::new(u64::MAX / 2);

/// What lies in the directory.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Segments, ascending.
    pub(crate) segments: Vec<SegmentId>,
    pub(crate) spares: Vec<SegmentId>,
    pub(crate) temporaries: Vec<SegmentId>,
    /// What names say of the log's first LSN, ascending.
    pub(crate) firsts: Vec<Lsn>,
    /// How many files of the reserve exist: each holds space for one more segment.
    pub(crate) reserves: usize,
    /// The writer's lock file is there: a log was opened here before.
    pub(crate) lock: bool,
}

impl Listing {
    /// Reads the directory; `None` if it does not exist.
    ///
    /// # Errors
    /// [`Error::NotALog`] if there is anything that is not the log's.
    pub(crate) fn read(storage: &dyn Storage) -> Result<Option<Self>> {
        let location = storage.location();
        let not_a_log = |reason: String| Error::NotALog {
            location: location.clone(),
            reason,
        };
        let entries = match storage.list() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(not_a_log("it is a file, a log is a directory".into()));
            }
            Err(error) => return Err(Error::io(location, "listing the directory", error)),
        };
        let mut listing = Self::default();
        for entry in entries {
            let name = FileName::parse(&entry.name);
            let expected = if name == FileName::Quarantine {
                EntryKind::Directory
            } else {
                EntryKind::File
            };
            if entry.kind == EntryKind::Link && name != FileName::Ignored {
                return Err(not_a_log(format!(
                    "{:?} in it is a symbolic link, which is never followed: replace it with the file it points to, or use the directory that holds that file",
                    entry.name
                )));
            }
            if entry.kind != expected && name != FileName::Ignored {
                return Err(not_a_log(format!(
                    "{:?} in it is not the log's: name another directory, or find out whose it is before you move it",
                    entry.name
                )));
            }
            match name {
                // The next segment's id is above all of these.
                FileName::Segment(id) | FileName::Spare(id) | FileName::Temporary(id)
                    if id > HIGHEST =>
                {
                    return Err(not_a_log(format!(
                        "{:?} in it has a number that no log comes to: name another directory, or find out whose it is before you move it",
                        entry.name
                    )));
                }
                FileName::Segment(id) => listing.segments.push(id),
                FileName::Spare(id) => listing.spares.push(id),
                FileName::Temporary(id) => listing.temporaries.push(id),
                FileName::First(lsn) => listing.firsts.push(lsn),
                FileName::Lock => listing.lock = true,
                FileName::Ignored => {
                    let is_reserve = [RESERVE_NAME, RESERVE_2_NAME].contains(&&*entry.name);
                    listing.reserves += usize::from(is_reserve);
                }
                FileName::LockPid | FileName::Quarantine => {}
                FileName::Foreign => {
                    return Err(not_a_log(format!(
                        "{:?} in it is not the log's: name another directory, or find out whose it is before you move it",
                        entry.name
                    )));
                }
            }
        }
        listing.segments.sort_unstable();
        listing.spares.sort_unstable();
        listing.temporaries.sort_unstable();
        listing.firsts.sort_unstable();
        Ok(Some(listing))
    }

    /// The same for the holder of the lock. The directory must exist: one that has disappeared is not a new log.
    ///
    /// # Errors
    /// [`Error::Displaced`] if it no longer exists.
    pub(crate) fn read_locked(storage: &dyn Storage) -> Result<Self> {
        match Self::read(storage)? {
            Some(listing) => Ok(listing),
            None => Err(displaced(storage, Displacement::DirectoryGone)),
        }
    }

    /// The log's first LSN as far as names say it.
    pub(crate) fn first(&self) -> Lsn {
        self.firsts.last().copied().unwrap_or(Lsn::FIRST)
    }

    /// An id above every file's.
    pub(crate) fn next_id(&self) -> SegmentId {
        let all = [&self.segments, &self.spares, &self.temporaries];
        all.into_iter()
            .filter_map(|ids| ids.last())
            .max()
            .map_or(SegmentId::FIRST, |id| id.next())
    }
}
