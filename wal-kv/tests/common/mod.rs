//! Stores on storages of the test's own, with a clock that stands still.

use std::sync::Arc;

use wal_core::blocking::Wal;
use wal_core::clock::ManualClock;
use wal_core::entropy::SeededEntropy;
use wal_io::Storage;
use wal_kv::blocking::KvStore;
use wal_kv::{FsyncPolicy, Result, WalConfig};

/// Small segments, so that a short program rotates.
pub(crate) fn config(policy: FsyncPolicy) -> WalConfig {
    WalConfig {
        max_segment_size: 8 << 10,
        fsync_policy: policy,
        ..WalConfig::default()
    }
}

/// Opens a store without threads: the same calls make the same operations on the storage.
pub(crate) fn open(
    storage: &(impl Storage + Clone),
    policy: FsyncPolicy,
    clock: &ManualClock,
) -> Result<KvStore> {
    let builder = Wal::builder("store")
        .storage(Arc::new(storage.clone()))
        .config(config(policy))
        .clock(Arc::new(clock.clone()))
        .entropy(Arc::new(SeededEntropy::new(7)))
        .small_segments()
        .driven_by_caller();
    KvStore::open_with(builder, Arc::new(clock.clone()))
}
