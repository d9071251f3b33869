//! Futures dropped at their await points: a record has entered the log or it has not, and the log stays as good as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use wal_core::{Error, FsyncPolicy, Lsn, Record, RecordRef, Result, SegmentId, Wal, blocking};

use super::gate::{Gate, Gated};
use super::runtimes::{
    Executor, Task, abandoned, block_on, multi_thread, poll_once, within, yield_now,
};
use super::support::{
    becomes_durable, config, directory, everywhere, policies, read_all, reopen, small,
};

/// A repeatable sequence of numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(0x1405_7B7E_F767_814F);
        (self.0 >> 33) % limit
    }
}

/// A task's payloads in its order, and those that were acknowledged.
type Tried = (Vec<Vec<u8>>, Vec<(u64, Vec<u8>)>);

/// What the tasks tried, and what they were told.
#[derive(Default)]
struct Attempts {
    /// Each task's payloads, in its order.
    tried: Vec<Vec<Vec<u8>>>,
    acknowledged: BTreeMap<u64, Vec<u8>>,
}

impl Attempts {
    fn joined(outcomes: Vec<Tried>) -> Self {
        let mut all = Self::default();
        for (tried, acknowledged) in outcomes {
            all.tried.push(tried);
            all.acknowledged.extend(acknowledged);
        }
        all
    }

    /// All that was acknowledged is in the log, nothing is in it twice, nothing else is, and each task's order is kept.
    fn check(&self, read: &BTreeMap<u64, Vec<u8>>) {
        for (lsn, payload) in &self.acknowledged {
            assert_eq!(read.get(lsn), Some(payload), "LSN {lsn} was acknowledged");
        }
        let places: BTreeMap<&Vec<u8>, u64> =
            read.iter().map(|(lsn, payload)| (payload, *lsn)).collect();
        assert_eq!(places.len(), read.len(), "a record is in the log twice");
        let mut known = 0;
        for tried in &self.tried {
            let found: Vec<u64> = tried
                .iter()
                .filter_map(|payload| places.get(payload).copied())
                .collect();
            assert!(found.is_sorted(), "a task's records are out of order");
            known += found.len();
        }
        assert_eq!(known, read.len(), "the log holds what nobody appended");
    }
}

fn payload(task: usize, n: u64, numbers: &mut Numbers) -> Vec<u8> {
    let mut payload = format!("task {task}, record {n} ").into_bytes();
    payload.resize(payload.len() + numbers.below(2_000) as usize, b'.');
    payload
}

/// Lets `cut_short` try 40 appends in each of 8 tasks, and checks what became of them.
fn check_dropped<F>(
    executor: Executor,
    policy: FsyncPolicy,
    cut_short: impl Fn(Wal, Vec<u8>, u64) -> F + Copy + Send + Sync + 'static,
) where
    F: Future<Output = Option<Result<wal_core::Position>>> + Send + 'static,
{
    let dir = directory();
    let wal = executor
        .run(small(dir.path(), policy).open())
        .expect("a log");
    let tasks = (0..8).map(|task| {
        let wal = wal.clone();
        Box::pin(async move {
            let mut numbers = Numbers(task as u64);
            let (mut tried, mut acknowledged) = (Vec::new(), Vec::new());
            for n in 0..40 {
                let payload = payload(task, n, &mut numbers);
                tried.push(payload.clone());
                let choice = numbers.below(1 << 20);
                match cut_short(wal.clone(), payload.clone(), choice).await {
                    Some(Ok(position)) => acknowledged.push((position.lsn.get(), payload)),
                    Some(Err(error)) => panic!("{error}"),
                    None => yield_now().await,
                }
            }
            (tried, acknowledged)
        }) as Task<_>
    });
    let attempts = Attempts::joined(executor.run_all(tasks));
    if policy != FsyncPolicy::Os {
        // Without a further call.
        becomes_durable(&wal, wal.last_lsn().get());
    }
    let read = executor.run(async move {
        let last = wal.last_lsn();
        let position = wal.append(RecordRef::data(b"the last")).await;
        assert_eq!(position.expect("appended").lsn, last.next());
        let mut read = read_all(&wal).await;
        wal.close().await.expect("closed");
        assert_eq!(read.pop_last(), Some((last.get() + 1, b"the last".into())));
        read
    });
    attempts.check(&read);
    let (mut after, clean) = reopen(&dir);
    after.pop_last();
    assert!(clean);
    assert_eq!(after, read, "{executor:?}, {policy:?}");
}

