//! Random writes, jumps, snapshots, reopenings and crashes against the model.

use std::time::Duration;

use proptest::prelude::*;
use wal_io::fault::Seeded;
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, Condition, FsyncPolicy, UnixMillis, View};

use super::machine::{HOUR, Machine, POLICIES, SECOND};
use super::model::{Ends, Micros, Model, State};

const KEYS: u8 = 6;
/// A key that does not expire for long: the wall clock is watched.
const WATCHED: u8 = 9;
const WATCHED_FOR: Duration = Duration::from_secs(100 * 365 * 86_400);

#[derive(Clone, Debug)]
pub(super) enum Step {
    Put(u8),
    PutFor(u8, u64),
    /// Puts with the expiry of the value before, if there is one.
    Replace(u8),
    Delete(u8),
    /// Two keys together, one of them for a time.
    Batch(u8, u8, u64),
    Pass(u64),
    /// So many seconds with a write in each.
    Run(u8),
    Suspend(u64),
    /// Moves the wall clock by milliseconds.
    Jump(i64),
    SetWall(u64),
    Snapshot,
    OpenView,
    Sync,
    Reopen,
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS;
    // Microseconds.
    let ttl = || prop_oneof![1..5_000_u64, 1..40_000_000_u64];
    prop_oneof![
        2 => key().prop_map(Step::Put),
        6 => (key(), ttl()).prop_map(|(key, ttl)| Step::PutFor(key, ttl)),
        2 => key().prop_map(Step::Replace),
        1 => key().prop_map(Step::Delete),
        2 => (key(), key(), ttl()).prop_map(|(one, other, ttl)| Step::Batch(one, other, ttl)),
        4 => (1..4_000_000_u64).prop_map(Step::Pass),
        4 => (1..13_u8).prop_map(Step::Run),
        1 => (1..30_000_000_u64).prop_map(Step::Suspend),
        4 => (-30_000..30_000_i64).prop_map(Step::Jump),
        1 => (-3..3_i64).prop_map(|days| Step::Jump(days * 86_400_000)),
        1 => prop_oneof![Just(40_000_u64), Just(2_100_000_000_000)].prop_map(Step::SetWall),
        2 => Just(Step::Snapshot),
        1 => Just(Step::OpenView),
        1 => Just(Step::Sync),
        2 => Just(Step::Reopen),
        2 => any::<u64>().prop_map(Step::Crash),
    ]
}

/// A store and its model, side by side.
pub(super) struct Life {
    pub(super) machine: Machine,
    pub(super) model: Model,
    /// `None` after a failed open.
    store: Option<KvStore>,
    views: Vec<(View, State)>,
    value: u8,
    /// The last LSN after the last step that went well.
    last: u64,
    pub(super) all_corrections: u64,
}

impl Life {
    pub(super) fn new(machine: Machine) -> Self {
        let model = Model::new(&machine.clock);
        Self {
            store: machine.try_open().ok(),
            machine,
            model,
            views: Vec::new(),
            value: 0,
            last: 0,
            all_corrections: 0,
        }
    }

    /// Whether it goes on.
    pub(super) fn is_alive(&self) -> bool {
        self.store.is_some() && !self.machine.disk.has_lost_power()
    }

    /// The program, with the wall clock watched, until a step fails; false if one has. After each step the store shows what the
    /// model says.
    pub(super) fn run_all(&mut self, steps: &[Step], place: &str) -> bool {
        let policy = self.machine.policy;
        if !self.watch() {
            return false;
        }
        for (n, step) in steps.iter().enumerate() {
            let place = format!("{policy:?}, {place}, step {n}, {step:?}");
            if !self.run(step) || !self.is_alive() {
                return false;
            }
            self.check(&place);
            if matches!(step, Step::Reopen | Step::Crash(_)) {
                if !self.watch() {
                    return false;
                }
                self.check(&place);
            }
        }
        true
    }

    /// In the end all keys are gone in their time.
    pub(super) fn run_to_the_end(&mut self, place: &str) {
        for _ in 0..8 {
            self.run(&Step::Pass(9_999_999));
            self.check(place);
        }
    }

