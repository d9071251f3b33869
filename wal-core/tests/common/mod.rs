//! What the tests of the log share: a log on a simulated machine, records that tell themselves apart, and looks at both.
// Each test file takes what it needs.
#![allow(dead_code)]

pub(crate) mod full_log;
pub(crate) mod trace;
pub(crate) mod watched;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wal_core::blocking::Wal;
use wal_core::clock::ManualClock;
use wal_core::entropy::SeededEntropy;
use wal_core::{
    Alignment, Builder, Error, FormatVersion, FsyncPolicy, Lsn, Poisoned, Prewrite, Record,
    RecordRef, RecoveryMode, Result, VerifyReport, WalConfig,
};
use wal_format::{FileName, RESERVE_2_NAME, RESERVE_NAME};
use wal_io::FaultStorage;
use wal_io::fault::{FaultConfig, Image, Script, Seeded};

/// The window of the policy in these tests.
pub(crate) const WINDOW: Duration = Duration::from_millis(5);
/// How long a test waits for what must happen: more than a machine under load needs. A log that is broken on purpose is not waited
/// for as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(if cfg!(wal_sabotage) { 10 } else { 60 });
/// The smallest segment that the builder allows in tests.
pub(crate) const SMALL: u64 = 8 << 10;

pub(crate) fn policies() -> [FsyncPolicy; 3] {
    [
        FsyncPolicy::Always,
        FsyncPolicy::Batch(WINDOW),
        FsyncPolicy::Os,
    ]
}

/// A log on a simulated machine. Without threads of its own unless a test asks for them, on a clock that stands still.
pub(crate) struct Machine {
    pub(crate) storage: FaultStorage,
    pub(crate) clock: ManualClock,
    pub(crate) config: WalConfig,
    pub(crate) buffer: usize,
    pub(crate) padding: Option<Alignment>,
    prewrite: Prewrite,
    version: Option<FormatVersion>,
    entropy: Arc<SeededEntropy>,
}

impl Machine {
    /// With segments of 64 KiB.
    pub(crate) fn new(policy: FsyncPolicy) -> Self {
        Self::with_rules(FaultConfig::default(), policy)
    }

    /// On a machine with these rules.
    pub(crate) fn with_rules(rules: FaultConfig, policy: FsyncPolicy) -> Self {
        Self::on(FaultStorage::with_config(rules), policy)
    }

    /// On a machine whose directory is this.
    pub(crate) fn holding(image: &Image, policy: FsyncPolicy) -> Self {
        let storage = FaultStorage::from_image(FaultConfig::default(), image);
        Self::on(storage, policy)
    }

    fn on(storage: FaultStorage, policy: FsyncPolicy) -> Self {
        Self {
            storage,
            clock: ManualClock::default(),
            config: WalConfig {
                max_segment_size: 64 << 10,
                fsync_policy: policy,
                preallocate: true,
                node_id: 7,
            },
            buffer: 1 << 20,
            padding: None,
            prewrite: Prewrite::default(),
            // All tests that stand on this machine run in version 2 of the format too.
            version: match std::env::var("WAL_TEST_FORMAT").as_deref() {
                Ok("2") => Some(FormatVersion::V2),
                _ => None,
            },
            entropy: Arc::new(SeededEntropy::new(1)),
        }
    }

    pub(crate) fn in_version(mut self, version: FormatVersion) -> Self {
        self.version = Some(version);
        self
    }

    pub(crate) fn segments_of(mut self, bytes: u64) -> Self {
        self.config.max_segment_size = bytes;
        self
    }

    pub(crate) fn buffers_of(mut self, bytes: usize) -> Self {
        self.buffer = bytes;
        self
    }

    pub(crate) fn prewriting(mut self, prewrite: Prewrite) -> Self {
        self.prewrite = prewrite;
        self
    }

    pub(crate) fn growing(mut self) -> Self {
        self.config.preallocate = false;
        self
    }

    fn builder(&self) -> Builder<Wal> {
        let builder = Wal::builder("log")
            .storage(Arc::new(self.storage.clone()))
            .config(self.config.clone())
            .buffer_size(self.buffer)
            .prewrite(self.prewrite)
            .entropy(Arc::clone(&self.entropy) as _)
            .small_segments();
        let builder = match self.version {
            Some(version) => builder.format_version(version),
            None => in_tested_version(builder),
        };
        match self.padding {
            Some(bytes) => builder.sector_padding(bytes),
            None => builder,
        }
    }

    /// Opens without threads: background steps run in calls that wait for them, and in [`Machine::pass`].
    pub(crate) fn try_open(&self) -> Result<Wal> {
        let builder = self.builder().clock(Arc::new(self.clock.clone()));
        builder.driven_by_caller().open()
    }

    pub(crate) fn try_open_in(&self, mode: RecoveryMode) -> Result<Wal> {
        let builder = self.builder().clock(Arc::new(self.clock.clone()));
        builder.driven_by_caller().recovery(mode).open()
    }

    pub(crate) fn open(&self) -> Wal {
        self.try_open().expect("the log opens")
    }

    /// Opens with the log's own threads, on the system's clock.
    pub(crate) fn open_with_threads(&self) -> Wal {
        self.builder().open().expect("the log opens")
    }

    /// The same on a storage that looks at what passes.
    pub(crate) fn open_watched(&self, watched: &watched::Watched) -> Wal {
        let builder = self.builder().storage(Arc::new(watched.clone()));
        builder.open().expect("the log opens")
    }

