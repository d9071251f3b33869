//! Finds the process that has a log open for writing, without taking the lock. Reads only.

use std::io;
use std::path::Path;

use wal_format::LOCK_NAME;
use wal_io::DiskStorage;

use crate::directory::read_pid;
use crate::{Error, Result};

/// A process that has a log open for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Writer {
    /// Its process id, if it could be read.
    pub pid: Option<u32>,
}

/// The process that has the log in the directory `dir` open for writing now, or is opening it; `None` if there is none.
///
/// Distinguishes a log with a running writer from one that was not closed. It takes nothing that a writer needs: a writer that
/// opens the log at the same moment succeeds.
///
/// # Errors
/// [`Io`](Error::Io): the lock could not be looked at.
pub fn writer(dir: impl AsRef<Path>) -> Result<Option<Writer>> {
    let storage = DiskStorage::new(dir.as_ref());
    match storage.is_locked(LOCK_NAME) {
        Ok(true) => Ok(Some(Writer {
            pid: read_pid(&storage),
        })),
        Ok(false) => Ok(None),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => {
            let location = storage.path().display().to_string();
            Err(Error::io(location, "looking at the lock", error))
        }
    }
}
