//! A correction while a snapshot is being written: at each look at the clock that the snapshot takes, another write may correct the
//! time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use wal_core::UnixMillis;
use wal_core::clock::{Clock, ManualClock};
use wal_kv::FsyncPolicy;
use wal_kv::blocking::KvStore;

use super::machine::{HOUR, MINUTE, Machine, POLICIES, SECOND, counted, has, put_for};
use crate::common;

/// A clock that does something when it is asked for the n-th time.
struct Interrupting {
    clock: ManualClock,
    /// Questions until then; below 0 nothing happens.
    left: AtomicI64,
    work: std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>,
    at_work: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Interrupting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interrupting").finish_non_exhaustive()
    }
}

impl Clock for Interrupting {
    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn unix(&self) -> UnixMillis {
        self.clock.unix()
    }

    fn boot(&self) -> Duration {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            let work = self.work.lock().expect("a lock").take();
            if let Some(work) = work {
                // The log looks at the clock under its lock: then the work waits until the look is over.
                let (done, is_done) = mpsc::channel::<()>();
                let thread = std::thread::spawn(move || {
                    work();
                    drop(done);
                });
                let _ = is_done.recv_timeout(Duration::from_millis(50));
                *self.at_work.lock().expect("a lock") = Some(thread);
            }
        }
        self.clock.boot()
    }
}

/// Writes a snapshot in which the time is corrected by `jump` at the n-th look at the clock; false if there are fewer looks.
fn corrected_at(policy: FsyncPolicy, n: i64, jump: i64, crash: bool) -> bool {
    let place = format!("{policy:?}, look {n}, {jump} ms, crash: {crash}");
    let mut machine = Machine::new(policy);
    let store = machine.open();
    put_for(&store, "loaded gone", MINUTE);
    put_for(&store, "loaded", HOUR * 2);
    store.close().expect("closed");
    drop(store);
    let clock = Arc::new(Interrupting {
        clock: machine.clock.clone(),
        left: AtomicI64::new(-1),
        work: std::sync::Mutex::new(None),
        at_work: std::sync::Mutex::new(None),
    });
    let config = common::config(policy);
    let builder = common::builder(&machine.disk, config, clock.clone());
    let store: KvStore = builder.open().expect("a store");
    put_for(&store, "gone", MINUTE);
    put_for(&store, "written", HOUR * 2);
    machine.clock.move_wall(jump);
    store.put("beat", "value").expect("put");
    // All but the last look at the wall clock, while some keys expire.
    machine.clock.advance(MINUTE);
    let inner = store.clone();
    *clock.work.lock().expect("a lock") = Some(Box::new(move || {
        inner.put("beat", "value").expect("put");
        assert_eq!(counted(&inner), (1, 1));
    }));
    clock.left.store(n, Ordering::SeqCst);
    store.snapshot().expect("a snapshot");
    clock.left.store(-1, Ordering::SeqCst);
    if let Some(thread) = clock.at_work.lock().expect("a lock").take() {
        thread.join().expect("the work is done");
    }
    let happened = clock.work.lock().expect("a lock").take().is_none();
    if crash {
        machine.crash(store, n.cast_unsigned());
    } else {
        store.close().expect("closed");
        drop(store);
    }
    if !happened {
        return false;
    }
    let store = machine.open();
    assert!(!has(&store, "gone"), "{place}");
    assert!(!has(&store, "loaded gone"), "{place}");
    assert!(has(&store, "written") && has(&store, "loaded"), "{place}");
    let expiry = |key: &str| {
        store
            .get_pair(key.as_bytes())
            .and_then(|pair| pair.expires_at())
    };
    let left = HOUR * 2 - MINUTE;
    let millis = machine.wall() + left.as_millis() as u64;
    assert_eq!(
        expiry("written").map(UnixMillis::get),
        Some(millis),
        "{place}"
    );
    let loaded = millis.saturating_add_signed(-jump);
    assert_eq!(
        expiry("loaded").map(UnixMillis::get),
        Some(loaded),
        "{place}"
    );
    machine.clock.advance(left - SECOND);
    assert!(has(&store, "written"), "{place}");
    machine.clock.advance(SECOND);
    assert!(!has(&store, "written"), "{place}");
    true
}

#[test]
fn a_snapshot_goes_by_one_time_whenever_the_time_is_corrected_meanwhile() {
    for policy in POLICIES {
        for crash in [false, true] {
            for jump in [3_600_000, -3_600_000] {
                let mut looks = 0;
                while corrected_at(policy, looks, jump, crash) {
                    looks += 1;
                }
                assert!(looks > 3, "only {looks}");
            }
        }
    }
}
