//! The blocking face of the store, for threads: the same calls as the async `KvStore`, without `async`.
//!
//! Needs no runtime and no feature.

use std::fmt;
use std::future::Future;
use std::ops::RangeBounds;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use wal_core::{Awaited, Lsn, Position, blocking::Wal};

use crate::builder::{Builder, Shared};
use crate::calls::{calls, write_calls};
use crate::config::{Condition, Conditional, KvConfig};
use crate::report::{OpenReport, SnapshotReport, Stats};
use crate::store::{Call, Core};
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
/// ```
/// use wal_kv::{FsyncPolicy, KvConfig, blocking::KvStore};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("store");
/// let config = KvConfig { fsync_policy: FsyncPolicy::Always, ..KvConfig::default() };
/// let store = KvStore::open(&dir, config)?;
/// store.put("user:1", "Ada")?;
/// store.put("user:2", "Grace")?;
/// assert_eq!(store.get(b"user:1").as_deref(), Some(&b"Ada"[..]));
/// for pair in store.scan_prefix(b"user:").rev() {
///     println!("{:?} = {:?}", pair.key(), pair.value());
/// }
/// store.delete("user:1")?;
/// assert!(!store.contains_key(b"user:1"));
/// store.close()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KvStore {
    shared: Arc<Shared>,
}

calls!();

impl KvStore {
    fn call(&self) -> Call<'_> {
        Call {
            core: &self.shared.core,
            #[cfg(feature = "tokio")]
            in_task: None,
            durable: false,
        }
    }

    fn log(&self) -> &Wal {
        &self.core().wal
    }
}

impl Builder<KvStore> {
    /// Opens the store.
    ///
    /// # Errors
    /// As [`KvStore::open`].
    pub fn open(self) -> Result<KvStore> {
        let shared = Arc::new(self.build()?);
        Ok(KvStore { shared })
    }
}

/// The output of a call, which has waited on this thread when it returns.
fn wait<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("a blocking call waits inside its future"),
    }
}
