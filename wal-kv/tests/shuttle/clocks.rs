//! A wall clock that is set, and believed, beside writes of keys that expire, and a snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use shuttle::thread::{scope, yield_now};
use wal_core::clock::Clock;
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, Condition, UnixMillis};

use super::explore::{below, explore, pick};
use super::machine::{ENDS, End, Machine};

const HOUR: Duration = Duration::from_secs(3600);
/// By how much the wall clock is set, in milliseconds.
const JUMP: u64 = 600_000;
const START: u64 = 10_000_000;

/// Time passes between any two looks at it, or does not. Nobody sets it but the wall clock.
#[derive(Debug, Default)]
struct Set {
    millis: AtomicU64,
    ahead: AtomicU64,
}

impl Clock for Set {
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.millis.fetch_add(below(2), Ordering::SeqCst))
    }

    fn unix(&self) -> UnixMillis {
        let since = self.millis.load(Ordering::SeqCst);
        UnixMillis::new(START + since + self.ahead.load(Ordering::SeqCst))
    }
}

/// When each key expires, by the wall clock that the store goes by.
fn expiries(store: &KvStore) -> Vec<(Vec<u8>, u64)> {
    let expiry = |pair: wal_kv::Pair| Some((pair.key().to_vec(), pair.expires_at()?.get()));
    store.iter().filter_map(expiry).collect()
}

fn jumps() {
    let machine = Machine::any();
    let clock = Arc::new(Set::default());
    let store = machine.open_with(clock.clone());
    store.put_with_ttl("watched", "value", HOUR).expect("put");
    scope(|scope| {
        scope.spawn(|| {
            for key in ["a", "b"] {
                store.put_with_ttl(key, "value", HOUR).expect("put");
            }
            let outcome = store.put_if("watched", "new", &Condition::Present);
            assert!(outcome.expect("decided").is_applied());
        });
        scope.spawn(|| {
            let batch = Batch::new().put_with_ttl("c", "value", HOUR);
            store
                .write(batch.put_with_ttl("d", "value", HOUR))
                .expect("put");
        });
        scope.spawn(|| store.snapshot().expect("a snapshot"));
        scope.spawn(|| {
            clock.ahead.store(JUMP, Ordering::SeqCst);
            for _ in 0..3 {
                clock.millis.fetch_add(6000, Ordering::SeqCst);
                for _ in 0..below(20) {
                    yield_now();
                }
            }
        });
    });
    let before = store.stats();
    // A correction may come while they are looked at; there is only one.
    let mut known = expiries(&store);
    loop {
        let again = expiries(&store);
        if std::mem::replace(&mut known, again.clone()) == again {
            break;
        }
    }
    let end = pick(&ENDS);
    let durable = store.durable_lsn();
    let again = machine.end(store, end);
    let found = expiries(&again);
    let is_whole = matches!(end, End::Close | End::Drop);
    assert!(!is_whole || found.len() == known.len());
    // What the correction has made of all of them since, or what its loss has.
    let mut moved = Vec::new();
    for (key, at) in &found {
        let (_, known) = known
            .iter()
            .find(|(other, _)| other == key)
            .expect("it was put");
        moved.push(at.abs_diff(*known));
    }
    assert!(moved.windows(2).all(|two| two[0] == two[1]), "{moved:?}");
    let moved = moved.first().copied().unwrap_or(0);
    // A correction is what the wall clock was set by, about.
    assert!(moved == 0 || moved.abs_diff(JUMP) < 100, "{moved}");
    let was_corrected = before.clock_corrections > 0;
    assert!(
        !was_corrected || moved == 0,
        "{end:?}, durable to {durable:?}"
    );
}

#[test]
fn clocks_that_are_set_beside_writers() {
    explore("clocks_that_are_set_beside_writers", jumps);
}

/// A key that was there at open is gone for good once it was gone, although the wall clock is set back beside the readers at about
/// that time, and after the store is opened again too.
fn step_back() {
    let machine = Machine::any();
    let clock = Arc::new(Set::default());
    clock.ahead.store(JUMP, Ordering::SeqCst);
    let store = machine.open_with(clock.clone());
    // About when the wall clock is believed.
    let ttl = Duration::from_millis(12_000 + below(60));
    store.put_with_ttl("a", "value", ttl).expect("put");
    store.close().expect("closed");
    drop(store);
    let store = machine.open_with(clock.clone());
    store.put_with_ttl("watched", "value", HOUR).expect("put");
    let was_gone = AtomicBool::new(false);
    scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let before = was_gone.load(Ordering::SeqCst);
                    let is_gone = !store.contains_key(b"a");
                    assert!(is_gone || !before, "it was gone before");
                    was_gone.fetch_or(is_gone, Ordering::SeqCst);
                    yield_now();
                }
            });
        }
        scope.spawn(|| {
            clock.ahead.store(0, Ordering::SeqCst);
            for _ in 0..2 {
                for _ in 0..below(10) {
                    yield_now();
                }
                clock.millis.fetch_add(6000, Ordering::SeqCst);
            }
        });
    });
    let was_gone = was_gone.into_inner();
    store.close().expect("closed");
    drop(store);
    let comes_back = machine.open_on(&machine.disk).contains_key(b"a");
    assert!(!comes_back || !was_gone);
}

#[test]
fn a_step_back_beside_readers() {
    explore("a_step_back_beside_readers", step_back);
}
