//! A call that waits ends, whatever other callers do with theirs.

#[cfg(feature = "tokio")]
use std::future::Future;
#[cfg(target_os = "linux")]
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::{Lsn, RecordRef, Result, WalConfig};

use crate::common::watched::Watched;
use crate::common::{Machine, PATIENCE, SMALL, append, in_tested_version, policies, until};

const MEBIBYTE: u64 = 1 << 20;

/// Runs `call` on its own thread, and fails if it does not end.
#[track_caller]
fn ends(what: &str, call: impl FnOnce() -> Result<()> + Send + 'static) {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(call()));
    let outcome = told.recv_timeout(PATIENCE);
    outcome
        .unwrap_or_else(|_| panic!("{what} hangs"))
        .expect(what);
}

/// Appends until there is no room, waiting for nothing. Where the log's own threads make room, it comes to an end as well.
fn fill(wal: &Wal, payload: &[u8]) {
    let record = wal.prepare(RecordRef::data(payload)).expect("prepared");
    let mut refused = 0;
    while refused < 10 && wal.last_lsn().get() * (payload.len() as u64) < 8 * MEBIBYTE {
        if wal.try_append(&record).expect("no error").is_some() {
            refused = 0;
        } else {
            refused += 1;
            thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn an_append_that_needs_a_third_segment_ends_although_nobody_waits_for_the_earlier_records() {
    type Call = fn(&Wal, &[u8]) -> Result<()>;
    let calls: [(&str, Call); 4] = [
        ("append", |wal, payload| {
            wal.append(RecordRef::data(payload)).map(drop)
        }),
        ("append_batch", |wal, payload| {
            wal.append_batch(&[RecordRef::data(payload)]).map(drop)
        }),
        ("durable().append", |wal, payload| {
            wal.durable().append(RecordRef::data(payload)).map(drop)
        }),
        ("wait_for_room", |wal, payload| {
            wal.wait_for_room(&wal.prepare(RecordRef::data(payload))?)
        }),
    ];
    for policy in policies() {
        for size in [3_000, 300_000, 900_000] {
            for (name, call) in calls {
                let wal = Machine::new(policy)
                    .segments_of(MEBIBYTE)
                    .open_with_threads();
                let payload = vec![1; size];
                fill(&wal, &payload);
                let handle = wal.clone();
                ends(&format!("{policy:?}, {size} bytes: {name}"), move || {
                    call(&handle, &payload)
                });
                wal.close().expect("closed");
            }
        }
    }
}

/// Panics when it is woken.
struct Spiteful;

impl Wake for Spiteful {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

#[cfg(feature = "tokio")]
#[test]
fn a_waker_that_panics_disturbs_nobody_else() {
    for policy in policies() {
        let machine = Machine::new(policy);
        let watched = Watched::new(&machine.storage);
        let blocking = machine.open_watched(&watched);
        append(&blocking, 1..=2);
        watched.hold_syncs();
        let handle = blocking.clone();
        let leader =
            thread::spawn(move || handle.durable().append(RecordRef::data(b"led")).map(drop));
        watched.wait_for_a_sync();
        let waker = Waker::from(Arc::new(Spiteful));
        let mut context = Context::from_waker(&waker);
        let wal = wal_core::Wal::from(blocking.clone());
        let mut kept: Vec<_> = (0..3)
            .map(|_| Box::pin(wal.durable().append(RecordRef::data(b"waits"))))
            .collect();
        for future in &mut kept {
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
        let handle = blocking.clone();
        let follower =
            thread::spawn(move || handle.durable().append(RecordRef::data(b"f")).map(drop));
        until("all are in the log", || blocking.last_lsn().get() == 7);
        watched.let_syncs_go();
        leader.join().expect("no panic").expect("durable");
        follower.join().expect("no panic").expect("durable");
        drop(kept);
        blocking.close().expect("closed");
    }
}

/// Polls a future once, with a waker that does nothing.
#[cfg(feature = "tokio")]
fn poll_once<F: Future + Unpin>(future: &mut F) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(std::pin::Pin::new(future).poll(&mut context).is_pending());
}

#[cfg(feature = "tokio")]
#[test]
fn a_waiter_that_is_kept_and_not_polled_holds_up_nobody() {
    type Call = fn(&Wal) -> Result<()>;
    let calls: [(&str, Call); 5] = [
        ("durable().append", |wal| {
            wal.durable().append(RecordRef::data(b"follows")).map(drop)
        }),
        ("sync", Wal::sync),
        ("wait_durable", |wal| wal.wait_durable(Lsn::new(3))),
        ("truncate_before", |wal| wal.truncate_before(Lsn::new(2))),
        ("truncate_after", |wal| wal.truncate_after(Lsn::new(3))),
    ];
    for policy in policies() {
        for (name, call) in calls {
            let machine = Machine::new(policy);
            let watched = Watched::new(&machine.storage);
            let blocking = machine.open_watched(&watched);
            append(&blocking, 1..=2);
            let wal = wal_core::Wal::from(blocking.clone());
            watched.hold_syncs();
            let handle = blocking.clone();
            let leader =
                thread::spawn(move || handle.durable().append(RecordRef::data(b"leads")).map(drop));
            watched.wait_for_a_sync();
            // It will be woken to lead the next commit.
            let mut kept = Box::pin(wal.durable().append(RecordRef::data(b"kept")));
            poll_once(&mut kept);
            let mut kept_flush = Box::pin(wal.flush());
            let mut context = Context::from_waker(Waker::noop());
            let _ = kept_flush.as_mut().poll(&mut context);
            let follower = blocking.clone();
            let (tell, told) = mpsc::channel();
            thread::spawn(move || tell.send(call(&follower)));
            // Long enough for it to be in the queue, most often.
            thread::sleep(Duration::from_millis(10));
            watched.let_syncs_go();
            leader.join().expect("no panic").expect("durable");
            let outcome = told.recv_timeout(PATIENCE);
            outcome
                .unwrap_or_else(|_| panic!("{policy:?}: {name} hangs"))
                .expect(name);
            drop((kept, kept_flush));
            blocking.close().expect("closed");
        }
    }
}

/// The files that this process has open in `dir`, including the directory.
#[cfg(target_os = "linux")]
fn open_files(dir: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir("/proc/self/fd").expect("Linux");
    let targets = all.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(dir)).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn files_that_wait_for_their_footers_are_bounded_where_each_record_fills_a_segment() {
    for policy in policies() {
        let temporary = tempfile::tempdir().expect("a directory");
        let dir = temporary.path().canonicalize().expect("it exists");
        let config = WalConfig {
            max_segment_size: SMALL,
            fsync_policy: policy,
            ..WalConfig::default()
        };
        let builder = in_tested_version(Wal::builder(dir.join("log")).config(config));
        let wal = builder.small_segments().open().expect("the log opens");
        let payload = vec![7; 3000];
        let mut most = 0;
        for _ in 0..400 {
            wal.append(RecordRef::data(&payload)).expect("appended");
            most = most.max(open_files(&dir).len());
        }
        assert!(most <= 16, "{policy:?}: {most} open files");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_writing_side_holds_at_most_sixteen_open_files() {
    for policy in policies() {
        for preallocate in [true, false] {
            let temporary = tempfile::tempdir().expect("a directory");
            let dir = temporary.path().canonicalize().expect("it exists");
            let config = WalConfig {
                max_segment_size: MEBIBYTE,
                fsync_policy: policy,
                preallocate,
                node_id: 0,
            };
            let wal = Wal::open(dir.join("log"), config).expect("the log opens");
            let payload = vec![7; 900_000];
            let mut most = 0;
            for n in 1..=120 {
                wal.append(RecordRef::data(&payload)).expect("appended");
                most = most.max(open_files(&dir).len());
                if n % 10 == 0 {
                    wal.truncate_before(Lsn::new(n - 5)).expect("truncated");
                    most = most.max(open_files(&dir).len());
                }
            }
            assert!(most <= 16, "{policy:?}: {most} open files");
            wal.close().expect("closed");
            let left = open_files(&dir);
            let is_file = |path: &PathBuf| !path.ends_with("log");
            assert!(!left.iter().any(is_file), "open after the close: {left:?}");
        }
    }
}
