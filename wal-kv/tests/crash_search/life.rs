//! One life of a store: random steps until its end, and what may be there afterwards.

use std::time::Duration;

use wal_io::FaultStorage;
use wal_io::fault::{Fault, Moment, SystemError};
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, Conditional, Error, FsyncPolicy, Position, Result, Scan, UnixMillis, View};

use super::program::{Outcome, Settings, shown};
use crate::common::expected::{Ends, Expected};
use crate::common::random::Random;
use crate::common::reluctant::{Reluctant, Snapshot};

/// Keys; the first ones are hot.
const KEYS: u64 = 12;
const HOT: u64 = 3;
/// Most steps of a life.
const STEPS: u64 = 60;
const TEN_YEARS: i64 = 10 * 365 * 86_400_000;
/// Views and scans that are open at a time.
const OPEN: usize = 4;

/// What a life has left.
#[derive(Debug)]
pub(super) struct Left {
    /// The states that a crash may show now.
    pub(super) allowed: Vec<Expected>,
    pub(super) place: String,
    /// An error of the system has struck.
    pub(super) struck: bool,
    /// The store, unless it was dropped before the crash: that syncs.
    pub(super) alive: Option<KvStore>,
}

/// What goes wrong in a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    PowerCut,
    Error,
}

struct Life<'a> {
    settings: &'a Settings,
    random: &'a mut Random,
    disk: Reluctant,
    store: KvStore,
    trouble: Trouble,
    /// The states so far, each with the LSN of the write that made it.
    states: Vec<(u64, Expected)>,
    /// The state that a write would have made which failed.
    tried: Option<Expected>,
    views: Vec<(View, Expected)>,
    scans: Vec<(Scan, Expected)>,
    refuses: bool,
    is_small: bool,
    place: String,
    outcome: &'a mut Outcome,
}

/// Goes on, or ends the life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Go,
    End,
}

/// Lives on `disk`, which holds `known`, until the end.
pub(super) fn live(
    settings: &Settings,
    random: &mut Random,
    disk: &FaultStorage,
    known: &Expected,
    place: String,
    outcome: &mut Outcome,
) -> Left {
    let trouble = random.pick(&[
        Trouble::None,
        Trouble::None,
        Trouble::PowerCut,
        Trouble::PowerCut,
        Trouble::Error,
    ]);
    match trouble {
        Trouble::None => {}
        Trouble::PowerCut => {
            let moment = random.pick(&[Moment::Before, Moment::During, Moment::After]);
            disk.inject(Fault::power_cut(moment).after(random.below(200)));
        }
        Trouble::Error => {
            let error = random.pick(&[SystemError::Io, SystemError::NoSpace]);
            disk.inject(Fault::error(error).on_changes().after(random.below(200)));
        }
    }
    let reluctant = Reluctant::new(disk.clone());
    let opened = settings.open(&reluctant);
    let Ok(store) = opened else {
        assert_ne!(trouble, Trouble::None, "{place}: {:?}", opened.err());
        let struck = trouble == Trouble::Error;
        outcome.errors += u64::from(struck);
        return Left {
            allowed: vec![known.clone()],
            place,
            struck,
            alive: None,
        };
    };
    let mut life = Life {
        settings,
        random,
        disk: reluctant,
        store,
        trouble,
        states: vec![(0, known.clone())],
        tried: None,
        views: Vec::new(),
        scans: Vec::new(),
        refuses: false,
        is_small: false,
        place,
        outcome,
    };
    for _ in 0..life.random.below(STEPS) {
        if life.step() == Then::End {
            break;
        }
        let kept = life.store.stats().kept_versions;
        life.outcome.kept = life.outcome.kept.max(kept);
    }
    life.end()
}

