//! Everyone who waits when a write or a sync fails is told, and told after the poison is set.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::{Error, FsyncPolicy, Lsn, Poisoned, Record, RecordRef, Result};
use wal_io::fault::{Fault, OperationKind, SystemError};

use crate::common::trace::segment;
use crate::common::watched::Watched;
use crate::common::{Machine, PATIENCE, SMALL, append, large, payload, poisoned, policies, until};

/// A call on a thread of its own, and then at once an append: what both gave.
type Both = (Result<()>, Result<()>);

fn call(wal: &Wal, call: impl FnOnce(&Wal) -> Result<()> + Send + 'static) -> mpsc::Receiver<Both> {
    let (tell, told) = mpsc::channel();
    let wal = wal.clone();
    thread::spawn(move || {
        let outcome = call(&wal);
        let next = wal.append(RecordRef::data(b"at once")).map(drop);
        let _ = tell.send((outcome, next));
    });
    told
}

/// Both fail with the poison; the first one's error.
#[track_caller]
fn failed(told: &mpsc::Receiver<Both>) -> Poisoned {
    let (outcome, next) = told.recv_timeout(PATIENCE).expect("the waiter wakes");
    assert_eq!(poisoned(next).lsn, None, "it was refused");
    poisoned(outcome)
}

#[test]
fn poison_is_set_and_then_every_waiting_append_wakes_with_the_error() {
    for kind in [OperationKind::SyncData, OperationKind::Write] {
        let machine = Machine::new(FsyncPolicy::Always);
        let watched = Watched::new(&machine.storage);
        let wal = machine.open_watched(&watched);
        append(&wal, 1..=3);
        watched.hold_syncs();
        let leader = call(&wal, |wal| wal.append(RecordRef::data(b"led")).map(drop));
        watched.wait_for_a_sync();
        // These queue behind a sync that is under way, and will lead the next.
        let waiters: Vec<_> = (0..6)
            .map(|_| call(&wal, |wal| wal.append(RecordRef::data(b"queued")).map(drop)))
            .collect();
        until("all are in the log", || wal.last_lsn().get() == 10);
        machine
            .storage
            .inject(Fault::error(SystemError::Io).on(kind));
        watched.let_syncs_go();
        let mut given = BTreeSet::new();
        let durable = if kind == OperationKind::SyncData {
            // The sync under way fails.
            given.insert(failed(&leader).lsn.expect("an LSN was given").get());
            3
        } else {
            // It succeeds, and the write for the next fails.
            let (outcome, _) = leader.recv_timeout(PATIENCE).expect("the leader returns");
            outcome.expect("the first sync worked");
            given.insert(4);
            4
        };
        for waiter in &waiters {
            let error = failed(waiter);
            assert_eq!(error.durable_lsn.get(), durable);
            given.insert(error.lsn.expect("an LSN was given").get());
        }
        assert_eq!(given, (4..=10).collect());
    }
}

