//! What it means when a call returns: durable, closed, failed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wal_core::{
    Error, FsyncPolicy, Lsn, MAX_BATCH_WINDOW, Poisoned, Record, RecordRef, Wal, blocking,
};
use wal_io::FaultStorage;
use wal_io::fault::{Fault, OperationKind, Seeded, SystemError};

use super::gate::{Gate, Gated};
use super::runtimes::{Executor, Task, block_on, within, yield_now};
use super::support::{
    becomes_durable, config, directory, everywhere, open, policies, read_all, reopen,
};

async fn on(disk: &FaultStorage, policy: FsyncPolicy) -> Wal {
    Wal::builder("log")
        .storage(Arc::new(disk.clone()))
        .config(config(policy))
        .open()
        .await
        .expect("a log")
}

/// All records that `disk` holds.
fn records_on(disk: FaultStorage) -> BTreeMap<u64, Vec<u8>> {
    let wal = blocking::Wal::builder("log").storage(Arc::new(disk)).open();
    let wal = wal.expect("a log");
    let reader = wal.read_from(Lsn::ZERO).expect("a reader");
    reader
        .map(|step| step.expect("a record"))
        .map(|(record, position)| (position.lsn.get(), record.value.to_vec()))
        .collect()
}

#[test]
fn a_durable_append_is_durable_under_every_policy() {
    for (executor, policy) in everywhere() {
        let disk = FaultStorage::new();
        let handle = disk.clone();
        let wal = executor.run(async move {
            let wal = on(&handle, policy).await;
            for _ in 0..5 {
                wal.append(RecordRef::data(b"x")).await.expect("appended");
            }
            let position = wal.durable().append("durable").await.expect("appended");
            assert_eq!(position.lsn.get(), 6);
            assert!(wal.durable_lsn() >= position.lsn);
            let batch = wal.durable().append_batch(&["a", "batch"]).await;
            assert!(wal.durable_lsn() >= batch.expect("appended").last_lsn);
            wal
        });
        for seed in 0..8 {
            let read = records_on(disk.crash(&mut Seeded::new(seed)));
            assert_eq!(read.len(), 8, "{executor:?}, {policy:?}, seed {seed}");
            assert_eq!(read[&6], b"durable");
            assert_eq!(read[&8], b"batch");
        }
        drop(wal);
    }
}

#[test]
fn sync_makes_all_before_it_durable() {
    for (executor, policy) in everywhere() {
        let disk = FaultStorage::new();
        let handle = disk.clone();
        let wal = executor.run(async move {
            let wal = on(&handle, policy).await;
            for _ in 0..20 {
                wal.append(RecordRef::data(b"x")).await.expect("appended");
            }
            wal.sync().await.expect("synced");
            wal
        });
        for seed in 0..8 {
            let read = records_on(disk.crash(&mut Seeded::new(seed)));
            assert_eq!(read.len(), 20, "{executor:?}, {policy:?}, seed {seed}");
        }
        drop(wal);
    }
}

#[test]
fn flush_hands_all_before_it_over() {
    for (executor, policy) in everywhere() {
        let disk = FaultStorage::new();
        let handle = disk.clone();
        let wal = executor.run(async move {
            let wal = on(&handle, policy).await;
            for _ in 0..20 {
                wal.append(RecordRef::data(b"x")).await.expect("appended");
            }
            wal.flush().await.expect("flushed");
            wal
        });
        let read = records_on(disk.kill());
        assert_eq!(read.len(), 20, "{executor:?}, {policy:?}");
        drop(wal);
    }
}

#[test]
fn wait_durable_serves_everyone_at_once() {
    let slow = FsyncPolicy::Batch(MAX_BATCH_WINDOW);
    for executor in Executor::ALL {
        for policy in [slow, FsyncPolicy::Os, FsyncPolicy::Always] {
            let dir = directory();
            let wal = open(executor, &dir, policy);
            let handle = wal.clone();
            executor.run(async move {
                for _ in 0..32 {
                    handle
                        .append(RecordRef::data(b"x"))
                        .await
                        .expect("appended");
                }
            });
            let tasks = (1..=32).map(|lsn| {
                let wal = wal.clone();
                Box::pin(async move {
                    let lsn = Lsn::new(lsn);
                    wal.wait_durable(lsn).await.expect("durable");
                    assert!(wal.durable_lsn() >= lsn);
                }) as Task<()>
            });
            // Long before the window is over, and though nothing more is appended.
            executor.run_all(tasks);
        }
    }
}

