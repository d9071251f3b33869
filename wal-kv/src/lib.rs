#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(feature = "tokio")]
mod asynchronous;
mod batch;
pub mod blocking;
mod builder;
mod calls;
mod config;
mod error;
mod files;
mod history;
mod index;
mod report;
mod snapshot;
mod store;
mod time;
mod view;

#[cfg(feature = "tokio")]
pub use asynchronous::{Durable, KvStore};
pub use batch::Batch;
pub use builder::Builder;
pub use bytes::Bytes;
pub use config::{Condition, Conditional, KvConfig, MAX_KEY, Snapshots};
pub use error::{Error, Result};
pub use report::{OpenPhase, OpenProgress, OpenReport, SnapshotReport, Stats};
pub use view::{Pair, Scan, View};
#[doc(no_inline)]
pub use wal_core;
pub use wal_core::{
    Awaited, Compression, ErrorKind, FormatVersion, FsyncPolicy, IntoBytes, Lsn, PathCheck,
    Position, RecoveryReport, Storage, UnixMillis,
};
use wal_sync as sync;