#[test]
fn every_kind_of_waiter_wakes_with_the_error() {
    for policy in [
        FsyncPolicy::Always,
        FsyncPolicy::Batch(PATIENCE),
        FsyncPolicy::Os,
    ] {
        let machine = Machine::new(policy);
        let watched = Watched::new(&machine.storage);
        let wal = machine.open_watched(&watched);
        append(&wal, 1..=3);
        wal.sync().expect("synced");
        watched.hold_syncs();
        let leader = call(&wal, |wal| {
            wal.durable().append(RecordRef::data(b"led")).map(drop)
        });
        watched.wait_for_a_sync();
        let waiters = [
            call(&wal, |wal| {
                wal.durable().append(RecordRef::data(b"queued")).map(drop)
            }),
            call(&wal, Wal::sync),
            call(&wal, |wal| wal.wait_durable(Lsn::new(4))),
            call(&wal, |wal| wal.truncate_before(Lsn::new(3))),
        ];
        until("the second is in the log", || wal.last_lsn().get() == 5);
        let fault = Fault::error(SystemError::Io).on(OperationKind::SyncData);
        machine.storage.inject(fault);
        watched.let_syncs_go();
        assert_eq!(failed(&leader).durable_lsn.get(), 3);
        for waiter in &waiters {
            assert_eq!(failed(waiter).durable_lsn.get(), 3);
        }
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn every_future_that_waits_is_woken_before_the_error_is_returned() {
    for policy in policies() {
        let machine = Machine::new(policy);
        let watched = Watched::new(&machine.storage);
        let blocking = machine.open_watched(&watched);
        append(&blocking, 1..=3);
        blocking.sync().expect("synced");
        watched.hold_syncs();
        let leader = call(&blocking, |wal| {
            wal.durable().append(RecordRef::data(b"led")).map(drop)
        });
        watched.wait_for_a_sync();
        let wal = wal_core::Wal::from(blocking.clone());
        let mut waiters: [Pin<Box<dyn Future<Output = Result<()>> + '_>>; 4] = [
            Box::pin(async {
                let record = RecordRef::data(b"queued");
                wal.durable().append(record).await.map(drop)
            }),
            Box::pin(wal.sync()),
            Box::pin(wal.wait_durable(Lsn::new(4))),
            Box::pin(wal.truncate_before(Lsn::new(3))),
        ];
        let woken: [Arc<Woken>; 4] = std::array::from_fn(|_| Arc::default());
        for (waiter, woken) in waiters.iter_mut().zip(&woken) {
            let waker = Waker::from(Arc::clone(woken));
            let mut context = Context::from_waker(&waker);
            assert!(waiter.as_mut().poll(&mut context).is_pending());
        }
        let fault = Fault::error(SystemError::Io).on(OperationKind::SyncData);
        machine.storage.inject(fault);
        watched.let_syncs_go();
        assert_eq!(failed(&leader).durable_lsn.get(), 3);
        for woken in &woken {
            assert_eq!(woken.0.load(Ordering::SeqCst), 1, "{policy:?}");
        }
    }
}

#[test]
fn a_close_that_waits_behind_a_failing_sync_wakes_with_the_error() {
    let machine = Machine::new(FsyncPolicy::Os);
    let watched = Watched::new(&machine.storage);
    let wal = machine.open_watched(&watched);
    append(&wal, 1..=3);
    watched.hold_syncs();
    let leader = call(&wal, Wal::sync);
    watched.wait_for_a_sync();
    let close = call(&wal, Wal::close);
    until("the log takes no more", || {
        matches!(wal.append_batch::<Record>(&[]), Err(Error::Closed))
    });
    let fault = Fault::error(SystemError::Io).on(OperationKind::SyncData);
    machine.storage.inject(fault);
    watched.let_syncs_go();
    failed(&leader);
    failed(&close);
}

#[test]
fn appends_that_wait_for_room_wake_with_the_error() {
    let machine = Machine::new(FsyncPolicy::Os)
        .segments_of(SMALL)
        .buffers_of(4 << 10);
    let watched = Watched::new(&machine.storage);
    let wal = machine.open_watched(&watched);
    append(&wal, 1..=1);
    wal.sync().expect("synced");
    // The third segment is not begun before the first is synced: appends come to a stop.
    watched.hold_syncs_of(&segment(1));
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            call(&wal, |wal| {
                loop {
                    wal.append(RecordRef::data(&large(1, 500)))?;
                }
            })
        })
        .collect();
    watched.wait_for_a_sync();
    let full = || {
        let before = wal.last_lsn();
        thread::sleep(Duration::from_millis(20));
        wal.list_segments().expect("segments").len() == 2 && wal.last_lsn() == before
    };
    until("the second segment is full", full);
    let fault = Fault::error(SystemError::Io).on(OperationKind::SyncData);
    machine.storage.inject(fault.in_file(&segment(1)));
    watched.let_syncs_go();
    for waiter in &waiters {
        failed(waiter);
    }
}

#[test]
fn a_reader_that_waits_for_a_hand_over_wakes_with_the_error() {
    let machine = Machine::new(FsyncPolicy::Batch(PATIENCE));
    let wal = machine.open_with_threads();
    append(&wal, 1..=3);
    wal.sync().expect("synced");
    append(&wal, 4..=4);
    let fault = Fault::error(SystemError::Io).on(OperationKind::Write);
    machine.storage.inject(fault);
    let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
    for n in 1..=3 {
        let (record, _) = reader.next_record().expect("read").expect("a record");
        assert_eq!(record.value, payload(n));
    }
    assert_eq!(poisoned(reader.next_record()).durable_lsn.get(), 3);
}

#[test]
fn dropping_a_poisoned_log_does_not_hang_and_lets_go_of_the_lock() {
    for policy in [FsyncPolicy::Always, FsyncPolicy::Os] {
        let machine = Machine::new(policy);
        let wal = machine.open_with_threads();
        append(&wal, 1..=2);
        wal.sync().expect("synced");
        let fault = Fault::error(SystemError::Io).on(OperationKind::SyncData);
        machine.storage.inject(fault);
        poisoned(wal.durable().append(RecordRef::data(&payload(3))));
        drop(wal);
        assert!(machine.open().last_lsn().get() >= 2);
    }
}
