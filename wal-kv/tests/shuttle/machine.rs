//! A store on a simulated machine, with threads of its own and a clock that moves by itself, and how its life ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use wal_core::clock::{Clock, ManualClock};
use wal_core::entropy::SeededEntropy;
use wal_io::fault::{Script, Seeded};
use wal_io::{FaultStorage, Storage};
use wal_kv::blocking::KvStore;
use wal_kv::{Builder, FsyncPolicy, KvConfig, Snapshots, UnixMillis};

use super::explore::{below, pick};
use super::storage::Slow;

const WINDOW: Duration = Duration::from_millis(2);
const POLICIES: [FsyncPolicy; 3] = [
    FsyncPolicy::Always,
    FsyncPolicy::Batch(WINDOW),
    FsyncPolicy::Os,
];
/// The log is as long as this before the store writes a snapshot by itself.
pub(super) const SNAPSHOT_AFTER: u64 = 100;

/// Time passes between any two looks at it, or does not: this many milliseconds.
#[derive(Debug)]
struct Passing {
    now: AtomicU64,
    tick: u64,
}

impl Clock for Passing {
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.unix().get())
    }

    fn unix(&self) -> UnixMillis {
        let by = below(2) * self.tick;
        UnixMillis::new(self.now.fetch_add(by, Ordering::SeqCst))
    }
}

/// How a life of the store ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Close,
    /// The last handle goes without a close.
    Drop,
    /// Nothing is left of what was not synced.
    PowerLoss,
    /// Of what was not synced, some is left.
    RaggedPowerLoss,
}

pub(super) const ENDS: [End; 4] = [End::Close, End::Drop, End::PowerLoss, End::RaggedPowerLoss];

/// A machine, and the settings of the store on it.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) disk: FaultStorage,
    pub(super) config: KvConfig,
    /// Milliseconds by which the clock moves.
    pub(super) tick: u64,
    /// While it is set no snapshot can be begun.
    pub(super) refuses: Arc<AtomicBool>,
}

impl Machine {
    pub(super) fn new(policy: FsyncPolicy) -> Self {
        Self {
            disk: FaultStorage::new(),
            tick: 1,
            refuses: Arc::default(),
            config: KvConfig {
                max_segment_size: 8 << 10,
                fsync_policy: policy,
                snapshots: Snapshots::OnCall,
                ..KvConfig::default()
            },
        }
    }

    /// Under a policy that the schedule decides.
    pub(super) fn any() -> Self {
        Self::new(pick(&POLICIES))
    }

    pub(super) fn is_always(&self) -> bool {
        self.config.fsync_policy == FsyncPolicy::Always
    }

    fn configured(&self, storage: Arc<dyn Storage>) -> Builder<KvStore> {
        KvStore::builder("store")
            .storage(storage)
            .config(self.config.clone())
            .entropy(Arc::new(SeededEntropy::new(1)))
            .snapshot_after(SNAPSHOT_AFTER)
            .small_segments()
    }

    pub(super) fn open(&self) -> KvStore {
        let clock = Passing {
            now: AtomicU64::new(0),
            tick: self.tick,
        };
        self.open_with(Arc::new(clock))
    }

    pub(super) fn open_with(&self, clock: Arc<dyn Clock>) -> KvStore {
        let slow = Slow {
            disk: self.disk.clone(),
            refuses: Arc::clone(&self.refuses),
        };
        let opened = self.configured(Arc::new(slow)).clock(clock).open();
        opened.expect("the store opens")
    }

    /// Opens what is on `disk`, without threads, at a time before any other.
    pub(super) fn open_on(&self, disk: &FaultStorage) -> KvStore {
        let builder = self.configured(Arc::new(disk.clone()));
        let clock = Arc::new(ManualClock::default());
        let opened = builder.clock(clock).driven_by_caller().open();
        opened.expect("the store opens again")
    }

    /// What would be left if the power failed now: nothing that was not synced.
    pub(super) fn after_power_loss(&self) -> KvStore {
        let image = self.disk.on_disk();
        self.open_on(&FaultStorage::from_image(self.disk.config(), &image))
    }

    /// Ends the store's life, and opens it again. Its other handles are gone.
    pub(super) fn end(&self, store: KvStore, end: End) -> KvStore {
        let disk = match end {
            End::Close => {
                store.close().expect("closed");
                drop(store);
                self.disk.clone()
            }
            End::Drop => {
                drop(store);
                self.disk.clone()
            }
            End::PowerLoss => self.disk.crash(&mut Script::default()),
            End::RaggedPowerLoss => self.disk.crash(&mut Seeded::streaky(below(1 << 32))),
        };
        self.open_on(&disk)
    }
}

/// The number that a value is.
pub(super) fn number(store: &KvStore, key: &str) -> Option<u8> {
    store.get(key.as_bytes()).map(|value| value[0])
}
