//! One program: a machine, and lives of a store on it. After each the machine crashes in several ways, and what is left is opened,
//! perhaps after crashes while it was being opened.

use std::fmt;
use std::sync::Arc;

use wal_core::clock::{Clock as _, ManualClock};
use wal_io::FaultStorage;
use wal_io::fault::{
    DirectoryOrder, Fault, FaultConfig, Moment, NameSync, Rename, SectorSize, Seeded, SyncFailure,
    Unpersisted,
};
use wal_kv::blocking::KvStore;
use wal_kv::{FsyncPolicy, KvConfig, Result, Snapshots};

use super::life::{Left, live};
use crate::common::expected::{Entries, Expected, Now};
use crate::common::random::Random;
use crate::common::reluctant::Reluctant;
use crate::common::{builder, config};

/// Crashes that are tried after a life.
const CRASHES: u64 = 3;
/// An opening is cut short at most this many times in a row.
const DEEPEST: usize = 3;

/// What programs came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) programs: u64,
    /// States that a crash left, each opened and compared.
    pub(super) states: u64,
    /// Those of them that an opening left which was cut short.
    pub(super) nested: u64,
    pub(super) snapshots: u64,
    /// Snapshots that could not be written.
    pub(super) failures: u64,
    /// Writes that were refused because of the log's bound, and because of the disk.
    pub(super) overdue: u64,
    pub(super) no_space: u64,
    /// Lives in which an error of the system struck.
    pub(super) errors: u64,
    /// Most versions that were kept for views at a time.
    pub(super) kept: u64,
}

impl Outcome {
    pub(super) fn add(&mut self, other: &Self) {
        self.programs += other.programs;
        self.states += other.states;
        self.nested += other.nested;
        self.snapshots += other.snapshots;
        self.failures += other.failures;
        self.overdue += other.overdue;
        self.no_space += other.no_space;
        self.errors += other.errors;
        self.kept = self.kept.max(other.kept);
    }

    /// The programs come where they should.
    pub(super) fn check(&self) {
        let enough = self.nested > 1000
            && self.snapshots > 1000
            && self.failures > 1000
            && self.overdue > 1000
            && self.no_space > 100
            && self.errors > 100
            && self.kept > 6;
        assert!(enough, "{self:?}");
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} programs, {} crash states ({} of openings cut short), {} snapshots and {} failed ones, {} writes at the bound, {} on a full disk, {} lives with errors, at most {} versions kept for views,",
            self.programs,
            self.states,
            self.nested,
            self.snapshots,
            self.failures,
            self.overdue,
            self.no_space,
            self.errors,
            self.kept
        )
    }
}

/// The settings of a program.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) policy: FsyncPolicy,
    pub(super) snapshots: Snapshots,
    pub(super) snapshot_after: u64,
    pub(super) clock: ManualClock,
}

impl Settings {
    fn random(random: &mut Random) -> Self {
        let clock = ManualClock::default();
        Self {
            policy: random.pick(&[
                FsyncPolicy::Always,
                FsyncPolicy::Batch(std::time::Duration::from_millis(5)),
                FsyncPolicy::Os,
            ]),
            snapshots: random.pick(&[
                Snapshots::OnCall,
                Snapshots::Automatic { percent: 100 },
                Snapshots::Automatic { percent: 100 },
                Snapshots::Automatic { percent: 10 },
            ]),
            snapshot_after: random.pick(&[800, 2000, 6000]),
            clock,
        }
    }

    /// The wall clock is right whenever the store is opened, and never wrong for long.
    pub(super) fn now(&self) -> Now {
        let boot = i64::try_from(self.clock.boot().as_millis()).expect("it is not that late");
        Now {
            boot,
            offset: 0,
            latest: 0,
        }
    }

    pub(super) fn open(&self, disk: &Reluctant) -> Result<KvStore> {
        let config = KvConfig {
            snapshots: self.snapshots,
            ..config(self.policy)
        };
        let builder = builder(disk, config, Arc::new(self.clock.clone()));
        builder.snapshot_after(self.snapshot_after).open()
    }
}

