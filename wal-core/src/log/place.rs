//! Checks that the log is still where it was opened. Its directory may be moved, replaced or deleted while it is open, and so
//! may its file. A fork of the opener has handles that it must not use.
//!
//! The directory is checked at each of its syncs, so at each rotation, and at a close. The names of the newest file are counted
//! after each of its syncs. The log is then poisoned.

use crate::directory::displacement;
use std::io;

use super::engine::Engine;
use crate::error::Failure;
use crate::{PathCheck, Result};

impl Engine {
    /// Whether the path still leads to the log's directory.
    pub(super) fn check_place(&self) -> Result<(), Failure> {
        if self.settings.path_check == PathCheck::Off {
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
