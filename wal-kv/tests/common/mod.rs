//! Stores on storages of the test's own, with a clock that stands still.

#![allow(dead_code, reason = "not every test uses all of it")]

pub(crate) mod expected;
pub(crate) mod random;
pub(crate) mod reluctant;

use std::sync::Arc;

use wal_core::clock::{Clock, ManualClock};
use wal_core::entropy::SeededEntropy;
use wal_io::Storage;
use wal_kv::blocking::KvStore;
use wal_kv::{Builder, FsyncPolicy, KvConfig, Result, Snapshots};

/// Small segments, so that a short program rotates; snapshots only when they are asked for.
pub(crate) fn config(policy: FsyncPolicy) -> KvConfig {
    KvConfig {
        max_segment_size: 8 << 10,
        fsync_policy: policy,
        snapshots: Snapshots::OnCall,
        ..KvConfig::default()
    }
}

/// A store without threads: the same calls make the same operations on the storage.
pub(crate) fn builder(
    storage: &(impl Storage + Clone),
    config: KvConfig,
    clock: Arc<dyn Clock>,
) -> Builder<KvStore> {
    KvStore::builder("store")
        .storage(Arc::new(storage.clone()))
        .config(config)
        .clock(clock)
        .entropy(Arc::new(SeededEntropy::new(7)))
        .small_segments()
        .driven_by_caller()
}

/// Opens a store without threads.
pub(crate) fn open(
    storage: &(impl Storage + Clone),
    policy: FsyncPolicy,
    clock: &ManualClock,
) -> Result<KvStore> {
    builder(storage, config(policy), Arc::new(clock.clone())).open()
}
