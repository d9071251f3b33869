#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod blocking;
mod change;
mod error;
mod index;
#[cfg(feature = "tokio")]
mod store;
mod sync;
mod time;

pub use error::{Error, Result};
#[cfg(feature = "tokio")]
pub use store::KvStore;
pub use wal_core::{FsyncPolicy, IntoBytes, Lsn, Position, WalConfig};
