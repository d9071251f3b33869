#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "tokio")]
mod appending;
#[cfg(feature = "tokio")]
mod asynchronous;
pub mod blocking;
mod builder;
mod calls;
#[doc(hidden)]
pub mod clock;
mod config;
mod control;
mod cursor;
mod damaged;
mod directory;
#[doc(hidden)]
pub mod entropy;
mod error;
mod handle;
mod log;
mod offline;
mod position;
mod prepared;
mod reader;
mod recovery;
mod repair;
mod replay;
mod segment;
mod settings;
mod shell;
mod stats;
mod unknown;
mod verify;
mod view;
mod writer;

#[cfg(feature = "tokio")]
pub use appending::Append;
#[cfg(feature = "tokio")]
pub use asynchronous::{Durable, Reader, Wal};
pub use builder::Builder;
#[doc(no_inline)]
pub use bytes::Bytes;
pub use config::{
    FsyncPolicy, MAX_BATCH_WINDOW, OnDamage, PathCheck, Prewrite, RecoveryMode, Threads, WalConfig,
};
#[doc(hidden)]
pub use control::{ConsumerState, ControlChange, ControlState};
pub use cursor::{Cursor, NotACursor};
pub use error::kind::ErrorKind;
pub use error::{Corruption, Displaced, Displacement, Error, Poisoned, Result};
pub use offline::{Offline, Truncation};
pub use position::{Appended, Awaited, Position, Start};
pub use prepared::Prepared;
#[doc(hidden)]
pub use recovery::ReserveCounts;
pub use recovery::{LostRecords, RecoveryReport, RepairMode, RepairReport, Tail};
pub use repair::RepairOptions;
pub use stats::Stats;
pub use verify::{SegmentReport, VerifyOptions, VerifyReport};
pub use wal_format::Version as FormatVersion;
pub use wal_format::{
    Alignment, Compression, Expiry, IntoBytes, Lsn, Offset, Record, RecordKind, RecordRef,
    SegmentId, UnixMillis,
};
#[doc(no_inline)]
pub use wal_io::{self, DiskStorage, FaultStorage, MemoryStorage, Storage, StorageFile};
use wal_sync as sync;
pub use writer::{Writer, writer};

/// Compiles the examples of the repository's documents.
#[cfg(all(doctest, feature = "tokio"))]
mod documents {
    #[doc = include_str!("../../README.md")]
    struct RootReadme;
    #[doc = include_str!("../../docs/tuning.md")]
    struct Tuning;
}
