//! Checks that the log is still where it was opened. Its directory may be moved, replaced or deleted while it is open, and so
//! may its file. A fork of the opener has handles that it must not use.
//!
//! The directory is checked at each of its syncs, so at each rotation, and at a close. The names of the newest file are counted
//! after each of its syncs. The log then stops; see `poison.rs`.

use std::io;

use wal_io::{Place, Process, Storage};

use super::Engine;
use super::commit::Failure;
use crate::error::{Displacement, Error};
use crate::{Poisoned, Result, sabotage};

/// What happened to the directory, if anything did.
pub(crate) fn displacement(storage: &dyn Storage) -> Option<Displacement> {
    match storage.place() {
        Place::Here => None,
        Place::Gone => Some(Displacement::DirectoryGone),
        Place::Replaced => Some(Displacement::DirectoryReplaced),
    }
}

/// The error of a log that is displaced before it is open.
pub(crate) fn displaced(storage: &dyn Storage, what: Displacement) -> Error {
    let poisoned = Poisoned {
        location: storage.location(),
        durable_lsn: wal_format::Lsn::ZERO,
        lsn: None,
        during: "opening the log".into(),
        cause: crate::sync::Arc::new(io::Error::other(what)),
    };
    poisoned.error()
}

/// Refuses in a fork of the process that opened the log. Called before any lock is taken: another thread may have held it when
/// the process was forked, and that thread does not exist in the fork.
#[inline]
pub(crate) fn check_process(process: &Process, storage: &dyn Storage) -> Result<()> {
    if process.is_current() || sabotage::is("used-in-a-fork") {
        return Ok(());
    }
    Err(other_process(process, storage))
}

#[cold]
fn other_process(process: &Process, storage: &dyn Storage) -> Error {
    Error::OtherProcess {
        location: storage.location(),
        opener: process.id(),
    }
}

impl Engine {
    /// Whether the path still leads to the log's directory.
    pub(super) fn check_place(&self) -> Result<(), Failure> {
        if !self.settings.path_check || sabotage::is("path-not-checked") {
            return Ok(());
        }
        match displacement(&*self.storage) {
            None => Ok(()),
            Some(what) => Err((
                "a look at the log's directory".into(),
                io::Error::other(what),
            )),
        }
    }

    /// The cause of a failure. If the directory is displaced, that is the cause.
    pub(super) fn caused_by_place(&self, failure: Failure) -> Failure {
        self.check_place().err().unwrap_or(failure)
    }
}
