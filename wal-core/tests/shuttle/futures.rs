//! Futures dropped while they wait, or kept and not polled, beside callers that wait to the end.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use shuttle::thread::{Thread, current, park, scope, yield_now};
use wal_core::{FsyncPolicy, Lsn, Position, Record, RecordRef, Wal, blocking};

use super::explore::{below, explore, pick, until};
use super::machine::{End, HALF, LARGE, Machine, SMALL};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread. (Shuttle's own would let a late waker end a join.)
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        park();
    }
}

/// Polls a few times, others running in between, and drops the future.
fn abandon<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..below(4) {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        yield_now();
    }
    None
}

fn open(machine: &Machine) -> Wal {
    block_on(machine.configured(Wal::builder("log")).open()).expect("the log opens")
}

fn abandon_a_call(machine: &Machine, wal: &Wal, caller: u64) {
    match below(7) {
        0 => {
            let payload = machine.ledger.next(caller, HALF);
            let outcome = abandon(wal.append(RecordRef::data(&payload)));
            if let Some(outcome) = outcome {
                machine
                    .ledger
                    .note(&[payload], &outcome.map(|position| position.lsn.get()));
            }
        }
        1 => {
            let payload = machine.ledger.next(caller, HALF);
            let outcome = abandon(wal.durable().append(RecordRef::data(&payload)));
            if let Some(outcome) = outcome {
                machine
                    .ledger
                    .note(&[payload], &outcome.map(|position| position.lsn.get()));
            }
        }
        2 => {
            let payloads = machine.ledger.batch(caller, 2, HALF / 2);
            let records: Vec<Record> = payloads.iter().cloned().map(Record::data).collect();
            let outcome = abandon(wal.append_batch(&records));
            if let Some(outcome) = outcome {
                let first = outcome.map(|appended| appended.first.lsn.get());
                machine.ledger.note(&payloads, &first);
            }
        }
        3 => drop(abandon(wal.sync())),
        4 => drop(abandon(wal.flush())),
        5 => drop(abandon(wal.wait_durable(wal.last_lsn()))),
        _ => drop(abandon(wal.truncate_before(Lsn::new(1 + below(2))))),
    }
}

fn droppers() {
    let machine = Machine::any(pick(&[SMALL, LARGE])).tight();
    let wal = open(&machine);
    scope(|scope| {
        let (machine, wal) = (&machine, &wal);
        for caller in 0..2 {
            scope.spawn(move || {
                for _ in 0..3 {
                    abandon_a_call(machine, wal, caller);
                }
            });
        }
        scope.spawn(move || {
            for _ in 0..2 {
                let payload = machine.ledger.next(9, HALF);
                let position = block_on(wal.durable().append(RecordRef::data(&payload)));
                let lsn = position.expect("appended").lsn.get();
                machine.ledger.note(&[payload], &Ok(lsn));
                machine.ledger.durable(lsn);
            }
        });
    });
    if machine.policy != FsyncPolicy::Os {
        // What entered becomes durable without another call.
        until(|| wal.durable_lsn() == wal.last_lsn());
    }
    block_on(wal.close()).expect("closed");
    let last = wal.last_lsn().get();
    drop(wal);
    machine.reopen(&machine.disk, last, true);
}

#[test]
fn dropped_futures() {
    explore("dropped_futures", droppers);
}

/// A future that was polled and is kept, but is not polled again.
type Kept<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

fn keep_a_call<'a>(machine: &'a Machine, wal: &'a Wal, caller: u64) -> Kept<'a> {
    let note = move |payload: Vec<u8>, outcome: wal_core::Result<Position>| {
        let lsn = outcome.map(|position| position.lsn.get());
        machine.ledger.note(&[payload], &lsn);
    };
    let mut kept: Kept<'a> = match below(4) {
        0 => Box::pin(async move {
            let payload = machine.ledger.next(caller, HALF);
            let outcome = wal.append(RecordRef::data(&payload)).await;
            note(payload, outcome);
        }),
        1 => Box::pin(async move {
            let payload = machine.ledger.next(caller, HALF);
            let outcome = wal.durable().append(RecordRef::data(&payload)).await;
            note(payload, outcome);
        }),
        2 => Box::pin(async move { drop(wal.sync().await) }),
        _ => Box::pin(async move { drop(wal.flush().await) }),
    };
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..=below(2) {
        if kept.as_mut().poll(&mut context).is_ready() {
            return Box::pin(std::future::ready(()));
        }
        yield_now();
    }
    kept
}

fn keepers() {
    let machine = Machine::any(pick(&[SMALL, LARGE])).tight();
    let wal = open(&machine);
    let done = AtomicU64::new(0);
    scope(|scope| {
        let (machine, wal, done) = (&machine, &wal, &done);
        scope.spawn(move || {
            let kept: Vec<Kept<'_>> = (0..3).map(|n| keep_a_call(machine, wal, n)).collect();
            // The others come to their end although these are not polled.
            until(|| done.load(Ordering::SeqCst) == 2);
            kept.into_iter().for_each(block_on);
        });
        for caller in 8..10 {
            scope.spawn(move || {
                for _ in 0..2 {
                    let payload = machine.ledger.next(caller, HALF);
                    let outcome = match below(2) {
                        0 => block_on(wal.durable().append(RecordRef::data(&payload))),
                        _ => block_on(wal.append(RecordRef::data(&payload))),
                    };
                    let lsn = outcome.expect("appended").lsn.get();
                    machine.ledger.note(&[payload], &Ok(lsn));
                    block_on(wal.wait_durable(Lsn::new(lsn))).expect("durable");
                    machine.ledger.durable(lsn);
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    block_on(wal.close()).expect("closed");
    let last = wal.last_lsn().get();
    drop(wal);
    machine.reopen(&machine.disk, last, true);
}

#[test]
fn kept_futures() {
    explore("kept_futures", keepers);
}

fn close_is_dropped() {
    let machine = Machine::any(pick(&[SMALL, LARGE]));
    let wal = open(&machine);
    for _ in 0..below(3) {
        let payload = machine.ledger.next(0, HALF);
        let position = block_on(wal.append(RecordRef::data(&payload)));
        machine
            .ledger
            .note(&[payload], &Ok(position.expect("appended").lsn.get()));
    }
    let closed = AtomicBool::new(false);
    scope(|scope| {
        for wal in [wal.clone(), wal.clone(), wal] {
            let closed = &closed;
            scope.spawn(move || {
                if abandon(wal.close()).is_some() {
                    closed.store(true, Ordering::SeqCst);
                }
                // Whoever is last carries the close through, if it was begun.
                drop(wal);
            });
        }
    });
    machine.reopen(&machine.disk, machine.ledger.highest(), closed.into_inner());
    // And once more, by the other kind of handle, on what the first one left.
    let wal: blocking::Wal = machine.open();
    wal.close().expect("closed");
    machine.end(wal, End::Close);
}

#[test]
fn a_dropped_close() {
    explore("a_dropped_close", close_is_dropped);
}
