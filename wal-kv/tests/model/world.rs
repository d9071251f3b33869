//! A store, its disk and its clock, what is open, and a program that runs on them.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use wal_core::clock::{Clock as _, ManualClock};
use wal_io::FaultStorage;
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, Error, FsyncPolicy, KvConfig, Scan, Snapshots, UnixMillis, View};

use super::compare::{Checked, advance, check_conditional, check_scan, compare, compare_view};
use super::steps::{HOT, KEYS, Limits, Step, key, limits, policy, snapshots, step};
use crate::common::expected::{Ends, Expected, Now};
use crate::common::reluctant::{Reluctant, Snapshot};

/// A snapshot is due when the log is at least this long.
const SNAPSHOT_AFTER: u64 = 2000;
/// By how much the log may be longer than its bound: one write, deletes of all keys, and time marks.
const ABOVE: u64 = 7000;
/// What a segment has beside records, and how many segments the log may have before that counts as log.
const SEGMENT_HEAD: u64 = 8 << 10;
const WITHOUT_HEADS: u64 = 4;
/// A day in 2026.
const TODAY: u64 = 1_795_000_000_000;
/// Views, and scans, that are open at a time.
const OPEN: usize = 6;

/// What programs came to, so that a test can see that they were worth running.
#[derive(Debug, Default)]
struct Seen {
    programs: Cell<u64>,
    steps: Cell<u64>,
    /// Most versions that were kept for views.
    kept: Cell<u64>,
    overdue: Cell<u64>,
    no_space: Cell<u64>,
    over_memory: Cell<u64>,
    over_views: Cell<u64>,
    snapshots: Cell<u64>,
    /// Corrections of the store's time.
    corrections: Cell<u64>,
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).expect("it is not that late")
}

fn count(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get() + more);
}

struct World<'a> {
    storage: Reluctant,
    clock: ManualClock,
    policy: FsyncPolicy,
    snapshots: Snapshots,
    store: KvStore,
    expected: Expected,
    views: Vec<(View, Expected)>,
    scans: Vec<(Scan, Expected)>,
    /// No snapshot can be begun.
    refuses: bool,
    /// The disk may be full.
    is_small: bool,
    /// The longest due length that there was.
    due: u64,
    /// What the segments that earlier sessions have begun add to the log, until it is cut.
    heads: u64,
    /// The store's time, and how often it has been corrected since the store was opened.
    time: Now,
    corrections: u64,
    memory_limit: Option<u64>,
    view_limit: Option<u64>,
    /// Keys that were written since the newest view or scan was opened: none shows what is there now.
    fresh: BTreeSet<Vec<u8>>,
    seen: &'a Seen,
}

fn open(
    storage: &Reluctant,
    clock: &ManualClock,
    policy: FsyncPolicy,
    snapshots: Snapshots,
    (memory_limit, view_limit): Limits,
) -> KvStore {
    let config = KvConfig {
        snapshots,
        memory_limit,
        ..crate::common::config(policy)
    };
    let builder = crate::common::builder(storage, config, Arc::new(clock.clone()));
    let mut builder = builder.snapshot_after(SNAPSHOT_AFTER);
    if let Some(bytes) = view_limit {
        builder = builder.view_memory_limit(bytes);
    }
    builder.open().expect("a store")
}

impl<'a> World<'a> {
    fn new(policy: FsyncPolicy, snapshots: Snapshots, limits: Limits, seen: &'a Seen) -> Self {
        let storage = Reluctant::new(FaultStorage::new());
        let clock = ManualClock::default();
        clock.set_wall(UnixMillis::new(TODAY));
        let store = open(&storage, &clock, policy, snapshots, limits);
        let mut world = Self {
            storage,
            clock,
            policy,
            snapshots,
            store,
            expected: Expected::default(),
            views: Vec::new(),
            scans: Vec::new(),
            refuses: false,
            is_small: false,
            due: SNAPSHOT_AFTER,
            heads: 0,
            time: Now::default(),
            corrections: 0,
            memory_limit: limits.0,
            view_limit: limits.1,
            fresh: BTreeSet::new(),
            seen,
        };
        world.begin_time();
        world
    }

