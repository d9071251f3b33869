#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod batch;
pub mod blocking;
mod builder;
mod config;
mod error;
mod files;
mod history;
mod index;
#[cfg(feature = "tokio")]
mod kv;
mod report;
mod snapshot;
mod store;
mod sync;
mod time;
mod view;

pub use batch::Batch;
pub use builder::Builder;
pub use config::{Condition, Conditional, KvConfig, MAX_KEY, Snapshots};
pub use error::{Error, Result};
#[cfg(feature = "tokio")]
pub use kv::KvStore;
pub use report::{OpenPhase, OpenProgress, OpenReport, SnapshotReport, Stats};
pub use view::{Pair, Scan, View};
pub use wal_core::{
    Awaited, Compression, FormatVersion, FsyncPolicy, IntoBytes, Lsn, Position, UnixMillis,
};