#[test]
fn wait_durable_for_an_lsn_that_was_never_given() {
    for (executor, policy) in everywhere() {
        let dir = directory();
        executor.run(async move {
            let wal = Wal::open(dir.path(), config(policy)).await.expect("a log");
            wal.wait_durable(Lsn::ZERO)
                .await
                .expect("nothing to wait for");
            for next in 1..=3 {
                for lsn in [next, next + 1, u64::MAX] {
                    let refused = wal.wait_durable(Lsn::new(lsn)).await;
                    let Err(Error::NotAppended {
                        lsn: asked,
                        next: told,
                    }) = refused
                    else {
                        panic!("{refused:?}");
                    };
                    assert_eq!((asked.get(), told.get()), (lsn, next));
                }
                wal.append(RecordRef::data(b"x")).await.expect("appended");
                wal.wait_durable(Lsn::new(next)).await.expect("durable");
            }
        });
    }
}

#[test]
fn close_from_one_clone_closes_the_others() {
    for (executor, policy) in everywhere() {
        let dir = directory();
        let path = dir.path().to_owned();
        executor.run(async move {
            let wal = Wal::open(path, config(policy)).await.expect("a log");
            let other = wal.clone();
            other.append(RecordRef::data(b"x")).await.expect("appended");
            wal.close().await.expect("closed");

            let record = Record::data("y");
            let closed = |outcome: Result<(), Error>| {
                assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
            };
            closed(other.append(&record).await.map(drop));
            closed(other.durable().append(&record).await.map(drop));
            closed(
                other
                    .append_batch(std::slice::from_ref(&record))
                    .await
                    .map(drop),
            );
            closed(other.append_batch::<Record>(&[]).await.map(drop));
            closed(other.flush().await);
            closed(other.sync().await);
            closed(other.truncate_before(Lsn::FIRST).await);
            closed(other.truncate_after(Lsn::FIRST).await);
            // What is known stays known, and a closed log can still be read and closed.
            assert_eq!(other.durable_lsn().get(), 1);
            other.wait_durable(Lsn::FIRST).await.expect("durable");
            assert_eq!(other.current_position().await.lsn.get(), 2);
            assert_eq!(read_all(&other).await.len(), 1);
            other.close().await.expect("closed");
            wal.close().await.expect("closed");
        });
        let (read, clean) = reopen(&dir);
        assert_eq!((read.len(), clean), (1, true));
    }
}

#[test]
fn close_while_tasks_append() {
    for (executor, policy) in everywhere() {
        let dir = directory();
        let wal = open(executor, &dir, policy);
        let mut tasks: Vec<Task<Vec<u64>>> = Vec::new();
        for _ in 0..6 {
            let wal = wal.clone();
            tasks.push(Box::pin(async move {
                let mut acknowledged = Vec::new();
                loop {
                    match wal.append(RecordRef::data(&[7; 500])).await {
                        Ok(position) => acknowledged.push(position.lsn.get()),
                        Err(Error::Closed) => return acknowledged,
                        Err(error) => panic!("{error}"),
                    }
                    yield_now().await;
                }
            }));
        }
        for _ in 0..2 {
            let wal = wal.clone();
            tasks.push(Box::pin(async move {
                while wal.last_lsn().get() < 50 {
                    yield_now().await;
                }
                wal.close().await.expect("closed");
                assert_eq!(wal.durable_lsn(), wal.last_lsn());
                Vec::new()
            }));
        }
        let mut acknowledged = executor.run_all(tasks).concat();
        acknowledged.sort_unstable();
        let (read, clean) = reopen(&dir);
        assert!(clean);
        // Every record that entered was acknowledged.
        assert!(
            acknowledged.iter().eq(read.keys()),
            "{executor:?}, {policy:?}"
        );
    }
}