    /// A write of `keys`. It is noted in the model also if it has failed: it may be there after a crash.
    fn write(
        &mut self,
        keys: &[(u8, Option<u8>, Ends)],
        write: impl FnOnce(&KvStore) -> bool,
    ) -> bool {
        // A log that has failed takes no more.
        if !self.is_alive() {
            return false;
        }
        let Some(store) = &self.store else {
            return false;
        };
        self.last = store.stats().visible_lsn.get();
        let written = write(store);
        for (key, value, ends) in keys {
            self.last += 1;
            self.model.put(self.last, *key, *value, *ends);
        }
        // The store looks at the wall clock after each write.
        self.model.observe(self.last + 1);
        written
    }

    fn next_value(&mut self) -> u8 {
        self.value = self.value.wrapping_add(1);
        self.value
    }

    fn put(&mut self, key: u8, ttl: Option<Duration>) -> bool {
        let value = self.next_value();
        let ends = ttl.map_or(Ends::Never, |ttl| self.model.after(micros(ttl)));
        self.write(&[(key, Some(value), ends)], |store| match ttl {
            Some(ttl) => store.put_with_ttl([key], [value], ttl).is_ok(),
            None => store.put([key], [value]).is_ok(),
        })
    }

    /// Has the store watch the wall clock.
    pub(super) fn watch(&mut self) -> bool {
        self.put(WATCHED, Some(WATCHED_FOR))
    }

    /// Does a step; false if it failed.
    pub(super) fn run(&mut self, step: &Step) -> bool {
        let clock = &self.machine.clock;
        match *step {
            Step::Put(key) => return self.put(key, None),
            Step::PutFor(key, ttl) => return self.put(key, Some(Duration::from_micros(ttl))),
            Step::Replace(key) => {
                let value = self.next_value();
                let ends = self.model.kept(key);
                return self.write(&[(key, Some(value), ends)], |store| {
                    let present = store.contains_key(&[key]);
                    let condition = if present {
                        Condition::Present
                    } else {
                        Condition::Absent
                    };
                    store
                        .put_if([key], [value], &condition)
                        .is_ok_and(|outcome| outcome.is_applied())
                });
            }
            Step::Delete(key) => {
                return self.write(&[(key, None, Ends::Never)], |store| {
                    store.delete([key]).is_ok()
                });
            }
            Step::Batch(one, other, ttl) => {
                let (first, second) = (self.next_value(), self.next_value());
                let ttl = Duration::from_micros(ttl);
                let ends = self.model.after(micros(ttl));
                let keys = [(one, Some(first), Ends::Never), (other, Some(second), ends)];
                return self.write(&keys, |store| {
                    let batch = Batch::new().put([one], [first]);
                    let batch = batch.put_with_ttl([other], [second], ttl);
                    store.write(batch).is_ok()
                });
            }
            Step::Run(seconds) => {
                for _ in 0..seconds {
                    self.machine.clock.advance(SECOND);
                    if !self.watch() {
                        return false;
                    }
                }
            }
            Step::Pass(micros) => clock.advance(Duration::from_micros(micros)),
            Step::Suspend(micros) => clock.suspend(Duration::from_micros(micros)),
            Step::Jump(millis) => clock.move_wall(millis),
            Step::SetWall(millis) => clock.set_wall(UnixMillis::new(millis)),
            Step::Snapshot => {
                return self
                    .store
                    .as_ref()
                    .is_some_and(|store| store.snapshot().is_ok());
            }
            Step::Sync => {
                return self
                    .store
                    .as_ref()
                    .is_some_and(|store| store.sync().is_ok());
            }
            Step::OpenView => {
                let view = self.store.as_ref().map(KvStore::view);
                self.views
                    .extend(view.map(|view| (view, self.model.state())));
            }
            Step::Reopen => return self.reopen(None),
            Step::Crash(seed) => return self.reopen(Some(seed)),
        }
        true
    }

    /// Closes the store, or has the power fail, and opens it again.
    fn reopen(&mut self, crash: Option<u64>) -> bool {
        self.views.clear();
        let Some(store) = self.store.take() else {
            return false;
        };
        if let Some(seed) = crash {
            self.check_counts(&store);
            self.store = Some(store);
            self.open_after_a_crash(seed, "a crash");
            return true;
        }
        self.last = store.stats().visible_lsn.get();
        // It looks at the clock once more.
        self.model.observe(self.last + 1);
        let closed = store.close().is_ok();
        if !closed {
            return false;
        }
        self.check_counts(&store);
        drop(store);
        let over: Vec<u8> = (0..KEYS)
            .filter(|key| self.model.live(*key).is_none())
            .collect();
        if !self.open(u64::MAX) {
            return false;
        }
        for key in over {
            assert!(
                self.model.live(key).is_none(),
                "key {key} had expired when the store was closed"
            );
        }
        true
    }

