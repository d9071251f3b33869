//! Every policy on every executor.

use std::collections::BTreeMap;

use wal_core::{FsyncPolicy, Record, RecordRef, Wal};

use super::runtimes::{Executor, Task, yield_now};
use super::support::{
    assert_dense, directory, everywhere, open, policies, read_all, reopen, small,
};

/// Appends `each` records of `len` bytes or more; returns what was acknowledged.
async fn append(wal: Wal, task: usize, each: usize, len: usize) -> Vec<(u64, Vec<u8>)> {
    let mut acknowledged = Vec::new();
    for n in 0..each {
        let mut payload = format!("task {task}, record {n} ").into_bytes();
        payload.resize(payload.len().max(len), b'.');
        let position = wal
            .append(RecordRef::data(&payload))
            .await
            .expect("appended");
        if n % 7 == 0 {
            yield_now().await;
        }
        acknowledged.push((position.lsn.get(), payload));
    }
    acknowledged
}

/// Each task's own order is kept, all LSNs together are dense and unique.
fn join(outcomes: Vec<Vec<(u64, Vec<u8>)>>) -> BTreeMap<u64, Vec<u8>> {
    let mut all = BTreeMap::new();
    for outcome in outcomes {
        assert!(outcome.is_sorted_by_key(|(lsn, _)| *lsn));
        for (lsn, payload) in outcome {
            assert_eq!(all.insert(lsn, payload), None, "LSN {lsn} was given twice");
        }
    }
    assert_dense(all.keys().copied());
    all
}

fn many_tasks_append_at_once(executor: Executor) {
    for policy in policies() {
        let dir = directory();
        let wal = open(executor, &dir, policy);
        let each = if policy == FsyncPolicy::Always {
            20
        } else {
            200
        };
        let tasks = (0..16).map(|task| Box::pin(append(wal.clone(), task, each, 0)) as Task<_>);
        let appended = join(executor.run_all(tasks));
        assert_eq!(appended.len(), 16 * each);

        let handle = wal.clone();
        let read = executor.run(async move {
            if policy == FsyncPolicy::Always {
                assert_eq!(handle.durable_lsn(), handle.last_lsn());
            }
            handle.flush().await.expect("flushed");
            handle.sync().await.expect("synced");
            assert_eq!(handle.durable_lsn(), handle.last_lsn());
            let read = read_all(&handle).await;
            handle.close().await.expect("closed");
            read
        });
        assert_eq!(read, appended, "{policy:?}");
        drop(wal);
        assert_eq!(reopen(&dir), (appended, true), "{policy:?}");
    }
}

#[test]
fn many_tasks_on_a_multi_thread_runtime() {
    many_tasks_append_at_once(Executor::MultiThread);
}

#[test]
fn many_tasks_on_a_current_thread_runtime() {
    many_tasks_append_at_once(Executor::CurrentThread);
}

#[test]
fn many_tasks_in_a_local_set() {
    many_tasks_append_at_once(Executor::LocalSet);
}

#[test]
fn many_tasks_in_a_local_set_of_a_multi_thread_runtime() {
    many_tasks_append_at_once(Executor::LocalSetOfMultiThread);
}

#[test]
fn many_tasks_in_a_local_set_on_a_worker() {
    many_tasks_append_at_once(Executor::LocalSetOnWorker);
}

#[test]
fn many_tasks_on_an_executor_without_tokio() {
    many_tasks_append_at_once(Executor::Bare);
}

#[test]
fn many_threads_with_a_block_on_of_their_own() {
    many_tasks_append_at_once(Executor::BareThreads);
}

#[test]
fn many_tasks_of_an_executor_on_a_worker() {
    many_tasks_append_at_once(Executor::BareOnWorker);
}

#[test]
fn many_tasks_of_an_executor_in_a_current_thread_runtime() {
    many_tasks_append_at_once(Executor::BareOnCurrentThread);
}

#[test]
fn appends_wait_for_room_and_for_the_next_segment() {
    for (executor, policy) in everywhere() {
        let dir = directory();
        let wal = executor
            .run(small(dir.path(), policy).open())
            .expect("a log");
        let tasks = (0..8).map(|task| Box::pin(append(wal.clone(), task, 10, 3_000)) as Task<_>);
        let appended = join(executor.run_all(tasks));
        assert!(wal.stats().rotations > 1, "{executor:?}, {policy:?}");
        executor
            .run(async move { wal.close().await })
            .expect("closed");
        assert_eq!(reopen(&dir), (appended, true), "{executor:?}, {policy:?}");
    }
}

#[test]
fn batches_of_many_tasks_do_not_mix() {
    for (executor, policy) in everywhere() {
        let dir = directory();
        let wal = open(executor, &dir, policy);
        let tasks = (0..8).map(|task| {
            let wal = wal.clone();
            Box::pin(async move {
                for n in 0..5 {
                    let batch: Vec<Record> = (0..10)
                        .map(|at| Record::data(format!("{task} {n} {at}")))
                        .collect();
                    let appended = wal.append_batch(&batch).await.expect("appended");
                    assert_eq!(appended.last_lsn.get(), appended.first.lsn.get() + 9);
                }
            }) as Task<()>
        });
        executor.run_all(tasks);
        let read = executor.run(async move {
            let read = read_all(&wal).await;
            wal.close().await.expect("closed");
            read
        });
        let payloads: Vec<Vec<u8>> = read.into_values().collect();
        assert_eq!(payloads.len(), 8 * 5 * 10);
        for batch in payloads.chunks(10) {
            let name = batch[0].strip_suffix(b"0").expect("the first of a batch");
            for (at, payload) in batch.iter().enumerate() {
                assert_eq!(*payload, [name, at.to_string().as_bytes()].concat());
            }
        }
    }
}

#[test]
fn tasks_that_append_at_once_share_a_sync() {
    for executor in [
        Executor::CurrentThread,
        Executor::LocalSet,
        Executor::Bare,
        Executor::BareOnCurrentThread,
    ] {
        let dir = directory();
        let wal = open(executor, &dir, FsyncPolicy::Always);
        let tasks = (0..16).map(|task| Box::pin(append(wal.clone(), task, 10, 0)) as Task<_>);
        join(executor.run_all(tasks));
        let syncs = wal.stats().syncs;
        assert!(syncs <= 80, "{executor:?}: {syncs} syncs for 160 records");
    }
}

#[test]
fn the_log_outlives_its_runtime() {
    for policy in policies() {
        let dir = directory();
        let wal = open(Executor::CurrentThread, &dir, policy);
        let mut appended = Vec::new();
        for (task, executor) in Executor::ALL.into_iter().enumerate() {
            appended.push(executor.run(append(wal.clone(), task, 5, 0)));
        }
        let appended = join(appended);
        // The last handle goes where there is no runtime.
        drop(wal);
        assert_eq!(reopen(&dir), (appended, false), "{policy:?}");
    }
}