#[test]
fn appends_dropped_at_any_await_point() {
    for (executor, policy) in everywhere() {
        check_dropped(executor, policy, async |wal, payload, choice| {
            abandoned(wal.append(RecordRef::data(&payload)), choice % 5).await
        });
    }
}

#[test]
fn durable_appends_dropped_at_any_await_point() {
    for (executor, policy) in everywhere() {
        check_dropped(executor, policy, async |wal, payload, choice| {
            abandoned(wal.durable().append(RecordRef::data(&payload)), choice % 5).await
        });
    }
}

/// Tries 20 batches of three records, named after their place; those that were acknowledged, by LSN.
async fn try_batches(wal: Wal, task: usize) -> Vec<(u64, String)> {
    let mut numbers = Numbers(task as u64);
    let mut acknowledged = Vec::new();
    for n in 0..20 {
        let name = |place| format!("task {task}, batch {n}, {place}");
        let batch = [0, 1, 2].map(|place| Record::put(name(place), vec![7; 700]));
        let polls = numbers.below(5);
        match abandoned(wal.append_batch(&batch), polls).await {
            Some(appended) => {
                let first = appended.expect("appended").first.lsn.get();
                acknowledged.extend((0..3).map(|place| (first + place, name(place))));
            }
            None => yield_now().await,
        }
    }
    acknowledged
}

#[test]
fn batches_dropped_at_any_await_point() {
    for (executor, policy) in everywhere() {
        let dir = directory();
        let wal = executor
            .run(small(dir.path(), policy).open())
            .expect("a log");
        let tasks = (0..6).map(|task| Box::pin(try_batches(wal.clone(), task)) as Task<_>);
        let acknowledged: Vec<_> = executor.run_all(tasks).into_iter().flatten().collect();
        let names = executor.run(async move {
            let mut reader = wal.read_from(Lsn::ZERO).await.expect("a reader");
            let mut names = Vec::new();
            while let Some((record, _)) = reader.next_record().await.expect("a record") {
                names.push(String::from_utf8(record.key.to_vec()).expect("a name"));
            }
            wal.close().await.expect("closed");
            names
        });
        for (lsn, name) in &acknowledged {
            assert_eq!(names.get(*lsn as usize - 1), Some(name), "LSN {lsn}");
        }
        // Whole, nothing in between, none twice.
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
        for batch in names.chunks(3) {
            let of = batch[0].trim_end_matches('0');
            let whole = [0, 1, 2].map(|place| format!("{of}{place}"));
            assert_eq!(batch, whole, "{executor:?}, {policy:?}");
        }
    }
}

#[test]
fn appends_dropped_by_a_timeout() {
    for executor in Executor::WITH_TIMERS {
        for policy in policies() {
            check_dropped(executor, policy, async |wal, payload, choice| {
                let limit = Duration::from_micros(choice % 3_000);
                tokio::time::timeout(limit, wal.append(RecordRef::data(&payload)))
                    .await
                    .ok()
            });
        }
    }
}

#[test]
fn appends_dropped_by_a_select() {
    for executor in Executor::WITH_TIMERS {
        for policy in policies() {
            check_dropped(executor, policy, async |wal, payload, choice| {
                let yields = async {
                    for _ in 0..choice % 4 {
                        yield_now().await;
                    }
                };
                tokio::select! {
                    position = wal.append(RecordRef::data(&payload)) => Some(position),
                    () = yields => None,
                }
            });
        }
    }
}