impl Life<'_> {
    fn last(&self) -> &Expected {
        let last = self.states.last();
        &last.expect("there is always one").1
    }

    fn key(&mut self) -> Vec<u8> {
        let keys = self.random.pick(&[HOT, KEYS]);
        vec![b'a' + self.random.below(keys) as u8]
    }

    /// No two writes have the same value.
    fn value(&mut self) -> Vec<u8> {
        let n = self.states.len() as u64 + (self.random.below(1 << 20) << 20);
        let mut value = n.to_be_bytes().to_vec();
        value.resize(8 + self.random.longer(), n as u8);
        value
    }

    /// Whether the power is off, or the log takes no more writes.
    fn after_trouble(&self) -> bool {
        let storage = &self.disk.storage;
        storage.has_lost_power() || (self.trouble == Trouble::Error && storage.faults_struck() > 0)
    }

    /// Notes how a write has ended that would lead to `next`; `records` is how many it has.
    fn note(&mut self, done: Result<Position>, next: Expected, records: u64) -> Then {
        match done {
            Ok(position) => {
                let last = position.lsn.get() + records - 1;
                self.states.push((last, next));
                return Then::Go;
            }
            Err(Error::SnapshotOverdue { .. }) if self.refuses || self.is_small => {
                self.outcome.overdue += 1;
                return Then::Go;
            }
            Err(Error::Log(wal_core::Error::NoSpace { .. })) if self.is_small => {
                self.outcome.no_space += 1;
                return Then::Go;
            }
            Err(error) => assert!(self.after_trouble(), "{}: {error}", self.place),
        }
        self.tried = Some(next);
        // It changes nothing that is shown.
        let now = self.settings.now();
        let expected = self.last().entries(now);
        assert_eq!(shown(&self.store, &self.place), expected, "{}", self.place);
        Then::End
    }

    fn put(&mut self, key: Vec<u8>, ttl: Option<u64>) -> Then {
        let (value, mut next) = (self.value(), self.last().clone());
        let done = match ttl {
            Some(ms) => {
                let ttl = Duration::from_millis(ms);
                self.store.put_with_ttl(&key, &value, ttl)
            }
            None => self.store.put(&key, &value),
        };
        let at = ttl.map(|ms| self.settings.now().boot + ms.cast_signed());
        next.put(key, value, at.map_or(Ends::Never, Ends::Boot));
        self.note(done, next, 1)
    }

    fn batch(&mut self) -> Then {
        let (mut batch, mut next) = (Batch::new(), self.last().clone());
        let records = 1 + self.random.below(5);
        for _ in 0..records {
            let key = self.key();
            if self.random.one_in(3) {
                next.delete(&key);
                batch = batch.delete(key);
            } else {
                let value = self.value();
                batch = batch.put(&key, &value);
                next.put(key, value, Ends::Never);
            }
        }
        let done = self.store.write(batch);
        self.note(done, next, records)
    }

    fn conditional(&mut self) -> Then {
        let now = self.settings.now();
        let (key, how) = (self.key(), self.random.below(4) as u8);
        let (condition, holds) = self.last().condition(&key, how, now);
        let mut next = self.last().clone();
        let done = if self.random.one_in(3) {
            next.delete(&key);
            self.store.delete_if(&key, &condition)
        } else {
            let value = self.value();
            let done = self.store.put_if(&key, &value, &condition);
            next.replace(key, value, now);
            done
        };
        match done {
            Ok(Conditional::Applied(position)) => {
                assert!(holds, "{}", self.place);
                self.note(Ok(position), next, 1)
            }
            Ok(Conditional::Refused { .. }) => {
                assert!(!holds, "{}", self.place);
                Then::Go
            }
            Err(error) => {
                let next = if holds { next } else { self.last().clone() };
                self.note(Err(error), next, 1)
            }
        }
    }

    /// A snapshot, a sync, or a close: where it fails nothing is lost.
    fn upkeep(&self, done: Result<()>, may_fail: bool) -> Then {
        let Err(error) = done else {
            return Then::Go;
        };
        assert!(may_fail || self.after_trouble(), "{}: {error}", self.place);
        if self.disk.storage.has_lost_power() {
            Then::End
        } else {
            Then::Go
        }
    }

    fn check_view(&self, view: &View, expected: &Expected) {
        let pairs = view.iter().map(|pair| {
            let at = pair.expires_at().map(|at| at.get().cast_signed());
            (pair.key().to_vec(), pair.value().to_vec(), at)
        });
        let (found, now): (Vec<_>, _) = (pairs.collect(), self.settings.now());
        assert_eq!(found, expected.entries(now), "{}: a view", self.place);
    }

    fn check_views(&mut self) {
        for (view, expected) in &self.views {
            self.check_view(view, expected);
        }
        let now = self.settings.now();
        for (scan, left) in &mut self.scans {
            let back = self.random.one_in(2);
            let pair = if back { scan.next_back() } else { scan.next() };
            let found = pair.map(|pair| (pair.key().to_vec(), pair.value().to_vec()));
            assert_eq!(found, left.take(back, now), "{}: a scan", self.place);
        }
    }

    fn step(&mut self) -> Then {
        match self.random.below(24) {
            0..=5 => {
                let key = self.key();
                self.put(key, None)
            }
            6 => {
                let (key, ms) = (self.key(), 1 + self.random.below(40));
                self.put(key, Some(ms))
            }
            7 => {
                let (key, mut next) = (self.key(), self.last().clone());
                next.delete(&key);
                let done = self.store.delete(&key);
                self.note(done, next, 1)
            }
            8 | 9 => self.batch(),
            10 | 11 => self.conditional(),
            12 | 13 => {
                // A hot key.
                let key = vec![b'a' + self.random.below(HOT) as u8];
                let more = 2 + self.random.below(25);
                let ended = (0..more).any(|_| self.put(key.clone(), None) == Then::End);
                if ended { Then::End } else { Then::Go }
            }
            14 => self.upkeep(self.store.sync(), false),
            15 | 16 => {
                let done = self.store.snapshot().map(drop);
                self.upkeep(done, self.refuses || self.is_small)
            }
            17 | 18 if self.views.len() < OPEN => {
                let view = (self.store.view(), self.last().clone());
                self.views.push(view);
                Then::Go
            }
            17..=19 => {
                self.check_views();
                let which = self.random.below(OPEN as u64) as usize;
                if which < self.views.len() {
                    self.views.swap_remove(which);
                }
                if which < self.scans.len() {
                    self.scans.swap_remove(which);
                }
                Then::Go
            }
            20 => {
                if self.scans.len() < OPEN {
                    let scan = (self.store.iter(), self.last().clone());
                    self.scans.push(scan);
                }
                Then::Go
            }
            21 => {
                let (ms, clock) = (self.random.below(30), &self.settings.clock);
                match self.random.below(4) {
                    0 => clock.suspend(Duration::from_millis(ms)),
                    // Ten years ahead or back; nobody believes it before the end of this life.
                    1 => clock.move_wall(self.random.pick(&[-TEN_YEARS, TEN_YEARS])),
                    _ => clock.advance(Duration::from_millis(ms)),
                }
                Then::Go
            }
            22 => {
                self.refuses = !self.random.one_in(3);
                self.disk.let_snapshots_be(if self.refuses {
                    Snapshot::Refused
                } else {
                    Snapshot::Written
                });
                Then::Go
            }
            _ => {
                let storage = &self.disk.storage;
                self.is_small = self.random.one_in(2);
                let left = self.is_small.then(|| self.random.below(30_000));
                storage.set_capacity(left.map(|left| storage.used_space() + left));
                Then::Go
            }
        }
    }

    /// Ends the life; returns what may be there afterwards.
    fn end(mut self) -> Left {
        self.check_views();
        let closed = self.random.one_in(3) && {
            let done = self.store.close();
            let closed = done.is_ok();
            let _ = self.upkeep(done, false);
            closed
        };
        let durable = self.store.durable_lsn().get();
        let stats = self.store.stats();
        self.outcome.snapshots += stats.snapshots;
        self.outcome.failures += stats.snapshot_failures;
        let struck = self.trouble == Trouble::Error && self.disk.storage.faults_struck() > 0;
        self.outcome.errors += u64::from(struck);
        let all = closed || self.settings.policy == FsyncPolicy::Always;
        let sure = if all {
            self.states.len() - 1
        } else {
            let durable = self.states.iter().rposition(|(lsn, _)| *lsn <= durable);
            durable.unwrap_or(0)
        };
        let mut allowed: Vec<_> = self.states.drain(sure..).map(|(_, state)| state).collect();
        allowed.extend(self.tried.take());
        let storage = &self.disk.storage;
        storage.clear_faults();
        let now = self.settings.now().boot;
        let right = UnixMillis::new(now.cast_unsigned());
        self.settings.clock.set_wall(right);
        storage.set_capacity(None);
        let drops = self.random.one_in(4);
        Left {
            allowed,
            place: self.place,
            struck,
            alive: Some(self.store).filter(|_| !drops),
        }
    }
}