    pub(crate) fn look(&self) -> Result<Wal> {
        self.builder().read_only().open()
    }

    pub(crate) fn look_at_damage(&self) -> Result<Wal> {
        self.builder().read_damaged().open()
    }

    pub(crate) fn verify(&self) -> Result<VerifyReport> {
        wal_core::Offline::on(Arc::new(self.storage.clone()))
            .verify(wal_core::VerifyOptions::default())
    }

    /// Time passes, then the background does what is due.
    pub(crate) fn pass(&self, wal: &Wal, time: Duration) {
        self.clock.advance(time);
        let _ = wal.drive();
    }

    /// Power loss; nothing is left of what was not synced.
    pub(crate) fn lose_unsynced(&mut self) {
        self.storage = self.storage.crash(&mut Script::default());
    }

    /// Power loss; what was not synced is kept or lost, sector by sector and name by name.
    pub(crate) fn crash(&mut self, seed: u64) {
        self.storage = self.storage.crash(&mut Seeded::streaky(seed));
    }

    /// The process is killed.
    pub(crate) fn kill(&mut self) {
        self.storage = self.storage.kill();
    }

    /// The bytes of the log's segments, by name.
    pub(crate) fn segments(&self) -> Vec<(String, Vec<u8>)> {
        let image = self.storage.image();
        let segments = image.files().filter(|(name, _)| is_segment(name));
        segments
            .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
            .collect()
    }

    /// The files that hold space for a full disk.
    pub(crate) fn reserve(&self) -> Vec<String> {
        let mut names = self.file_names();
        names.retain(|name| [RESERVE_NAME, RESERVE_2_NAME].contains(&&**name));
        names
    }

    /// Bytes that the reserve of a log with these settings takes.
    pub(crate) fn reserve_len(&self) -> u64 {
        let mut machine = Self::new(self.config.fsync_policy);
        (machine.config, machine.padding) = (self.config.clone(), self.padding);
        drop(machine.open());
        let image = machine.storage.image();
        let names = machine.reserve();
        let lens = names.iter().filter_map(|name| image.get(name));
        lens.map(|bytes| bytes.len() as u64).sum()
    }

    pub(crate) fn remove_reserve(&self) {
        let names = self.reserve();
        assert!(!names.is_empty(), "there is a reserve");
        for name in names {
            self.storage.remove_file(&name).expect("removed");
        }
    }

    pub(crate) fn file_names(&self) -> Vec<String> {
        let image = self.storage.image();
        image.files().map(|(name, _)| name.to_owned()).collect()
    }
}

/// All tests that open their logs with it run in version 1 of the format too.
pub(crate) fn in_tested_version<W>(builder: Builder<W>) -> Builder<W> {
    match std::env::var("WAL_TEST_FORMAT").as_deref() {
        Ok("1") => builder.format_version(FormatVersion::V1),
        _ => builder,
    }
}

/// Whether a file with this name is a segment.
pub(crate) fn is_segment(name: &str) -> bool {
    matches!(FileName::parse(name), FileName::Segment(_))
}

/// Whether it is one that is not part of the log yet: a spare, or what recovery writes.
pub(crate) fn is_half_made(name: &str) -> bool {
    let name = FileName::parse(name);
    matches!(name, FileName::Spare(_) | FileName::Temporary(_))
}

/// The payload of record `n`: no two are alike.
pub(crate) fn payload(n: u64) -> Vec<u8> {
    format!("record {n}, {}", "x".repeat((n * 7 % 41) as usize)).into_bytes()
}

/// A payload of `len` bytes.
pub(crate) fn large(n: u64, len: usize) -> Vec<u8> {
    let mut bytes = payload(n);
    bytes.resize(len.max(bytes.len()), n as u8);
    bytes
}

/// Appends the records with these LSNs.
pub(crate) fn append(wal: &Wal, lsns: RangeInclusive<u64>) {
    for n in lsns {
        let position = wal.append(RecordRef::data(&payload(n))).expect("appended");
        assert_eq!(position.lsn.get(), n);
    }
}

pub(crate) fn batch(lsns: RangeInclusive<u64>) -> Vec<Record> {
    lsns.map(|n| Record::data(payload(n))).collect()
}

/// Reads from the start to the end.
pub(crate) fn read_all(wal: &Wal) -> Result<Vec<(u64, Vec<u8>)>> {
    let reader = wal.read_from(Lsn::ZERO)?;
    reader
        .map(|step| step.map(|(record, position)| (position.lsn.get(), record.value.to_vec())))
        .collect()
}

/// The log has exactly the records with these LSNs, as [`append`] made them.
#[track_caller]
pub(crate) fn assert_holds(wal: &Wal, lsns: RangeInclusive<u64>) {
    let records = read_all(wal).expect("the log is read");
    let found: Vec<u64> = records.iter().map(|(lsn, _)| *lsn).collect();
    assert_eq!(found, lsns.clone().collect::<Vec<_>>());
    for (lsn, value) in records {
        assert_eq!(value, payload(lsn), "LSN {lsn}");
    }
    assert_eq!(wal.first_lsn().get(), *lsns.start());
    assert_eq!(wal.last_lsn().get(), *lsns.end());
}

#[track_caller]
pub(crate) fn poisoned<T: std::fmt::Debug>(outcome: Result<T>) -> Poisoned {
    match outcome {
        Err(Error::Poisoned(poisoned)) => poisoned,
        other => panic!("expected the poison, got {other:?}"),
    }
}

/// Waits until `condition` holds; how long it takes says nothing about the log.
#[track_caller]
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