#[test]
fn a_future_that_is_never_polled_does_nothing() {
    for (executor, policy) in everywhere() {
        let dir = directory();
        executor.run(async move {
            let wal = Wal::open(dir.path(), config(policy)).await.expect("a log");
            drop(wal.append(RecordRef::data(b"x")));
            drop(wal.close());
            assert_eq!(wal.last_lsn(), Lsn::ZERO);
            wal.append(RecordRef::data(b"y")).await.expect("appended");
        });
    }
}

#[test]
fn an_append_that_is_never_polled_appends_nothing() {
    for (executor, policy) in everywhere() {
        let dir = directory();
        executor.run(async move {
            let wal = Wal::open(dir.path(), config(policy)).await.expect("a log");
            wal.append("first").await.expect("appended");
            drop(wal.append("dropped"));
            drop(wal.durable().append("dropped"));
            assert_eq!(wal.last_lsn(), Lsn::FIRST);
            assert_eq!(read_all(&wal).await.len(), 1);
        });
    }
}

#[test]
fn an_append_that_is_polled_after_its_end_panics() {
    let dir = directory();
    let wal = block_on(Wal::open(dir.path(), config(FsyncPolicy::Os))).expect("a log");
    let mut append = wal.append("once");
    block_on(&mut append).expect("appended");
    let again = std::panic::catch_unwind(AssertUnwindSafe(|| poll_once(pin!(append))));
    assert!(again.is_err());
    assert_eq!(wal.last_lsn(), Lsn::FIRST);
}

#[test]
fn an_append_enters_in_its_first_poll_and_stays() {
    for (executor, policy) in everywhere() {
        let dir = directory();
        executor.run(async move {
            let wal = Wal::open(dir.path(), config(policy)).await.expect("a log");
            // There is no segment yet: this one waits for it, and has not entered.
            assert!(
                abandoned(wal.append(RecordRef::data(b"0")), 1)
                    .await
                    .is_none()
            );
            assert_eq!(wal.last_lsn(), Lsn::ZERO);
            wal.durable()
                .append(RecordRef::data(b"1"))
                .await
                .expect("appended");

            let polled = poll_once(pin!(wal.append(RecordRef::data(b"2"))));
            assert_eq!(polled.is_pending(), policy == FsyncPolicy::Always);
            assert_eq!(wal.last_lsn().get(), 2);
            if policy != FsyncPolicy::Os {
                // The executor's thread sleeps meanwhile: the log needs nobody.
                becomes_durable(&wal, 2);
            }
            let polled = poll_once(pin!(wal.durable().append(RecordRef::data(b"3"))));
            assert!(polled.is_pending());
            becomes_durable(&wal, 3);
            let position = wal.append(RecordRef::data(b"4")).await.expect("appended");
            assert_eq!(position.lsn.get(), 4);
            assert_eq!(read_all(&wal).await.len(), 4);
        });
    }
}

