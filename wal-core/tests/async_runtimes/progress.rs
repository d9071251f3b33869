//! Waiters that are kept and not polled, and runtimes whose threads are blocked, do not stop the others.

use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::task::LocalSet;
use wal_core::{FsyncPolicy, RecordRef, Wal, blocking};

use super::gate::{Gate, Gated};
use super::runtimes::{Task, current_thread, multi_thread, poll_once, within};
use super::support::{config, directory, everywhere, open, policies};

/// Each task keeps a future that has been polled while it waits for another call of its own.
#[test]
fn tasks_that_keep_a_future_and_wait_for_another_come_to_their_end() {
    for (executor, policy) in everywhere() {
        let dir = directory();
        let wal = open(executor, &dir, policy);
        let task = |wal: Wal| -> Task<()> {
            Box::pin(async move {
                for _ in 0..5 {
                    let mut kept = Box::pin(wal.durable().append(RecordRef::data(b"kept")));
                    let ready = poll_once(kept.as_mut());
                    wal.durable()
                        .append(RecordRef::data(b"other"))
                        .await
                        .expect("durable");
                    wal.sync().await.expect("synced");
                    if ready.is_pending() {
                        kept.await.expect("durable");
                    }
                }
            })
        };
        executor.run_all((0..5).map(|_| task(wal.clone())));
        assert_eq!(wal.last_lsn().get(), 50, "{executor:?}, {policy:?}");
        assert_eq!(wal.durable_lsn(), wal.last_lsn());
    }
}

/// The blocking calls hold the only thread that could poll the future which was woken to lead.
#[test]
fn tasks_with_blocking_calls_beside_async_ones_come_to_their_end() {
    let one_worker = || {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).build().expect("a runtime")
    };
    for policy in policies() {
        for runtime in [current_thread(), one_worker(), multi_thread()] {
            let dir = directory();
            let wal = blocking::Wal::open(dir.path(), config(policy)).expect("a log");
            let log = wal.clone();
            within("blocking calls in tasks", move || {
                runtime.block_on(async {
                    let tasks = (0..8).map(|task| {
                        let (blocking, wal) = (log.clone(), Wal::from(log.clone()));
                        tokio::spawn(async move {
                            for _ in 0..5 {
                                if task % 2 == 0 {
                                    blocking.durable().append(RecordRef::data(b"x")).map(drop)
                                } else {
                                    wal.durable().append(RecordRef::data(b"x")).await.map(drop)
                                }
                                .expect("durable");
                            }
                        })
                    });
                    for task in tasks.collect::<Vec<_>>() {
                        task.await.expect("no panic");
                    }
                });
            });
            assert_eq!(wal.durable_lsn().get(), 40, "{policy:?}");
        }
    }
}

/// The sync ends only when another task of the same set has run.
#[test]
fn a_slow_sync_does_not_hold_up_the_other_tasks_of_a_local_set() {
    async fn both(gate: Gate, wal: Wal) {
        let first = wal.durable().append(RecordRef::data(b"first")).await;
        first.expect("durable");
        gate.close_syncs();
        let waits = tokio::task::spawn_local(async move {
            wal.durable()
                .append(RecordRef::data(b"waits"))
                .await
                .expect("durable");
        });
        tokio::task::yield_now().await;
        let opens = tokio::task::spawn_local(async move { gate.open() });
        opens.await.expect("no panic");
        waits.await.expect("no panic");
    }
    for policy in [FsyncPolicy::Always, FsyncPolicy::Os] {
        for runtime in [current_thread(), multi_thread()] {
            within("a local set", move || {
                let gate = Gate::default();
                let wal = blocking::Wal::builder("log")
                    .storage(Arc::new(Gated::new(&gate)))
                    .config(config(policy))
                    .open()
                    .expect("a log");
                LocalSet::new().block_on(&runtime, both(gate, Wal::from(wal)));
            });
        }
    }
}