    /// What the clocks show, after the store may have corrected its time.
    fn now(&self) -> Now {
        Now {
            boot: millis(self.clock.boot()),
            ..self.time
        }
    }

    /// Takes note of a correction: the store's time is the wall clock's now.
    fn follow_clock(&mut self) {
        let corrections = self.store.stats().clock_corrections;
        if corrections > self.corrections {
            count(&self.seen.corrections, corrections - self.corrections);
            self.corrections = corrections;
            let now = self.now();
            self.time.latest = now.latest.max(now.wall());
            self.time.offset = millis(self.clock.wall()) - now.boot;
        }
        let now = self.now();
        self.expected.pass(now);
        let views = self.views.iter_mut().map(|(_, expected)| expected);
        let scans = self.scans.iter_mut().map(|(_, left)| left);
        views.chain(scans).for_each(|expected| expected.pass(now));
    }

    /// The store was opened: its time is the wall clock's, or a later one that its files know.
    fn begin_time(&mut self) {
        let (wall, boot) = (millis(self.clock.wall()), millis(self.clock.boot()));
        let time = wall - self.store.stats().clock_difference;
        self.corrections = 0;
        self.time = Now {
            boot,
            offset: time - boot,
            latest: time,
        };
    }

    /// Makes a write of these keys that leads to `next`. `None` if it was refused, as it may be; `frees` if it may not be refused for
    /// the length of the log.
    fn write<T>(
        &mut self,
        keys: &[u8],
        next: &Expected,
        frees: bool,
        write: impl FnOnce(&KvStore) -> wal_kv::Result<T>,
    ) -> Checked<Option<T>> {
        let now = self.now();
        let (before, after) = (self.expected.memory(now), next.memory(now));
        let fits = |limit| after <= limit || after <= before;
        let fits = self.memory_limit.is_none_or(fits);
        match write(&self.store) {
            Ok(done) => {
                prop_assert!(fits, "{after} bytes of {:?}", self.memory_limit);
                // A refused condition has written nothing, nor has a delete of nothing.
                let keys = keys.iter().map(|n| key(*n));
                let changed = keys.filter(|key| next.entry(key) != self.expected.entry(key));
                self.fresh.extend(changed);
                self.check_bound()?;
                return Ok(Some(done));
            }
            Err(Error::OverMemoryLimit {
                used,
                needed,
                limit,
            }) => {
                // On a full disk nothing makes room.
                prop_assert!(!fits || self.is_small, "{after} bytes of {limit}");
                prop_assert!(used + needed > limit);
                count(&self.seen.over_memory, 1);
            }
            Err(Error::OverViewMemoryLimit {
                held,
                needed,
                limit,
                ..
            }) => {
                prop_assert!(held + needed > limit);
                prop_assert_eq!(held, self.store.stats().view_bytes);
                let is_shown = |n: &u8| !self.fresh.contains(&key(*n));
                prop_assert!(keys.iter().any(is_shown), "no view shows any of {keys:?}");
                count(&self.seen.over_views, 1);
            }
            Err(Error::SnapshotOverdue {
                log_bytes, limit, ..
            }) => {
                prop_assert!(self.refuses || self.is_small, "snapshots are written");
                prop_assert!(!frees, "it makes the store smaller");
                prop_assert!(log_bytes >= limit && limit >= 3 * SNAPSHOT_AFTER);
                count(&self.seen.overdue, 1);
            }
            Err(Error::Log(wal_core::Error::NoSpace { .. })) if self.is_small => {
                count(&self.seen.no_space, 1);
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
        Ok(None)
    }

    /// The log and the views keep to their bounds.
    fn check_bound(&mut self) -> Checked {
        let stats = self.store.stats();
        let limit = self.view_limit.or(self.memory_limit);
        prop_assert!(
            limit.is_none_or(|limit| stats.view_bytes <= limit),
            "{stats:?}"
        );
        let Snapshots::Automatic { percent } = self.snapshots else {
            return Ok(());
        };
        let due = (stats.live_bytes + 16 * stats.keys) * u64::from(percent) / 100;
        self.due = self.due.max(due);
        if stats.snapshots > 0 {
            self.heads = 0;
        }
        prop_assert!(
            stats.log_bytes <= 3 * self.due + self.heads + ABOVE,
            "{} of {}: {stats:?}",
            stats.log_bytes,
            self.due
        );
        Ok(())
    }

    fn note<T>(&mut self, written: Option<&T>, next: Expected) {
        if written.is_some() {
            self.expected = next;
        }
    }

    fn is_live(&self, n: u8) -> bool {
        self.expected.value(&key(n), self.now()).is_some()
    }

    fn put(&mut self, n: u8, value: &[u8]) -> Checked {
        let mut next = self.expected.clone();
        next.put(key(n), value.to_vec(), Ends::Never);
        let written = self.write(&[n], &next, false, |store| store.put(key(n), value))?;
        self.note(written.as_ref(), next);
        Ok(())
    }

    fn batch(&mut self, changes: Vec<(u8, Option<Vec<u8>>)>) -> Checked {
        let mut batch = Batch::new();
        let mut next = self.expected.clone();
        let mut frees = true;
        let mut deleted = BTreeSet::new();
        let keys: Vec<_> = changes.iter().map(|(n, _)| *n).collect();
        for (n, value) in changes {
            // Only the first delete of a key in a batch frees anything. The numbers 0 to 2 all name the empty key.
            frees &= value.is_none() && self.is_live(n) && deleted.insert(key(n));
            if let Some(value) = value {
                batch = batch.put(key(n), &value);
                next.put(key(n), value, Ends::Never);
            } else {
                batch = batch.delete(key(n));
                next.delete(&key(n));
            }
        }
        let written = self.write(&keys, &next, frees, |store| store.write(batch))?;
        self.note(written.as_ref(), next);
        Ok(())
    }

    fn put_if(&mut self, n: u8, value: &[u8], how: u8) -> Checked {
        let now = self.now();
        let (condition, holds) = self.expected.condition(&key(n), how, now);
        let mut next = self.expected.clone();
        if holds {
            next.replace(key(n), value.to_vec(), now);
        }
        let put = |store: &KvStore| store.put_if(key(n), value, &condition);
        let outcome = self.write(&[n], &next, false, put)?;
        let Some(outcome) = outcome else {
            prop_assert!(holds, "a condition is checked first");
            return Ok(());
        };
        check_conditional(&outcome, holds, self.expected.value(&key(n), now))?;
        self.expected = next;
        Ok(())
    }

    fn delete_if(&mut self, n: u8, how: u8) -> Checked {
        let now = self.now();
        let (condition, holds) = self.expected.condition(&key(n), how, now);
        let frees = self.is_live(n);
        let mut next = self.expected.clone();
        if holds {
            next.delete(&key(n));
        }
        let delete = |store: &KvStore| store.delete_if(key(n), &condition);
        let outcome = self.write(&[n], &next, frees, delete)?;
        let Some(outcome) = outcome else {
            return Ok(());
        };
        check_conditional(&outcome, holds, self.expected.value(&key(n), now))?;
        self.expected = next;
        Ok(())
    }

    fn swap(&mut self, n: u8, right: bool, new: Option<&[u8]>) -> Checked {
        let now = self.now();
        let current = self.expected.value(&key(n), now).map(<[u8]>::to_vec);
        let wrong = Some(b"never put".to_vec());
        let wanted = if right { current.clone() } else { wrong };
        let frees = new.is_none() && current.is_some();
        let mut next = self.expected.clone();
        match (right, new) {
            (true, Some(value)) => next.replace(key(n), value.to_vec(), now),
            (true, None) => next.delete(&key(n)),
            (false, _) => {}
        }
        let outcome = self.write(&[n], &next, frees, |store| {
            store.compare_and_swap(key(n), wanted.as_deref(), new)
        })?;
        let Some(outcome) = outcome else {
            return Ok(());
        };
        check_conditional(&outcome, right, current.as_deref())?;
        self.expected = next;
        Ok(())
    }

    fn snapshot(&mut self) -> Checked {
        let failures = self.store.stats().snapshot_failures;
        let outcome = self.store.snapshot();
        let stats = self.store.stats();
        match outcome {
            Ok(report) => prop_assert_eq!(stats.snapshot_lsn, report.lsn),
            Err(error) => {
                prop_assert!(self.refuses || self.is_small, "{}", error);
                prop_assert_eq!(stats.snapshot_failures, failures + 1);
            }
        }
        Ok(())
    }

    fn scan(&self, from: u8, to: u8, closed: bool) -> Checked {
        let (low, high) = (key(from), key(to));
        let range = if closed {
            (Bound::Included(low.clone()), Bound::Included(high.clone()))
        } else {
            (Bound::Excluded(low.clone()), Bound::Excluded(high.clone()))
        };
        let within = |key: &Vec<u8>| {
            if closed {
                low <= *key && *key <= high
            } else {
                low < *key && *key < high
            }
        };
        let mut expected = self.expected.live(self.now());
        expected.retain(|(key, _)| within(key));
        check_scan(|| self.store.scan::<Vec<u8>>(range.clone()), &expected)
    }

    fn room(&mut self, left: Option<u64>) {
        let disk = &self.storage.storage;
        self.is_small = left.is_some();
        disk.set_capacity(left.map(|left| disk.used_space() + left));
    }

    fn reopen(&mut self, close: bool) {
        count(&self.seen.snapshots, self.store.stats().snapshots);
        self.views.clear();
        self.scans.clear();
        // What opening needs of the disk is for others to test.
        self.room(None);
        // What a clock does that is set while the store is closed, or was not believed before, is for others to test.
        let difference = self.store.stats().clock_difference;
        self.clock.move_wall(-difference);
        if close {
            self.store.close().expect("closed");
        }
        // The lock is free before it is taken again.
        let closed = KvStore::builder("none").storage(Arc::new(FaultStorage::new()));
        self.store = closed.driven_by_caller().open().expect("a store");
        self.store = open(
            &self.storage,
            &self.clock,
            self.policy,
            self.snapshots,
            (self.memory_limit, self.view_limit),
        );
        let segments = self.store.stats().log.segments;
        self.heads = segments.saturating_sub(WITHOUT_HEADS) * SEGMENT_HEAD;
        let now = self.now();
        self.expected.reopen(now);
        self.begin_time();
    }

    fn run(&mut self, step: Step) -> Checked {
        match step {
            Step::Put(n, value) => self.put(n, &value)?,
            Step::PutFor(n, value, ms) => {
                // A value that is gone at once needs room all the same, and makes some.
                let ms = ms.max(u64::from(self.memory_limit.is_some()));
                let (at, ttl) = (
                    self.now().boot + ms.cast_signed(),
                    Duration::from_millis(ms),
                );
                let put = |store: &KvStore| store.put_with_ttl(key(n), &value, ttl);
                let mut next = self.expected.clone();
                next.put(key(n), value.clone(), Ends::Boot(at));
                let written = self.write(&[n], &next, false, put)?;
                self.note(written.as_ref(), next);
            }
            Step::Delete(n) => {
                let frees = self.is_live(n);
                let mut next = self.expected.clone();
                next.delete(&key(n));
                let written = self.write(&[n], &next, frees, |store| store.delete(key(n)))?;
                self.note(written.as_ref(), next);
            }
            Step::Batch(changes) => self.batch(changes)?,
            Step::Burst(n, count, len) => {
                for turn in 0..count {
                    self.put(n, &vec![turn; len])?;
                }
            }
            Step::PutIf(n, value, how) => self.put_if(n, &value, how)?,
            Step::DeleteIf(n, how) => self.delete_if(n, how)?,
            Step::Swap(n, right, new) => self.swap(n, right, new.as_deref())?,
            Step::Sleep(ms) => self.clock.advance(Duration::from_millis(ms)),
            Step::Run(seconds) => {
                for second in 0..seconds {
                    self.clock.advance(Duration::from_secs(1));
                    self.put(HOT.start, &[second])?;
                    self.follow_clock();
                }
            }
            Step::Suspend(ms) => self.clock.suspend(Duration::from_millis(ms)),
            Step::MoveWall(ms) => self.clock.move_wall(ms),
            Step::Sync => self.store.sync().expect("synced"),
            Step::Snapshot => self.snapshot()?,
            Step::OpenView if self.views.len() < OPEN => {
                let view = self.store.view();
                self.fresh.clear();
                self.views.push((view, self.expected.clone()));
            }
            Step::CloseView(which) if !self.views.is_empty() => {
                drop(self.views.swap_remove(which % self.views.len()));
            }
            Step::OpenScan if self.scans.len() < OPEN => {
                let scan = self.store.iter();
                self.fresh.clear();
                self.scans.push((scan, self.expected.clone()));
            }
            Step::Advance(which, pairs, back) if !self.scans.is_empty() => {
                let (now, at) = (self.now(), which % self.scans.len());
                let (scan, left) = &mut self.scans[at];
                advance(scan, left, pairs, back, now)?;
            }
            Step::CloseScan(which) if !self.scans.is_empty() => {
                drop(self.scans.swap_remove(which % self.scans.len()));
            }
            Step::Scan(from, to, closed) => self.scan(from, to, closed)?,
            Step::Prefix(n) => {
                let mut expected = self.expected.live(self.now());
                expected.retain(|(found, _)| found.starts_with(&key(n)));
                check_scan(|| self.store.scan_prefix(&key(n)), &expected)?;
            }
            Step::LetSnapshotsBe(then) => {
                self.refuses = then == Snapshot::Refused;
                self.storage.let_snapshots_be(then);
            }
            Step::Room(left) => self.room(left),
            Step::Reopen { close } => self.reopen(close),
            Step::OpenView
            | Step::CloseView(_)
            | Step::OpenScan
            | Step::Advance(..)
            | Step::CloseScan(_) => {}
        }
        Ok(())
    }

    fn check(&self) -> Checked {
        let now = self.now();
        compare(&self.store, &self.expected, now)?;
        for (view, expected) in &self.views {
            compare_view(view, expected, now)?;
        }
        let stats = self.store.stats();
        let open = self.views.len() + self.scans.len();
        prop_assert_eq!(stats.views, open as u64);
        // Each view shows one version of a key. Under `Always` a write is shown when it returns.
        prop_assert!(stats.kept_versions <= open as u64 * u64::from(KEYS));
        self.seen
            .kept
            .set(self.seen.kept.get().max(stats.kept_versions));
        Ok(())
    }

    /// Nothing is kept for nobody.
    fn end(mut self) -> Checked {
        let (rest, now): (Vec<_>, _) = (self.scans.drain(..).collect(), self.now());
        for (mut scan, mut left) in rest {
            advance(&mut scan, &mut left, KEYS + 1, false, now)?;
        }
        self.views.clear();
        let stats = self.store.stats();
        prop_assert_eq!((stats.kept_versions, stats.views), (0, 0));
        self.room(None);
        self.storage.let_snapshots_be(Snapshot::Written);
        for n in 0..KEYS {
            self.store.delete(key(n)).expect("deleted");
        }
        self.store.sync().expect("synced");
        prop_assert_eq!(self.store.len(), 0);
        let stats = self.store.stats();
        prop_assert_eq!((stats.memory_bytes, stats.live_bytes), (0, 0));
        count(&self.seen.snapshots, stats.snapshots);
        Ok(())
    }
}

#[test]
fn every_answer_is_the_model_s() {
    let seen = Seen::default();
    let programs = (
        policy(),
        snapshots(),
        limits(),
        proptest::collection::vec(step(), 1..120),
    );
    let config = ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let ran = TestRunner::new(config).run(&programs, |(policy, snapshots, limits, steps)| {
        count(&seen.programs, 1);
        let mut world = World::new(policy, snapshots, limits, &seen);
        for step in steps {
            count(&seen.steps, 1);
            world.run(step)?;
            world.follow_clock();
            world.check()?;
        }
        world.end()
    });
    ran.unwrap_or_else(|failed| panic!("{failed}"));
    // The programs come where they should.
    for (counter, least) in [
        (&seen.kept, 6),
        (&seen.overdue, 200),
        (&seen.no_space, 20),
        (&seen.over_memory, 200),
        (&seen.over_views, 50),
        (&seen.snapshots, 500),
        (&seen.corrections, 20),
    ] {
        assert!(counter.get() >= least, "{seen:?}");
    }
}
