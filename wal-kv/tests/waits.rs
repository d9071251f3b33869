//! Reads and counters wait for no write, wherever it is stopped or however long it takes.

#![forbid(unsafe_code)]

mod common;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use wal_core::UnixMillis;
use wal_core::clock::Clock;
use wal_io::MemoryStorage;
use wal_kv::blocking::KvStore;
use wal_kv::{Batch, FsyncPolicy, KvConfig};

/// Nothing takes so long that waits for nothing. A store that is broken on purpose is not waited for as long.
const LIMIT: Duration = Duration::from_secs(if cfg!(wal_sabotage) { 10 } else { 60 });
const WRITER: &str = "the writer";

/// A clock that stops the writer when it is asked: the log asks it under its lock, for the first record of a buffer.
#[derive(Debug)]
struct StoppingClock {
    stops: AtomicBool,
    stopped: Sender<()>,
    goes_on: Mutex<Receiver<()>>,
}

impl Clock for StoppingClock {
    fn monotonic(&self) -> Duration {
        let is_writer = thread::current().name() == Some(WRITER);
        if is_writer && self.stops.swap(false, Ordering::SeqCst) {
            self.stopped.send(()).expect("the test waits");
            let goes_on = self.goes_on.lock().expect("a writer");
            goes_on.recv().expect("the test goes on");
        }
        Duration::ZERO
    }

    fn unix(&self) -> UnixMillis {
        UnixMillis::new(0)
    }
}

fn open(clock: Arc<dyn Clock>) -> KvStore {
    let config = KvConfig {
        max_segment_size: 256 << 20,
        ..common::config(FsyncPolicy::Os)
    };
    let builder = common::builder(&MemoryStorage::new(), config, clock);
    builder.open().expect("a store")
}

/// Everything that reads, or counts.
fn read_all(store: &KvStore) {
    let view = store.view();
    black_box((store.get(b"key"), store.get_pair(b"key"), view.get(b"key")));
    black_box((
        store.contains_key(b"key"),
        store.multi_get(&["key", "none"]),
    ));
    drop(view);
    store.iter().take(100).for_each(drop);
    store.iter().rev().take(100).for_each(drop);
    black_box((store.len(), store.is_empty(), store.stats()));
    black_box((store.durable_lsn(), store.open_report()));
}

/// Does it on a thread of its own.
fn within_the_limit(store: &KvStore, then: impl FnOnce()) {
    thread::scope(|scope| {
        let (done, told) = channel();
        scope.spawn(move || {
            read_all(store);
            done.send(()).expect("the test waits");
        });
        let returned = told.recv_timeout(LIMIT);
        then();
        returned.expect("the reads return");
    });
}

#[test]
fn reads_and_counters_do_not_wait_for_the_lock_of_the_log() {
    let (stopped, is_stopped) = channel();
    let (go_on, goes_on) = channel();
    let clock = Arc::new(StoppingClock {
        stops: AtomicBool::new(false),
        stopped,
        goes_on: Mutex::new(goes_on),
    });
    let store = open(clock.clone());
    store.put("key", "value").expect("put");
    store.sync().expect("sync");
    clock.stops.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        let writer = thread::Builder::new().name(WRITER.into());
        let put = writer.spawn_scoped(scope, || store.put("another", "value").map(drop));
        let put = put.expect("a thread");
        is_stopped.recv_timeout(LIMIT).expect("the log asks");
        within_the_limit(&store, || go_on.send(()).expect("the writer waits"));
        put.join().expect("no panic").expect("put");
    });
    let stats = store.stats().log;
    assert_eq!((stats.records_appended, stats.segments), (2, 1));
    assert_eq!((stats.first_lsn.get(), stats.last_lsn.get()), (1, 2));
}

#[test]
fn reads_and_counters_go_on_while_a_large_batch_is_applied() {
    const KEYS: u64 = 200_000;
    let store = open(Arc::new(wal_core::clock::SystemClock::default()));
    let (stop, mut within) = (AtomicBool::new(false), 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let batch = (0..KEYS).fold(Batch::new(), |batch, n| {
                    batch.put(n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes(), "value")
                });
                store.write(batch).expect("written");
            }
        });
        let limit = Instant::now() + LIMIT;
        while within < 5 && Instant::now() < limit {
            let before = store.stats();
            read_all(&store);
            let after = store.stats();
            // All of it is in the log before the first of it is applied.
            let applied = before.log.last_lsn > before.visible_lsn;
            let same = before.log.last_lsn == after.log.last_lsn;
            within += u32::from(applied && same && before.visible_lsn == after.visible_lsn);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(
        within, 5,
        "times that all reads began and ended within a batch"
    );
}
