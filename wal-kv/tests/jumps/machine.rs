//! A machine with clocks that a test moves, and the store on it.

use std::sync::Arc;
use std::time::Duration;

use wal_core::clock::{Clock as _, ManualClock};
use wal_io::FaultStorage;
use wal_io::fault::Seeded;
use wal_kv::blocking::KvStore;
use wal_kv::{FsyncPolicy, UnixMillis};

use crate::common;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const YEAR_MILLIS: i64 = 365 * 86_400_000;
/// A day in 2026.
pub(super) const TODAY: u64 = 1_795_000_000_000;

pub(super) const POLICIES: [FsyncPolicy; 3] = [
    FsyncPolicy::Always,
    FsyncPolicy::Batch(Duration::from_millis(5)),
    FsyncPolicy::Os,
];

#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) disk: FaultStorage,
    pub(super) clock: ManualClock,
    pub(super) policy: FsyncPolicy,
}

impl Machine {
    /// It has run for a while, and it is today.
    pub(super) fn new(policy: FsyncPolicy) -> Self {
        let clock = ManualClock::default();
        clock.advance(MINUTE);
        clock.set_wall(UnixMillis::new(TODAY));
        Self {
            disk: FaultStorage::new(),
            clock,
            policy,
        }
    }

    pub(super) fn try_open(&self) -> wal_kv::Result<KvStore> {
        let config = common::config(self.policy);
        common::builder(&self.disk, config, Arc::new(self.clock.clone())).open()
    }

    pub(super) fn open(&self) -> KvStore {
        self.try_open().expect("a store")
    }

    /// Closes the store and opens it.
    pub(super) fn reopen(&self, store: KvStore) -> KvStore {
        store.close().expect("closed");
        drop(store);
        self.open()
    }

    /// The power fails.
    pub(super) fn crash(&mut self, store: KvStore, seed: u64) {
        let disk = self.disk.crash(&mut Seeded::streaky(seed));
        drop(store);
        self.disk = disk;
    }

    /// Seconds pass, with a write in each.
    pub(super) fn run(&self, store: &KvStore, seconds: u32) {
        for _ in 0..seconds {
            self.clock.advance(SECOND);
            store.put("beat", "value").expect("put");
        }
    }

    pub(super) fn wall(&self) -> u64 {
        self.clock.unix().get()
    }
}

pub(super) fn put_for(store: &KvStore, key: &str, ttl: Duration) {
    store.put_with_ttl(key, "value", ttl).expect("put");
}

pub(super) fn has(store: &KvStore, key: &str) -> bool {
    store.contains_key(key.as_bytes())
}

/// The number of jumps seen, and of corrections.
pub(super) fn counted(store: &KvStore) -> (u64, u64) {
    let stats = store.stats();
    (stats.clock_jumps, stats.clock_corrections)
}