#[test]
fn a_failed_sync_wakes_every_task() {
    for executor in Executor::ALL {
        for policy in policies() {
            let disk = FaultStorage::new();
            let handle = disk.clone();
            let wal = executor.run(async move {
                let wal = on(&handle, policy).await;
                wal.durable()
                    .append(RecordRef::data(b"durable"))
                    .await
                    .expect("appended");
                wal
            });
            disk.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
            let tasks = (0..8).map(|_| {
                let wal = wal.clone();
                Box::pin(async move {
                    loop {
                        match wal.durable().append(RecordRef::data(b"lost?")).await {
                            Ok(_) => yield_now().await,
                            Err(Error::Poisoned(poisoned)) => return poisoned,
                            Err(error) => panic!("{error}"),
                        }
                    }
                }) as Task<Poisoned>
            });
            for poisoned in executor.run_all(tasks) {
                assert_eq!(poisoned.durable_lsn, wal.durable_lsn());
                assert!(poisoned.lsn.is_none_or(|lsn| lsn > poisoned.durable_lsn));
            }
            executor.run(async move {
                for outcome in [wal.sync().await, wal.flush().await, wal.close().await] {
                    assert!(matches!(outcome, Err(Error::Poisoned(_))), "{outcome:?}");
                }
                let refused = wal.append(RecordRef::data(b"x")).await;
                assert!(matches!(refused, Err(Error::Poisoned(_))), "{refused:?}");
                assert!(wal.durable_lsn() >= Lsn::FIRST);
            });
            disk.clear_faults();
            let read = records_on(disk.kill());
            assert_eq!(read[&1], b"durable");
        }
    }
}

#[test]
fn an_idle_log_syncs_by_itself_under_batch() {
    for executor in Executor::ALL {
        let dir = directory();
        let window = FsyncPolicy::Batch(Duration::from_millis(5));
        let path = dir.path().to_owned();
        let wal = executor.run(async move {
            let wal = Wal::open(path, config(window)).await.expect("a log");
            wal.append(RecordRef::data(b"x")).await.expect("appended");
            wal
        });
        becomes_durable(&wal, 1);
    }
}

#[test]
fn an_append_beside_a_sync_is_synced_in_its_window() {
    within("batch", || {
        let gate = Gate::default();
        let builder = Wal::builder("log")
            .storage(Arc::new(Gated::new(&gate)))
            .config(config(FsyncPolicy::Batch(Duration::from_millis(300))));
        let wal = block_on(builder.open()).expect("a log");
        block_on(wal.durable().append(RecordRef::data(b"x"))).expect("appended");
        gate.close_syncs();
        let other = wal.clone();
        let leader = std::thread::spawn(move || {
            block_on(other.durable().append(RecordRef::data(b"x"))).expect("appended");
        });
        gate.wait_for_a_call();
        block_on(wal.append(RecordRef::data(b"x"))).expect("appended");
        // The timer looks, and finds a sync under way that does not cover the record.
        std::thread::sleep(Duration::from_millis(100));
        gate.open();
        leader.join().expect("no panic");
        becomes_durable(&wal, 3);
    });
}

#[test]
fn what_was_on_its_way_when_the_timer_looked_is_synced_in_its_window() {
    within("batch", || {
        let gate = Gate::default();
        let builder = Wal::builder("log")
            .storage(Arc::new(Gated::new(&gate)))
            .config(config(FsyncPolicy::Batch(Duration::from_millis(50))));
        let wal = block_on(builder.open()).expect("a log");
        block_on(wal.durable().append(RecordRef::data(b"x"))).expect("appended");
        gate.close_writes();
        block_on(wal.append(RecordRef::data(b"x"))).expect("appended");
        let other = wal.clone();
        let leader = std::thread::spawn(move || block_on(other.flush()).expect("flushed"));
        gate.wait_for_a_call();
        // The timer looks, and finds nothing that waits: the record is between the buffer and the file.
        std::thread::sleep(Duration::from_millis(150));
        gate.open();
        leader.join().expect("no panic");
        becomes_durable(&wal, 2);
    });
}

#[test]
fn an_append_beside_a_write_is_handed_over_soon() {
    within("os", || {
        for _ in 0..50 {
            let gate = Gate::default();
            let builder = Wal::builder("log")
                .storage(Arc::new(Gated::new(&gate)))
                .config(config(FsyncPolicy::Os));
            let wal = block_on(builder.open()).expect("a log");
            block_on(wal.durable().append(RecordRef::data(b"x"))).expect("appended");
            gate.close_writes();
            let other = wal.clone();
            let leader = std::thread::spawn(move || {
                block_on(other.durable().append(RecordRef::data(b"x"))).expect("appended");
            });
            gate.wait_for_a_call();
            block_on(wal.append(RecordRef::data(b"x"))).expect("appended");
            std::thread::sleep(Duration::from_micros(200));
            gate.open();
            leader.join().expect("no panic");
            let begun = Instant::now();
            while wal.stats().writes < 3 {
                assert!(
                    begun.elapsed() < Duration::from_secs(60),
                    "never handed over"
                );
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
}
