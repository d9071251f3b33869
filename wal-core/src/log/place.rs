//! Is the log still where it was opened? Its directory may be moved, replaced or deleted under it, and its file too; and a fork
//! of the process that opened it has handles that are not its own.
//!
//! The directory is looked at with each of its syncs, at a rotation thereby, and at a close; the newest file's names are counted after
//! each of its syncs. Deliberately absent: what a log does about it, which is to stop (`poison.rs`).

use std::io;

use wal_io::{Place, Process, Storage};

use super::Engine;
use super::commit::Failure;
use crate::error::{Displacement, Error};
use crate::{Poisoned, Result, sabotage};

/// What has happened to the directory, if anything has.
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
/// the process was forked, and nobody is left to let go of it.
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

    /// The cause of a failure: where the directory is displaced, that is it.
    pub(super) fn caused_by_place(&self, failure: Failure) -> Failure {
        self.check_place().err().unwrap_or(failure)
    }
}
