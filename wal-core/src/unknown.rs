//! Parts of a log that a newer program wrote: neither damage nor the log's end.

use std::io;

use wal_format::GroupError;

/// A part of the log that a newer program wrote. On its way through functions that return I/O errors.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unknown(String);

impl Unknown {
    pub(crate) fn refuse(what: &impl ToString) -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, Self(what.to_string()))
    }

    /// An I/O error if a newer program wrote what was found invalid.
    pub(crate) fn check<T>(found: Result<T, GroupError>) -> io::Result<Result<T, GroupError>> {
        match found {
            Err(error) if error.is_unknown() => Err(Self::refuse(&error)),
            found => Ok(found),
        }
    }
}
