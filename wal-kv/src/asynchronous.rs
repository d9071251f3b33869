//! The async face of the store: the same calls as [`blocking::KvStore`](crate::blocking::KvStore), behind futures.

use std::convert::identity as wait;
use std::fmt;
use std::ops::RangeBounds;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use wal_core::{Awaited, Lsn, Position, Wal};

use crate::builder::{Builder, Shared};
use crate::calls::{calls, write_calls};
use crate::config::{Condition, Conditional, KvConfig};
use crate::report::{OpenReport, SnapshotReport, Stats};
use crate::store::{Call, Core, in_background};
use crate::sync::Arc;
use crate::view::{Pair, Scan, View};
use crate::{Batch, Result};

/// A key-value store in memory, every write in a log first. Clones are handles to the same store.
///
/// Reads wait for no write, no sync and no snapshot. Writers that wait for the disk at the same time share a sync.
///
/// In a fork of the process that opened the store, calls that can fail return
/// [`OtherProcess`](wal_core::Error::OtherProcess) and dropping the handle touches no file; reads that cannot fail
/// (`get`, `scan`, `len`, `view`) may hang there, on a lock that another thread held when the process was forked.
///
/// Dropping the last handle does not wait for the disk on account of a snapshot that is being written: the store's
/// thread gives it up, and the directory stays locked until it has. To know when the store is closed, await
/// [`close`](Self::close).
///
/// ```
/// use wal_kv::{FsyncPolicy, KvConfig, KvStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("store");
/// let config = KvConfig { fsync_policy: FsyncPolicy::Always, ..KvConfig::default() };
/// let store = KvStore::open(&dir, config).await?;
/// store.put("user:1", "Ada").await?;
/// store.put("user:2", "Grace").await?;
/// assert_eq!(store.get(b"user:1").as_deref(), Some(&b"Ada"[..]));
/// for pair in store.scan_prefix(b"user:").rev() {
///     println!("{:?} = {:?}", pair.key(), pair.value());
/// }
/// store.delete("user:1").await?;
/// assert!(!store.contains_key(b"user:1"));
/// store.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KvStore {
    shared: Arc<Shared>,
    /// The log of the store, with calls that can be awaited.
    wal: Wal,
}

calls!(async await "\n # Cancel safety");

impl KvStore {
    fn call(&self) -> Call<'_> {
        Call {
            core: &self.shared.core,
            in_task: Some(&self.wal),
            durable: false,
        }
    }

    fn log(&self) -> &Wal {
        &self.wal
    }
}

impl Builder<KvStore> {
    /// Opens the store.
    ///
    /// # Errors
    /// As [`KvStore::open`].
    ///
    /// # Cancel safety
    /// As [`KvStore::open`].
    pub async fn open(self) -> Result<KvStore> {
        let shared = in_background(move || self.build()).await?;
        let wal = Wal::from(shared.core.wal.clone());
        let shared = Arc::new(shared.without_waiting());
        Ok(KvStore { shared, wal })
    }
}
