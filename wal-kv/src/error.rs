//! The errors of the store: the log's, and what only a store can find.

use wal_core::Position;

/// The result of a call on the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call on the store failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log refused. Its error says what to do.
    #[error(transparent)]
    Log(#[from] wal_core::Error),
    /// The directory holds a log that no store wrote. Open it as a log, or name another directory.
    #[error(
        "{position}: a record of data, which has no key: the directory holds a log but no store; nothing was changed: name another directory"
    )]
    NotAStore {
        /// Where the first such record is.
        position: Position,
    },
}