#[test]
fn an_append_that_waits_for_room_leaves_nothing_behind() {
    for policy in [
        FsyncPolicy::Batch(Duration::from_millis(1)),
        FsyncPolicy::Os,
    ] {
        within(&format!("{policy:?}"), move || {
            let gate = Gate::default();
            let builder = Wal::builder("log")
                .storage(Arc::new(Gated::new(&gate)))
                .config(config(policy))
                .buffer_size(4 << 10);
            let wal = block_on(builder.open()).expect("a log");
            let payload = [7; 1_500];
            block_on(wal.durable().append(RecordRef::data(&payload))).expect("appended");

            gate.close_writes();
            let fill =
                || while poll_once(pin!(wal.append(RecordRef::data(&payload)))).is_ready() {};
            // The writer takes one buffer to the gate; then both are full.
            fill();
            gate.wait_for_a_call();
            fill();
            let last = wal.last_lsn().get();
            for _ in 0..10 {
                assert!(poll_once(pin!(wal.append(RecordRef::data(&payload)))).is_pending());
            }
            // Some wait on, some give up in between.
            let waiting: Vec<_> = (0..4)
                .map(|_| {
                    let wal = wal.clone();
                    std::thread::spawn(move || block_on(wal.append(RecordRef::data(&payload))))
                })
                .collect();
            for _ in 0..10 {
                assert!(poll_once(pin!(wal.append(RecordRef::data(&payload)))).is_pending());
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(wal.last_lsn().get(), last);

            gate.open();
            for thread in waiting {
                thread.join().expect("no panic").expect("appended");
            }
            assert_eq!(wal.last_lsn().get(), last + 4);
            assert_eq!(block_on(read_all(&wal)).len() as u64, last + 4);
            block_on(wal.close()).expect("closed");
        });
    }
}

#[test]
fn a_record_whose_future_is_dropped_during_the_sync_becomes_durable() {
    for executor in [Executor::CurrentThread, Executor::BareOnCurrentThread] {
        let gate = Gate::default();
        let storage = Gated::new(&gate);
        executor.run(async move {
            let wal = Wal::builder("log")
                .storage(Arc::new(storage))
                .config(config(FsyncPolicy::Always))
                .open()
                .await
                .expect("a log");
            wal.append(RecordRef::data(b"1")).await.expect("appended");
            gate.close_syncs();
            {
                let mut append = pin!(wal.append(RecordRef::data(b"2")));
                // The first poll lets others join, the second asks for the commit.
                assert!(poll_once(append.as_mut()).is_pending());
                assert!(poll_once(append.as_mut()).is_pending());
                gate.wait_for_a_call();
                assert!(poll_once(append.as_mut()).is_pending());
            }
            // One that queued behind the sync.
            assert!(poll_once(pin!(wal.append(RecordRef::data(b"3")))).is_pending());
            assert_eq!(wal.durable_lsn().get(), 1);
            gate.open();
            becomes_durable(&wal, 3);
            assert_eq!(read_all(&wal).await.len(), 3);
        });
    }
}

#[test]
fn whoever_queues_behind_a_leader_may_go() {
    let gate = Gate::default();
    let storage = Gated::new(&gate);
    within("a leader at the gate", move || {
        let builder = Wal::builder("log")
            .storage(Arc::new(storage))
            .config(config(FsyncPolicy::Always));
        let wal = block_on(builder.open()).expect("a log");
        block_on(wal.append(RecordRef::data(b"1"))).expect("appended");
        gate.close_syncs();
        let leader = {
            let wal = wal.clone();
            std::thread::spawn(move || block_on(wal.append(RecordRef::data(b"2"))))
        };
        gate.wait_for_a_call();
        for _ in 0..5 {
            assert!(poll_once(pin!(wal.append(RecordRef::data(b"x")))).is_pending());
            assert!(poll_once(pin!(wal.sync())).is_pending());
            assert!(poll_once(pin!(wal.wait_durable(Lsn::new(3)))).is_pending());
        }
        gate.open();
        let position = leader.join().expect("no panic").expect("appended");
        assert_eq!(position.lsn.get(), 2);
        becomes_durable(&wal, 7);
        assert_eq!(block_on(read_all(&wal)).len(), 7);
    });
}

#[test]
fn every_call_may_be_dropped() {
    for (executor, policy) in everywhere() {
        for polls in 1..5 {
            let dir = directory();
            let path = dir.path().to_owned();
            let handle = executor.run(async move {
                let wal = small(&path, policy).open().await.expect("a log");
                for _ in 0..30 {
                    let payload = [7; 5_000];
                    let position = wal.append(RecordRef::data(&payload)).await;
                    assert_eq!(position.expect("appended").lsn, wal.last_lsn());
                }
                abandoned(wal.flush(), polls).await;
                abandoned(wal.sync(), polls).await;
                abandoned(wal.wait_durable(Lsn::new(30)), polls).await;
                abandoned(wal.truncate_before(Lsn::new(15)), polls).await;
                assert!([1, 15].contains(&wal.first_lsn().get()));
                abandoned(wal.truncate_after(Lsn::new(25)), polls).await;
                // It takes place all the same, if it was begun; a second one waits for it.
                let again = wal.truncate_after(Lsn::new(25)).await;
                again.expect("truncated");
                let position = wal.append(RecordRef::data(b"x")).await.expect("appended");
                assert_eq!(position.lsn.get(), 26);
                wal.sync().await.expect("synced");
                abandoned(wal.close(), polls).await;
                let refused = wal.append(RecordRef::data(b"y")).await;
                assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
                wal
            });
            // The close goes on by itself, and lets go of the lock.
            let wal = blocking::Wal::builder(dir.path())
                .lock_wait(Duration::from_secs(60))
                .open()
                .expect("a log");
            assert!(wal.recovery_report().clean, "{executor:?}, {policy:?}");
            drop(handle);
            let first = wal.first_lsn().get();
            assert!([1, 15].contains(&first));
            let reader = wal.read_from(Lsn::ZERO).expect("a reader");
            let lsns: Vec<u64> = reader
                .map(|step| step.expect("a record").1.lsn.get())
                .collect();
            assert!(lsns.into_iter().eq(first..=26));
            // What the truncation did not get to is gone by now.
            let names = std::fs::read_dir(dir.path()).expect("a directory");
            let segments: BTreeSet<_> = names
                .map(|entry| entry.expect("an entry").file_name())
                .filter(|name| name.to_string_lossy().ends_with(".wal"))
                .collect();
            let expected: Vec<SegmentId> = wal.list_segments().expect("segments");
            assert_eq!(segments.len(), expected.len());
        }
    }
}

#[test]
fn an_open_may_be_dropped() {
    for executor in Executor::ALL {
        let dir = directory();
        let path = dir.path().to_owned();
        executor.run(async move {
            let polled = poll_once(pin!(Wal::open(&path, config(FsyncPolicy::Always))));
            drop(polled);
            let builder = Wal::builder(&path).lock_wait(Duration::from_secs(60));
            let wal = builder.open().await.expect("a log");
            wal.append(RecordRef::data(b"x")).await.expect("appended");
            wal.close().await.expect("closed");
        });
        assert_eq!(reopen(&dir).0.len(), 1);
    }
}

#[test]
fn a_runtime_may_end_under_its_tasks() {
    for policy in policies() {
        let dir = directory();
        let wal = block_on(Wal::open(dir.path(), config(policy))).expect("a log");
        let acknowledged = Arc::new(Mutex::new(BTreeMap::new()));
        let runtime = multi_thread();
        for task in 0..8 {
            let (wal, acknowledged) = (wal.clone(), Arc::clone(&acknowledged));
            runtime.spawn(async move {
                for n in 0_u64.. {
                    let payload = format!("task {task}, record {n}").into_bytes();
                    let position = wal
                        .append(RecordRef::data(&payload))
                        .await
                        .expect("appended");
                    let lsn = position.lsn.get();
                    acknowledged.lock().expect("no panic").insert(lsn, payload);
                    yield_now().await;
                }
            });
        }
        // On a busy machine the first records take a while.
        let begun = Instant::now();
        while acknowledged.lock().expect("no panic").is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{policy:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(30));
        within(&format!("{policy:?}"), move || drop(runtime));

        let acknowledged = std::mem::take(&mut *acknowledged.lock().expect("no panic"));
        let position = block_on(wal.durable().append(RecordRef::data(b"after"))).expect("appended");
        block_on(wal.close()).expect("closed");
        let (read, clean) = reopen(&dir);
        assert!(clean);
        assert_eq!(read.len() as u64, position.lsn.get());
        assert!(!acknowledged.is_empty());
        for (lsn, payload) in acknowledged {
            assert_eq!(read.get(&lsn), Some(&payload));
        }
    }
}

#[test]
fn a_future_may_move_between_executors() {
    let dir = directory();
    let wal = block_on(Wal::open(dir.path(), config(FsyncPolicy::Always))).expect("a log");
    block_on(wal.append(RecordRef::data(b"1"))).expect("appended");
    let handle = wal.clone();
    let mut append: Task<_> = Box::pin(async move { handle.append(RecordRef::data(b"2")).await });
    assert!(matches!(poll_once(append.as_mut()), Poll::Pending));
    let position = Executor::CurrentThread.run(append).expect("appended");
    assert_eq!(position.lsn.get(), 2);
    assert_eq!(wal.durable_lsn().get(), 2);
}