fn machine(random: &mut Random) -> FaultStorage {
    FaultStorage::with_config(FaultConfig {
        sector: random.pick(&[SectorSize::B512, SectorSize::B4096]),
        directory: random.pick(&[DirectoryOrder::Unordered, DirectoryOrder::Ordered]),
        names: random.pick(&[NameSync::Strict, NameSync::WithFile]),
        unpersisted: random.pick(&[Unpersisted::Zeros, Unpersisted::Stale]),
        rename: random.pick(&[Rename::Atomic, Rename::Atomic, Rename::LinkThenUnlink]),
        sync_failure: random.pick(&[
            SyncFailure::Ext4,
            SyncFailure::Xfs,
            SyncFailure::Btrfs,
            SyncFailure::BtrfsRevert,
        ]),
        ..FaultConfig::default()
    })
}

/// What the store shows, by scans and by gets.
pub(super) fn shown(store: &KvStore, place: &str) -> Entries {
    let entry = |pair: &wal_kv::Pair| {
        let at = pair.expires_at().map(|at| at.get().cast_signed());
        (pair.key().to_vec(), pair.value().to_vec(), at)
    };
    let found: Entries = store.iter().map(|pair| entry(&pair)).collect();
    let mut back: Entries = store.iter().rev().map(|pair| entry(&pair)).collect();
    back.reverse();
    assert_eq!(found, back, "{place}: a scan from behind");
    assert_eq!(found.len(), store.len(), "{place}: len");
    for (key, value, _) in &found {
        let got = store.get(key);
        assert_eq!(got.as_deref(), Some(value.as_slice()), "{place}: a get");
    }
    found
}

/// Opens what a crash has left, perhaps after more of them; returns the disk and what is there now.
fn reopen(
    settings: &Settings,
    random: &mut Random,
    mut disk: FaultStorage,
    left: &Left,
    outcome: &mut Outcome,
) -> (FaultStorage, Expected) {
    let place = &left.place;
    outcome.states += 1;
    for _ in 0..random.below(DEEPEST as u64 + 1) {
        disk.set_chooser(Seeded::new(random.below(1 << 32)));
        let moment = random.pick(&[Moment::Before, Moment::During, Moment::After]);
        disk.inject(Fault::power_cut(moment).after(random.below(12)));
        let opened = settings.open(&Reluctant::new(disk.clone())).map(drop);
        if disk.has_lost_power() {
            outcome.nested += 1;
        } else {
            opened.unwrap_or_else(|error| panic!("{place}: {error}"));
        }
        disk = disk.crash(&mut Seeded::streaky(random.below(1 << 32)));
        outcome.states += 1;
    }
    disk.set_chooser(Seeded::new(random.below(1 << 32)));
    let store = settings.open(&Reluctant::new(disk.clone()));
    let store = store.unwrap_or_else(|error| panic!("{place}: {error}"));
    let found = shown(&store, place);
    let now = settings.now();
    let known = left
        .allowed
        .iter()
        .find(|state| state.entries(now) == found);
    let Some(known) = known else {
        let allowed: Vec<_> = left
            .allowed
            .iter()
            .map(|state| state.entries(now))
            .collect();
        panic!("{place}: found {found:?}\nof {allowed:?}");
    };
    let stats = store.stats();
    assert_eq!((stats.kept_versions, stats.views), (0, 0), "{place}");
    let taken = disk.used_space();
    let within = stats.disk_bound.is_none_or(|bound| taken <= bound);
    assert!(within, "{place}: {taken} bytes of {:?}", stats.disk_bound);
    drop(store);
    (disk, known.clone())
}

/// Runs the program of this seed.
pub(super) fn run(seed: u64) -> Outcome {
    let mut random = Random::new(seed);
    let settings = Settings::random(&mut random);
    let mut disk = machine(&mut random);
    let mut known = Expected::default();
    let mut outcome = Outcome {
        programs: 1,
        ..Outcome::default()
    };
    for life in 0..=random.below(4) {
        let place = format!("seed {seed}, life {life}");
        disk.set_chooser(Seeded::new(random.below(1 << 32)));
        let left = live(&settings, &mut random, &disk, &known, place, &mut outcome);
        let mut next = None;
        for crash in 0..CRASHES {
            // A file system that has met an error may be of no use before the next boot.
            let after = if crash == 0 && !left.struck && random.one_in(3) {
                disk.kill()
            } else {
                disk.crash(&mut Seeded::streaky(random.below(1 << 32)))
            };
            let opened = reopen(&settings, &mut random, after, &left, &mut outcome);
            next.get_or_insert(opened);
        }
        drop(left.alive);
        let Some((after, found)) = next else { break };
        (disk, known) = (after, found);
    }
    outcome
}