    fn check_counts(&mut self, store: &KvStore) {
        let counted = store.stats().clock_corrections;
        assert_eq!(counted, self.model.corrections() as u64);
        self.all_corrections += counted;
    }

    /// The power has failed: opens with what is left, and checks it.
    pub(super) fn open_after_a_crash(&mut self, seed: u64, place: &str) {
        self.views.clear();
        let counted = self
            .store
            .as_ref()
            .map_or(0, |store| store.stats().clock_corrections);
        let last_counted = self.model.last_of(counted);
        self.machine.disk = self.machine.disk.crash(&mut Seeded::streaky(seed));
        self.store = None;
        assert!(self.open(0), "{place}");
        let found = self
            .store
            .as_ref()
            .map(|store| store.stats().visible_lsn.get());
        assert!(found >= Some(last_counted), "{place}: a correction is lost");
        self.check(place);
    }

    /// Opens; with all that was written, or with what is there.
    fn open(&mut self, at_least: u64) -> bool {
        let Ok(store) = self.machine.try_open() else {
            return false;
        };
        let stats = store.stats();
        let lsn = stats.visible_lsn.get().max(at_least);
        let ahead = i128::from(-stats.clock_difference);
        let wall: Micros = self.machine.wall().into();
        let time = if ahead == 0 {
            micros(wal_core::clock::Clock::wall(&self.machine.clock))
        } else {
            (wall + ahead) * 1000
        };
        self.model.reopen(lsn, time);
        self.store = Some(store);
        true
    }

    /// What the store shows is what the model says.
    pub(super) fn check(&self, place: &str) {
        let Some(store) = &self.store else { return };
        let mut live = 0;
        for key in (0..KEYS).chain([WATCHED]) {
            let expected = self.model.live(key);
            let value = expected.and_then(|version| version.value);
            let found = store.get_pair(&[key]);
            let shown = found.as_ref().map(|pair| pair.value()[0]);
            assert_eq!(shown, value, "{place}: key {key}, {expected:?}");
            assert_eq!(store.contains_key(&[key]), value.is_some(), "{place}");
            let (Some(pair), Some(version)) = (found, expected) else {
                continue;
            };
            live += 1;
            assert_eq!(pair.lsn().get(), version.lsn, "{place}: key {key}");
            let ends = pair.expires_at().map(|at| i128::from(at.get()));
            assert_eq!(ends, self.model.wall_end(&version), "{place}: key {key}");
        }
        assert_eq!(store.len(), live, "{place}");
        assert_eq!(store.iter().count(), live, "{place}");
        for (view, state) in &self.views {
            for (key, version) in state {
                let value = version.value.filter(|_| self.model.is_live(version));
                let shown = view.get(&[*key]).map(|value| value[0]);
                assert_eq!(shown, value, "{place}: key {key} in a view, {version:?}");
            }
        }
    }
}

fn micros(time: Duration) -> Micros {
    time.as_micros().cast_signed()
}

fn run(policy: FsyncPolicy, steps: &[Step]) -> u64 {
    let mut life = Life::new(Machine::new(policy));
    assert!(life.run_all(steps, "a program"));
    life.run_to_the_end("at the end");
    assert!(life.is_alive());
    life.all_corrections + life.model.corrections() as u64
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_store_shows_what_the_model_says_whatever_the_wall_clock_does(
        policy in proptest::sample::select(&POLICIES[..]),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        run(policy, &steps);
    }
}

#[test]
fn the_programs_have_corrections_in_them() {
    // As the property's strategy makes them; without any the property would show nothing.
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let steps = proptest::collection::vec(step(), 30..60);
    let mut corrections = 0;
    for n in 0..30 {
        let steps = steps.new_tree(&mut runner).expect("steps").current();
        corrections += run(POLICIES[n % 3], &steps);
    }
    assert!(corrections > 30, "only {corrections}");
    assert!(WATCHED_FOR > HOUR);
}
